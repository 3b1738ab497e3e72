"""Points of a mixture from standard normals."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM
from jaxgmm._numerics.linalg import matmul


def placement(gmm: GMM, rotation: Array | None = None) -> Callable[[Array, Array], Array]:
    """Components (s,) and their standard normals (s, D, b) -> points mu_k + L_k U_k eps, (D, s b)."""
    diagonal = gmm.off_diag is None
    scale = jnp.broadcast_to(jnp.exp(gmm.log_diag), gmm.loc.shape) if diagonal else gmm.scale_tril
    scale = scale if rotation is None else matmul(scale, rotation)

    def place(component: Array, nodes: Array) -> Array:
        of_strata = scale[component]
        scaled = of_strata[:, :, None] * nodes if diagonal else matmul(of_strata, nodes)
        return (
            (gmm.loc[component][:, :, None] + scaled).transpose(1, 0, 2).reshape(gmm.num_dims, -1)
        )

    return place


def batch_length(gmm: GMM) -> int:
    """Points in a batch, such that the whitened points of all components stay in cache; diagonal ones are not stored."""
    stored = gmm.num_components * gmm.num_dims / (4 if gmm.off_diag is None else 1)
    return int(min(2048, max(256, 2**20 / stored)))
