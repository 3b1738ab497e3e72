"""Rotations of the standard normals towards the directions in which the integrand varies most."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.placement import pilot_nodes
from jaxgmm._numerics.linalg import matmul
from jaxgmm._numerics.sharding import varying_with

MAX_ROTATED = 16


def active_directions(fn: Callable[[Array, Array], Array], gmm: GMM, num_pilots: int) -> Array:
    r"""Orthogonal U (K, D, D), whose first columns span the active subspace of each component.

    The active subspace is spanned by the leading eigenvectors of :math:`E[\nabla h \nabla h^T]`,
    where ``fn`` is the integrand h (m,) of components (1,) and their standard normals (1, D, m).

    References:
      Constantine, Dow and Wang, Active subspace methods, SIAM J. Sci. Comput. 36 (2014), eq. 2.2.
    """
    # As U does not depend on the sampled points, U eps is standard normal, too. A rough U, from a
    # few pilot points that are the same at every call, costs accuracy but causes no bias.
    nodes = pilot_nodes(gmm, num_pilots)

    def outer_product(component: Array) -> Array:
        def total(nodes: Array) -> Array:
            return fn(component[None], nodes[None]).sum()

        # In `jax.shard_map`, the derivative in nodes that devices share would sum over the devices.
        gradient = jax.grad(total)(varying_with(total(nodes), nodes))
        return matmul(gradient, gradient.T)

    outer_products = jax.lax.map(outer_product, jnp.arange(gmm.num_components))
    return jax.lax.stop_gradient(pivoted_reflections(outer_products))


def pivoted_reflections(matrices: Array) -> Array:
    """The orthogonal factors of matrices (K, D, D), by QR with pivoting, and without LAPACK.

    Each Householder reflection takes the longest column of the residual. The first columns of the
    factor thus nearly span the leading eigenvectors of a positive semidefinite matrix.
    """
    num_dims = matrices.shape[-1]
    index = np.arange(num_dims)

    def reflect(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        residual, orthogonal = carry
        below = jnp.where((index >= i)[None, :, None], residual, jnp.zeros_like(residual))
        longest = jnp.square(below).sum(1).argmax(1)
        column = jnp.take_along_axis(below, longest[:, None, None], 2)
        at_pivot = jax.lax.dynamic_slice_in_dim(column, i, 1, 1)
        length = jnp.sqrt(jnp.square(column).sum(1, keepdims=True))
        # The sign of the pivot makes the normal of the mirror a sum that does not cancel.
        signed = jnp.where(at_pivot < 0, -length, length)
        normal = column + jnp.where((index == i)[None, :, None], signed, jnp.zeros_like(signed))
        squared = jnp.square(normal).sum(1, keepdims=True)
        unit = normal * jax.lax.rsqrt(jnp.where(squared > 0, squared, jnp.ones_like(squared)))
        projection = matmul(unit.swapaxes(1, 2), residual)
        rotated = matmul(orthogonal, unit)
        return residual - 2 * unit * projection, orthogonal - 2 * rotated * unit.swapaxes(1, 2)

    # Squares of entries of any magnitude stay in range after the division by the largest entry.
    scale = jnp.abs(matrices).max((1, 2), keepdims=True)
    matrices = matrices / jnp.where(scale > 0, scale, jnp.ones_like(scale))
    identity = jnp.broadcast_to(jnp.eye(num_dims, dtype=matrices.dtype), matrices.shape)
    identity = varying_with(matrices, identity)
    return jax.lax.fori_loop(0, min(num_dims - 1, MAX_ROTATED), reflect, (matrices, identity))[1]
