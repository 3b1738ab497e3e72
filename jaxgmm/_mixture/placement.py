"""Points of a mixture from points of the standard normal distribution."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM
from jaxgmm._numerics.linalg import matmul


def placement(gmm: GMM, rotation: Array | None = None) -> Callable[[Array, Array], Array]:
    """Components (s,), standard normals eps (s, D, b) -> points mu_k + L_k U_k eps, (D, s b)."""
    diagonal = gmm.off_diag is None
    scale = jnp.broadcast_to(jnp.exp(gmm.log_diag), gmm.loc.shape) if diagonal else gmm.scale_tril
    scale = scale if rotation is None else matmul(scale, rotation)

    def place(component: Array, eps: Array) -> Array:
        factor = scale[component]
        scaled = factor[:, :, None] * eps if diagonal else matmul(factor, eps)
        points = gmm.loc[component][:, :, None] + scaled
        return points.transpose(1, 0, 2).reshape(gmm.num_dims, -1)

    return place


def batch_length(gmm: GMM) -> int:
    """The points of a batch, so few that their whitened coordinates (K, D, n) stay in cache."""
    # XLA sums the coordinates of diagonal components as it computes them, in less memory.
    stored = gmm.num_components * gmm.num_dims / (4 if gmm.off_diag is None else 1)
    return int(min(2048, max(256, 2**20 / stored)))
