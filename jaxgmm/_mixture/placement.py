"""Points of a mixture from standard normals."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM
from jaxgmm._numerics.linalg import matmul


def placement(gmm: GMM, turn: Array | None = None) -> Callable[[Array, Array], Array]:
    """Components (s,) and their standard normals (s, D, b) -> points mu_k + L_k U_k eps, (s b, D)."""
    diagonal = gmm.off_diag is None
    scale = jnp.broadcast_to(jnp.exp(gmm.log_diag), gmm.loc.shape) if diagonal else gmm.scale_tril
    scale = scale if turn is None else matmul(scale, turn)

    def place(component: Array, nodes: Array) -> Array:
        of_slots = scale[component]
        scaled = of_slots[:, :, None] * nodes if diagonal else matmul(of_slots, nodes)
        return (
            (gmm.loc[component][:, :, None] + scaled).transpose(0, 2, 1).reshape(-1, gmm.num_dims)
        )

    return place


def batch_length(gmm: GMM) -> int:
    """Points in a batch, such that the whitened points of all components stay in cache; diagonal ones are not stored."""
    stored = gmm.num_components * gmm.num_dims / (4 if gmm.off_diag is None else 1)
    return int(min(2048, max(256, 2**20 / stored)))
