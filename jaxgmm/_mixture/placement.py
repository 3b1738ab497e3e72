"""Points of a mixture from points of the standard normal distribution."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.gmm import GMM, scale_of
from jaxgmm._numerics.sharding import take


def placement(gmm: GMM, rotation: Array | None = None) -> Callable[[Array, Array], Array]:
    """Components (s,) and standard normals (s, D, b) -> mu_k + L_k U_k eps, (D, s b)."""
    scaled = scale_of(gmm).apply(rotation)

    def place(component: Array, nodes: Array) -> Array:
        x = take(gmm.loc, component)[:, :, None] + scaled(component, nodes)
        return x.transpose(1, 0, 2).reshape(gmm.num_dims, -1)

    return place


def pilot_nodes(gmm: GMM, num_pilots: int) -> Array:
    """Standard normal points (D, n) in the dtype of a mixture, the same at every call."""
    nodes = np.random.default_rng(0).normal(size=(gmm.num_dims, num_pilots))
    return jnp.asarray(nodes, gmm.loc.dtype)


def batch_length(gmm: GMM) -> int:
    """The size of a batch of points whose whitened points, for all components, stay in cache."""
    return int(min(2048, max(256, 2**20 / scale_of(gmm).stored_for_a_point)))
