"""Parameters to start a fit from, at random or from data by k-means++."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import DTypeLike

from jaxgmm._mixture.scale import Leaves
from jaxgmm._numerics.linalg import matmul, pack_tril, tril_of
from jaxgmm._numerics.transforms import varying_with


def kmeans_plus_plus(key: Array, x: Array, k: int, weights: Array | None = None) -> Array:
    """Centres (K, D) drawn from points (n, D) by weight times squared distance to earlier ones."""
    log_weights = jnp.zeros_like(x[:, 0]) if weights is None else jnp.log(weights)

    def draw(distances: Array, key: Array) -> tuple[Array, Array]:
        # All distances are infinite at first, when they leave the choice to the weights.
        chances = jnp.where(jnp.isinf(distances), jnp.ones_like(distances), distances)
        centre = x[jax.random.categorical(key, log_weights + jnp.log(chances))]
        return jnp.minimum(distances, squared_distances(x, centre)), centre

    keys = jax.random.split(key, k)
    infinite = varying_with((key, x, log_weights), jnp.full_like(x[:, 0], jnp.inf))
    return jax.lax.scan(draw, infinite, keys)[1]


def kmeans(
    x: Array, weights: Array, centres: Array, is_used: Array, num_steps: Array | int
) -> Array:
    """The centres (K, D) after steps of Lloyd's algorithm; those not in use stay as they are."""

    def step(_: Array, centres: Array) -> Array:
        half_squares = jnp.where(is_used, 0.5 * jnp.square(centres).sum(1), jnp.inf)
        nearest = (half_squares[:, None] - matmul(centres, x.T)).argmin(0)
        members = jax.nn.one_hot(nearest, len(centres), axis=0, dtype=x.dtype) * weights[None]
        mass = members.sum(1, keepdims=True)
        means = matmul(members, x) / jnp.where(mass > 0, mass, jnp.ones_like(mass))
        return jnp.where(mass > 0, means, centres)

    return jax.lax.fori_loop(0, num_steps, step, centres)


def check_distinct(centres: Array) -> None:
    """Raise an error if centres of `kmeans_plus_plus` repeat, unless they are traced."""
    # It repeats a point only when it has drawn all distinct ones.
    if not isinstance(centres, Tracer):
        count = len(np.unique(np.asarray(centres), axis=0))
        if count < len(centres):
            problem = f"x has only {count} distinct points for {len(centres)} components"
            raise ValueError(f"{problem}, and equal components stay equal; ask for at most {count}")


def squared_distances(x: Array, centre: Array) -> Array:
    """The squared distances (n,) of points (n, D) to a centre (D,)."""
    return jnp.square(x - jnp.broadcast_to(centre, x.shape)).sum(1)


def residuals(x: Array, centres: Array) -> Array:
    """The offsets (n, D) of points (n, D) from the nearest of the centres (K, D)."""
    distances = jax.lax.map(lambda centre: squared_distances(x, centre), centres)
    return x - centres[distances.argmin(0)]


def pooled_scales(r: Array, reg_covar: Array | float, num_components: int, kind: str) -> Leaves:
    """The log_diag and off_diag of the mean of r r^T over residuals r (n, D), plus reg_covar I."""
    n, d = r.shape
    rows = 1 if kind == "tied" else num_components
    if kind in ("full", "tied"):
        floor = reg_covar**0.5 * jnp.eye(d, dtype=r.dtype)
        roots = jnp.concatenate([r.T / n**0.5, floor], axis=1)
        leaves = pack_tril(tril_of(roots[None])[0])
    else:
        variances = jnp.square(r).mean(0) + reg_covar
        variances = variances if kind == "diag" else variances.mean(keepdims=True)
        leaves = 0.5 * jnp.log(variances)[None], None
    return jax.tree.map(lambda row: jnp.broadcast_to(row, (rows, row.shape[1])), leaves)


def random_scales(key: Array, shape: tuple[int, ...], kind: str, dtype: DTypeLike) -> Leaves:
    """The log_diag and off_diag, for means (K, D), of random B B^T with eigenvalues about 1."""
    k, d = shape
    rows = 1 if kind == "tied" else k
    columns = 1 if kind == "spherical" else d
    normals = jax.random.normal(key, (rows, columns, 4 * d), dtype)
    roots = normals * np.asarray(0.5 * d**-0.5, dtype)
    if kind in ("full", "tied"):
        return pack_tril(tril_of(roots)[0])
    return 0.5 * jnp.log(jnp.square(roots).sum(2)), None
