"""Which way to compute a potential suits a target and a student."""

from __future__ import annotations

from meanfield.activations import Activation
from meanfield.gaussian.pair_averages import has_closed_form
from meanfield.targets.base import LinkUnits, Target, units_of
from meanfield.targets.hermite import polynomial_of, series_of
from meanfield.targets.potentials.base import Potential
from meanfield.targets.potentials.hermite_sums import HermiteSums
from meanfield.targets.potentials.nodes import NodeSums, across
from meanfield.targets.potentials.units import ClosedPairs, CosineSeries, ExpandedPairs, LinkRules


def potential_of(target: Target, student: Activation, *, expanded: bool = False) -> Potential:
    """V(u, r) = E f* σ(λ) and its slopes, in the way that suits both.

    Parameters
    ----------
    target : CommitteeTarget, MultiIndexTarget or another `Target`
        One that has a method ``potential`` is asked; else its units, or its values at nodes.
    student : Activation
        σ, such as ``problem.student``.
    expanded : bool
        Whether the Hermite coefficients of σ at the neurons' variances will be given, which some
        forms make do with.

    Returns
    -------
    Potential
        A function of u (n, rank) and r (n,) that gives V (n,), ∂V/∂u (n, rank) and ∂V/∂r (n,);
        ``miss`` says by how much they may be off.

    Examples
    --------
    >>> import numpy as np, meanfield as mf
    >>> problem = mf.Problem(mf.targets.hermite_link(1), "erf")
    >>> potential = mf.targets.potential_of(problem.target, problem.student)
    >>> V = potential.value(np.ones((1, 1)), np.ones(1))
    >>> round(float(V[0]), 6)  # u E σ'(λ), and E σ'(λ) = √(2/π)/√(1 + q) for erf
    0.460659
    """
    own = getattr(target, "potential", None)
    if own is not None:
        return own(student, expanded=expanded)
    units = units_of(target)
    if units is not None:
        return potential_of_units(units, student, expanded=expanded)
    return potential_of_function(target, student, expanded=expanded)


def potential_of_units(
    units: LinkUnits, student: Activation, *, expanded: bool = False
) -> Potential:
    """That of a sum of units: pairs in closed form, series of pairs, or a rule over each λ*."""
    if has_closed_form(student, units.link):
        return ClosedPairs(student, units)
    if expanded:
        return ExpandedPairs(student, units)
    if student.homogeneous and units.link.smooth:
        return CosineSeries(student, units)
    return LinkRules(student, units)


def potential_of_function(
    target: Target, student: Activation, *, expanded: bool = False
) -> Potential:
    """That of any function of z: Hermite coefficients, nodes that turn with neurons, or nodes."""
    if expanded:
        series = series_of(target)
        return NodeSums(student, target) if series is None else HermiteSums(student, series)
    polynomial = polynomial_of(target)
    if polynomial is not None:
        return HermiteSums(student, polynomial)
    return across(student, target) or NodeSums(student, target)
