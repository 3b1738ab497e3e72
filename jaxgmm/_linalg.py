"""Triangles: packing them into vectors, and inverting a batch of them by matrix products alone."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

HIGHEST = jax.lax.Precision.HIGHEST


def unpack_tril(log_diag: Array, off_diag: Array, num_dims: int) -> Array:
    """The triangles (R, D, D) with diagonal exp(log_diag) and the strict lower part off_diag, row by row."""
    rows, columns = np.tril_indices(num_dims, -1)
    strict = jnp.zeros((off_diag.shape[0], num_dims, num_dims), off_diag.dtype)
    strict = strict.at[:, rows, columns].set(off_diag)
    return strict + diagonal_matrices(jnp.broadcast_to(jnp.exp(log_diag), (log_diag.shape[0], num_dims)))


def diagonal_matrices(diagonals: Array) -> Array:
    """Diagonals (R, D) -> matrices (R, D, D)."""
    return diagonals[:, :, None] * jnp.eye(diagonals.shape[1], dtype=diagonals.dtype)[None]


@jax.custom_jvp
def inv_tril(lower: Array) -> Array:
    r"""The inverses W of a batch of lower triangles L (R, D, D).

    From the diagonal outwards, one doubling of the block size at a time:

    .. math:: \begin{pmatrix} A & 0 \\ C & B \end{pmatrix}^{-1}
              = \begin{pmatrix} A^{-1} & 0 \\ -B^{-1} C A^{-1} & B^{-1} \end{pmatrix}

    With W block diagonal and C the corners below its blocks, that is W - W C W for all blocks of a level at once.
    """
    num_dims = lower.shape[-1]
    index = np.arange(num_dims)

    def double(level: Array, inverse: Array) -> Array:
        block, pair = index >> level, index >> (level + 1)
        corner = (pair[:, None] == pair[None, :]) & (block[:, None] > block[None, :])
        corners = jnp.where(corner[None], lower, jnp.zeros_like(lower))
        return inverse - _product(inverse, corners, inverse)

    inverse_diagonal = diagonal_matrices(1 / jnp.diagonal(lower, axis1=1, axis2=2))
    return jax.lax.fori_loop(0, (num_dims - 1).bit_length(), double, inverse_diagonal)


@inv_tril.defjvp
def _inv_tril_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # dW = -W dL W
    inverse = inv_tril(primals[0])
    return inverse, -_product(inverse, tangents[0], inverse)


def _product(a: Array, b: Array, c: Array) -> Array:
    return jnp.matmul(jnp.matmul(a, b, precision=HIGHEST), c, precision=HIGHEST)
