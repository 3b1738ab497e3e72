"""Where to start a fit: random parameters, and parameters from data by k-means++."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._numerics.linalg import pack_tril, tril_of

Scales = tuple[Array, Array | None]


def kmeans_plus_plus(key: Array, x: Array, num_components: int) -> Array:
    """Centres (K, D) among points (n, D), each drawn in proportion to the squared distance from those before.

    References:
      Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA (2007), section 2.2.
    """

    def draw(distances: Array, key: Array) -> tuple[Array, Array]:
        chances = jnp.where(
            jnp.isinf(distances), jnp.ones_like(distances), distances
        )  # the first is any point
        centre = x[jax.random.categorical(key, jnp.log(chances))]
        return jnp.minimum(distances, squared_distances(x, centre)), centre

    return jax.lax.scan(
        draw, jnp.full_like(x[:, 0], jnp.inf), jax.random.split(key, num_components)
    )[1]


def squared_distances(x: Array, centre: Array) -> Array:
    """From points (n, D) to a centre (D,), or to one for each (n, D)."""
    return jnp.square(x - jnp.broadcast_to(centre, x.shape)).sum(1)


def residuals(x: Array, centres: Array) -> Array:
    """From each point (n, D) its nearest centre: (n, D)."""
    distances = jax.lax.map(lambda centre: squared_distances(x, centre), centres)
    return x - centres[distances.argmin(0)]


def pooled_scales(
    residuals: Array, reg_covar: float, num_components: int, covariance_type: str
) -> Scales:
    """log_diag and off_diag of the mean of r r^T over residuals r (n, D), plus reg_covar, the same for all components."""
    n, d = residuals.shape
    rows = 1 if covariance_type == "tied" else num_components
    if covariance_type in ("full", "tied"):
        floor = reg_covar**0.5 * jnp.eye(d, dtype=residuals.dtype)
        roots = jnp.concatenate([residuals.T / n**0.5, floor], axis=1)
        return _repeated(pack_tril(tril_of(roots[None])[0]), rows)
    variances = jnp.square(residuals).mean(0) + reg_covar
    variances = variances if covariance_type == "diag" else variances.mean(keepdims=True)
    return jnp.broadcast_to(0.5 * jnp.log(variances)[None], (rows, len(variances))), None


def _repeated(scales: tuple[Array, Array], rows: int) -> Scales:
    log_diag, off_diag = (jnp.broadcast_to(leaf, (rows, leaf.shape[1])) for leaf in scales)
    return log_diag, off_diag


def random_scales(
    key: Array, num_components: int, num_dims: int, covariance_type: str, dtype: DTypeLike
) -> Scales:
    """log_diag and off_diag of covariances B B^T, or of their diagonals, with eigenvalues about 1."""
    rows = 1 if covariance_type == "tied" else num_components
    columns = 1 if covariance_type == "spherical" else num_dims
    roots = jax.random.normal(key, (rows, columns, 4 * num_dims), dtype) * np.asarray(
        0.5 * num_dims**-0.5, dtype
    )
    if covariance_type in ("full", "tied"):
        return pack_tril(tril_of(roots)[0])
    return 0.5 * jnp.log(jnp.square(roots).sum(2)), None
