"""What all starts share: their arguments, uniform numbers, and laws of the second layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from meanfield import checks
from meanfield.gaussian.sobol import inside, sobol_uniforms
from meanfield.problem import Problem

Array = NDArray[np.float64]

SAMPLINGS = ("random", "antithetic", "sobol", "antithetic-sobol")
SECOND_LAYERS = ("signs", "gaussian")

# what `second_layer` may be: one number, a law of independent numbers, or all of them
SecondLayer = float | str | ArrayLike


def check_draw(
    problem: Any, count: Any, name: str, scale: Any, seed: Any, scale_name: str = "scale"
) -> tuple[int, float, int]:
    """The arguments that every draw shares."""
    checks.instance(problem, "problem", Problem)
    count = checks.integer(count, name)
    scale = checks.real(scale, scale_name, above=0.0)
    return count, scale, checks.integer(seed, "seed", minimum=0)


def check_finite_dim(problem: Problem) -> int:
    """The input dimension, refused at infinity."""
    if math.isinf(problem.dim):
        raise ValueError("problem must have a finite dim to draw weights in R^d, got inf")
    return int(problem.dim)


def check_second_layer(value: Any, count: int) -> str | Array:
    """The name of a law, or the second-layer weights (count,) themselves."""
    if isinstance(value, str):
        return checks.option(value, "second_layer", SECOND_LAYERS)
    if np.ndim(value) == 0:
        return np.full(count, checks.real(value, "second_layer"))
    return checks.array(value, "second_layer", (count,), described=f"(n,) with n = {count}")


def draw_second_layer(law: str | Array, rng: np.random.Generator, count: int) -> Array:
    """a (count,), drawn if it is not given."""
    return law if isinstance(law, np.ndarray) else _quantile(law, inside(rng.random(count)))


def with_second_layer(origin: dict[str, Any], value: SecondLayer) -> dict[str, Any]:
    """An origin that says what second layer it had, unless a = 1."""
    if np.ndim(value) > 0:
        value = "given"
    return origin if value == 1.0 else {**origin, "second_layer": value}


def draw_neurons(
    problem: Problem, n: Any, seed: int, sampling: Any, second_layer: Any
) -> tuple[Array, Array, Array]:
    """Normals (n, rank), uniforms (n,) and second-layer weights (n,), the same for every d.

    Antithetic neurons come in halves: the second half has the normals of the first, negated, and
    the same uniforms and drawn second-layer weights. Their number is rounded up to even.
    """
    checks.option(sampling, "sampling", SAMPLINGS)
    antithetic = sampling.startswith("antithetic")
    drawn = (n + 1) // 2 if antithetic else n
    law = check_second_layer(second_layer, 2 * drawn if antithetic else n)
    k = problem.subspace_dim
    dims = k + 2 if isinstance(law, str) else k + 1
    uniforms = _uniforms(drawn, dims, seed, quasi=sampling.endswith("sobol"))
    if antithetic:
        uniforms = np.concatenate((uniforms, uniforms))
    normals = ndtri(uniforms[:, :k])
    if antithetic:
        normals[drawn:] *= -1.0
    a = law if isinstance(law, np.ndarray) else _quantile(law, uniforms[:, k + 1])
    return normals, uniforms[:, k], a


def _quantile(law: str, uniforms: Array) -> Array:
    return np.where(uniforms < 0.5, -1.0, 1.0) if law == "signs" else np.asarray(ndtri(uniforms))


def _uniforms(n: int, dims: int, seed: int, *, quasi: bool) -> Array:
    """Points in the open unit cube, independent or a scrambled Sobol sequence."""
    if quasi:
        return sobol_uniforms(dims, max(0, math.ceil(math.log2(n))), seed)[:n]
    return inside(np.random.default_rng(seed).random((n, dims)))
