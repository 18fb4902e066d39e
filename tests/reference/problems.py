"""Random problems with all that is hard about them, and the twin's view of each.

A `Case` is drawn from its seed alone: activations of the library and of one's own with kinks that
are declared or not, committees with singular Gram matrices, functions of several coordinates with
kinks and jumps, 1 to 8 coordinates, d from one more than those to infinity, scales from 1e-6 to 10,
second-layer weights over six decades, unequal masses, lengths that vanish exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import meanfield as mf
from tests.reference import measures as twin
from tests.reference.units import JUMPS, KINKED, NAMED, SMOOTH, Unit

COORDINATES = (1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8)
BEYOND = (1, 1, 2, 3, 9, 30, 99, 998, 99_999, math.inf, math.inf, math.inf, math.inf, math.inf)
COPIES = (1, 1, 1, 60, 500)


@dataclass
class Case:
    """A problem, neurons, and the same as the twin sees them.

    Every neuron is there `copies` times, so that evaluators for many neurons take part.
    """

    label: str
    problem: mf.Problem
    sigma: Unit
    target: twin.Sum
    a: np.ndarray
    u: np.ndarray
    r: np.ndarray
    mass: np.ndarray
    copies: int

    def measure(self) -> mf.ParticleMeasure:
        """The law of the neurons."""
        a, u, r = (np.repeat(part, self.copies, axis=0) for part in (self.a, self.u, self.r))
        equal = np.ptp(self.mass) == 0.0
        mass = None if equal else np.repeat(self.mass / self.copies, self.copies)
        return mf.ParticleMeasure(a, u, r, mass)

    def weights(self) -> np.ndarray:
        """Weights w (p, k + p) of a finite network with these lengths, directions at random."""
        p = len(self.a)
        directions = np.random.default_rng(p).standard_normal((p, p))
        directions /= np.linalg.norm(directions, axis=1)[:, None]
        return np.hstack((self.u, self.r[:, None] * directions))

    def overlaps(self) -> mf.Overlaps:
        """Overlaps of that network."""
        w, basis = self.weights(), np.array(self.problem.target.basis)
        k = self.u.shape[1]
        gram = np.asarray(self.problem.target.gram)
        return mf.Overlaps(w @ w.T, w[:, :k] @ basis.T, gram, self.a)


def as_activation(unit: Unit, declared: bool):
    """What to hand to the library for a unit."""
    if unit.name is not None:
        return unit.name
    if not declared:
        return unit.value
    return mf.activations.custom(
        unit.value, unit.slope, kinks=unit.kinks, strip=unit.width, name=unit.label
    )


def draw_unit(rng) -> tuple[Unit, bool]:
    """A function for a student or a link, and whether what is hard about it is declared."""
    shelf = rng.choice(3, p=(0.55, 0.2, 0.25))
    units = list((NAMED, SMOOTH, KINKED)[shelf].values())
    return units[rng.integers(len(units))], bool(rng.random() < 0.5)


def draw_function(rng) -> Unit:
    """A function for a term of a target, one time in three with a kink or a jump."""
    units = [*NAMED.values(), *SMOOTH.values(), *KINKED.values(), *KINKED.values()]
    units = [u for u in units if u.label not in ("hermite6", "steep")] + list(JUMPS.values())
    return units[rng.integers(len(units))]


def draw_gram(k: int, rng) -> np.ndarray:
    """The identity, a full matrix, or a singular one."""
    kind = rng.choice(3, p=(0.3, 0.4, 0.3)) if k > 1 else rng.choice(2)
    if kind == 0:
        return np.eye(k)
    rank = k + 2 if kind == 1 else int(rng.integers(1, k))
    B = rng.standard_normal((k, rank)) / math.sqrt(rank)
    return B @ B.T


def draw_committee(k: int, rng):
    """A committee target, its sum of ridges and a label."""
    link, declared = draw_unit(rng)
    gram = draw_gram(k, rng)
    weights = rng.standard_normal(k) * 2.0 if rng.random() < 0.5 else np.ones(k)
    target = mf.CommitteeTarget(
        k, as_activation(link, declared), gram, weights, noise=float(rng.choice((0.0, 0.1)))
    )
    said = "" if link.name else " declared" if declared else " bare"
    label = f"committee of {k} {link.label}{said}, rank {target.rank}"
    return target, twin.committee(target, link), label


def draw_monomials(m: int, rng) -> twin.Monomials:
    """A polynomial of degree 4 at most, or the product of all coordinates."""
    if rng.random() < 0.3:
        return twin.Monomials((((1,) * m, 1.0),))
    terms = []
    for _ in range(int(rng.integers(1, 4))):
        alpha = np.zeros(m, dtype=int)
        for j in rng.integers(m, size=int(rng.integers(1, 5))):
            alpha[j] += 1
        terms.append((tuple(map(int, alpha)), float(rng.standard_normal())))
    if rng.random() < 0.15:
        terms.append(((0,) * m, float(10.0 ** rng.uniform(0, 4))))
    return twin.Monomials(tuple(dict(terms).items()))


def draw_terms(k: int, rng):
    """Groups of coordinates with their terms."""
    order, groups, used = [int(j) for j in rng.permutation(k)], [], []
    kind = rng.choice(4, p=(0.3, 0.2, 0.2, 0.3)) if k > 1 else rng.choice((0, 3))
    if kind == 1:
        coordinates, term = order[:2], twin.Product(draw_function(rng), draw_function(rng))
        groups.append((tuple(coordinates), (term,)))
        used.append(f"{term.f.label}·{term.g.label}")
    elif kind == 2:
        m = int(rng.integers(2, k + 1))
        f = draw_function(rng)
        groups.append((tuple(order[:m]), (twin.Radial(f, m),)))
        used.append(f"{f.label}(|{m}|)")
    elif kind == 3:
        m = int(rng.integers(1, k + 1))
        term = draw_monomials(m, rng)
        groups.append((tuple(order[:m]), (term,)))
        used.append("+".join("".join(map(str, alpha)) for alpha, _ in term.terms))
    left = [j for j in order if not any(j in c for c, _ in groups)]
    if left:
        terms = []
        for _ in range(int(rng.integers(1, 4))):
            b = rng.standard_normal(len(left)) * rng.choice((0.5, 1.0, 2.0)) / math.sqrt(len(left))
            if rng.random() < 0.3:  # along one coordinate
                b = np.eye(len(left))[rng.integers(len(left))]
            terms.append(twin.Ridge(draw_function(rng), tuple(b), float(rng.standard_normal())))
        groups.append((tuple(left), tuple(terms)))
        used.append("ridges " + "+".join(term.f.label for term in terms))
    return tuple(groups), ", ".join(used)


def smooth_term(term) -> bool:
    """Whether a term has neither kinks nor jumps."""
    if isinstance(term, twin.Monomials):
        return True
    if isinstance(term, twin.Radial) and term.f.label != "square":
        return bool(term.f.label in ("root", "bump"))  # even and analytic; |y| itself has a kink
    return term.f.smooth and (not isinstance(term, twin.Product) or term.g.smooth)


def draw_multi_index(k: int, rng):
    """A function of the coordinates, as it stands or turned."""
    rotation = np.eye(k)
    if k > 1 and rng.random() < 0.5:
        rotation = np.linalg.qr(rng.standard_normal((k, k)))[0]
    groups, label = draw_terms(k, rng)
    inside = twin.Sum(rotation, groups)
    smooth = all(smooth_term(term) for _, terms in groups for term in terms)
    said = bool(smooth or rng.random() < 0.4)
    target = mf.MultiIndexTarget(
        inside, k, noise=float(rng.choice((0.0, 0.1))), smooth=said, name=label
    )
    turned = "turned " if rotation[0, 0] != 1.0 else ""
    hard = "" if smooth else " (kinks not said)" if said else " (kinks said)"
    return target, inside, f"{turned}{label} of {k}{hard}"


def draw_ready_made(k: int, rng):
    """A parity or a staircase; a Hermite link where there is one coordinate."""
    if k == 1:
        n = int(rng.integers(1, 31))
        return mf.targets.hermite_link(n), twin.Monomials((((n,), 1.0),)), f"hermite_link({n})"
    name = ("parity", "staircase")[rng.integers(2)]
    steps = range(1, k + 1) if name == "staircase" else (k,)
    terms = tuple(((1,) * m + (0,) * (k - m), 1.0) for m in steps)
    return getattr(mf.targets, name)(k), twin.Monomials(terms), f"{name}({k})"


def draw_target(k: int, rng):
    """A target of the library, the same as a sum of terms, and a label."""
    kind = rng.random()
    if kind < 0.5:
        return draw_committee(k, rng)
    if kind < 0.92:
        return draw_multi_index(k, rng)
    target, term, label = draw_ready_made(k, rng)
    return target, twin.Sum(np.eye(k), ((tuple(range(k)), (term,)),)), label


def draw_neurons(k: int, n: int, rng, target):
    """a, u, r, masses and what is special about them."""
    scale = 10.0 ** (rng.uniform(-6, 1) if rng.random() < 0.4 else rng.uniform(-0.7, 0.7))
    u, r = scale * rng.standard_normal((n, k)), scale * np.abs(rng.standard_normal(n))
    notes = [f"scale {scale:.0e}"]
    special = rng.choice(6, p=(0.45, 0.1, 0.15, 0.15, 0.05, 0.1))
    if special == 1:
        r[:] = 0.0
        notes.append("r = 0")
    elif special == 2:
        r[0] = 0.0
        notes.append("one r = 0")
    elif special == 3:
        u[0] = 0.0
        notes.append("one u = 0")
    elif special == 4:
        u[:] = 0.0
        notes.append("u = 0")
    elif special == 5:  # nearly learnt
        basis = np.array(target.basis)
        rows = rng.integers(len(basis), size=n)
        u, r = basis[rows] * (1.0 + 1e-3 * rng.standard_normal((n, k))), np.full(n, 1e-3)
        notes = ["near the target's units"]
    a = rng.standard_normal(n) if rng.random() < 0.6 else np.ones(n)
    spread = rng.random()
    if spread < 0.2:
        a = np.sign(a) * 10.0 ** rng.uniform(-3, 3, n)
        notes.append("a over six decades")
    elif spread < 0.3:
        a[0] = 10.0 ** rng.uniform(2, 5)
        notes.append(f"one a = {a[0]:.0e}")
    mass = np.full(n, 1.0 / n)
    if rng.random() < 0.4:
        mass = 10.0 ** rng.uniform(-4, 0, n)
        mass /= mass.sum()
        notes.append("masses")
    return a, u, r, mass, ", ".join(notes)


def draw(seed: int) -> Case:
    """The random problem of a seed."""
    rng = np.random.default_rng((seed, 20_260))
    sigma, declared = draw_unit(rng)
    k = int(rng.choice(COORDINATES))
    target, inside, label = draw_target(k, rng)
    beyond = BEYOND[rng.integers(len(BEYOND))]
    dim = beyond if math.isinf(beyond) else target.k + beyond
    gamma, kappa = float(rng.choice((0.0, 0.0, 0.5))), float(rng.choice((0.0, 1.0)))
    student = as_activation(sigma, declared)
    problem = mf.Problem(target, student, dim, learning_rate=gamma, second_layer_rate=kappa)
    n = int(rng.choice((1, 2, 2, 3, 3, 4)))
    a, u, r, mass, notes = draw_neurons(target.rank, n, rng, target)
    copies = int(COPIES[rng.integers(len(COPIES))])
    if isinstance(target, mf.MultiIndexTarget):  # sums over nodes for each neuron
        copies = 1 if k > 2 else min(copies, 60)
    said = "" if sigma.name else " declared" if declared else " bare"
    label = f"{sigma.label}{said} | {label} | d {dim} | {n}×{copies}: {notes}"
    return Case(label, problem, sigma, inside, a, u, r, mass, copies)
