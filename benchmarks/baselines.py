"""The mean-field right-hand side by direct quadrature in jitted JAX, float64: what one would write.

Every neuron at every node, erf, a committee of orthonormal directions. JAX is needed here only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from meanfield.gaussian.rules import chi_rule, sphere_coordinate_rule


def _gauss_hermite(k: int, nodes: int):
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    z = np.stack(np.meshgrid(*[x] * k, indexing="ij"), axis=-1).reshape(-1, k)
    weight = np.prod(np.meshgrid(*[w / w.sum()] * k, indexing="ij"), axis=0).ravel()
    return z, weight


def infinite(k: int, nodes: int, a, u, r) -> Callable[[], object]:
    """d = ∞: nodes^k points z; f depends on u/√(1 + r²)."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    z, weight = (jnp.asarray(x) for x in _gauss_hermite(k, nodes))
    target = jax.scipy.special.erf(z / math.sqrt(2.0)).mean(axis=1)

    @jax.jit
    def velocity(a, u, r):
        shrink = 1.0 / jnp.sqrt(1.0 + r * r)
        alpha = u * shrink[:, None]
        x = alpha @ z.T
        f = a @ jax.scipy.special.erf(x / math.sqrt(2.0)) / a.size
        along = jnp.exp(-0.5 * x * x) @ ((weight * (target - f))[:, None] * z)
        along *= (a * math.sqrt(2.0 / math.pi))[:, None]
        du = along * shrink[:, None]
        return du, -jnp.sum(along * alpha, axis=1) * r * shrink**2

    arrays = [jnp.asarray(x) for x in (a, u, r)]
    return lambda: jax.block_until_ready(velocity(*arrays))


def finite(dim: int, a, u, r, counts=(64, 16, 24)) -> Callable[[], object]:
    """k = 1: z × ρ × U points."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    z, weight_z = _gauss_hermite(1, counts[0])
    rho, weight_rho = chi_rule(dim - 1, counts[1])
    U, weight_U = (jnp.asarray(x) for x in sphere_coordinate_rule(dim - 1, counts[2]))
    z, rho = jnp.asarray(z[:, 0]), jnp.asarray(rho)
    weight = jnp.asarray(weight_z[:, None] * weight_rho)
    target = jax.scipy.special.erf(z / math.sqrt(2.0))[:, None]

    @jax.jit
    def velocity(a, u, r):
        x = (u[:, :1] * z)[:, :, None, None] + (r[:, None] * rho)[:, None, :, None] * U
        f = jnp.einsum("n,nzpu,u->zp", a, jax.scipy.special.erf(x / math.sqrt(2.0)), weight_U)
        force = weight * (target - f / a.size)
        slope = jnp.exp(-0.5 * x * x) * math.sqrt(2.0 / math.pi)
        du = a * jnp.einsum("nzpu,zp,z,u->n", slope, force, z, weight_U)
        return du, a * jnp.einsum("nzpu,zp,p,u->n", slope, force, rho, U * weight_U)

    arrays = [jnp.asarray(x) for x in (a, u, r)]
    return lambda: jax.block_until_ready(velocity(*arrays))
