"""Batches of matrices: packed triangles, and factorisations made of products and elementwise work alone."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._numerics.autodiff import derivative_by_retracing

HIGHEST = jax.lax.Precision.HIGHEST


def matmul(a: Array, b: Array) -> Array:
    """The matrix product, in the full precision of the dtype on every device."""
    return jnp.matmul(a, b, precision=HIGHEST)


def vdot(a: Array, b: Array) -> Array:
    """The sum of a b over all elements, in full precision."""
    return jnp.vdot(a, b, precision=HIGHEST)


def einsum(subscripts: str, *operands: Array) -> Array:
    """`jnp.einsum`, in full precision."""
    return jnp.einsum(subscripts, *operands, precision=HIGHEST)


def unpack_tril(log_diag: Array, off_diag: Array, num_dims: int) -> Array:
    """The triangles (R, D, D) with diagonal exp(log_diag) and the strict lower part off_diag, row by row."""
    rows, columns = np.tril_indices(num_dims, -1)
    strict = jnp.zeros((off_diag.shape[0], num_dims, num_dims), off_diag.dtype)
    strict = strict.at[:, rows, columns].set(off_diag)
    return strict + diagonal_matrices(
        jnp.broadcast_to(jnp.exp(log_diag), (log_diag.shape[0], num_dims))
    )


def pack_tril(lower: Array) -> tuple[Array, Array]:
    """Triangles (R, D, D) -> log_diag (R, D) and off_diag (R, D (D - 1) / 2)."""
    rows, columns = np.tril_indices(lower.shape[-1], -1)
    return jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)), lower[:, rows, columns]


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


@jax.custom_jvp
def tril_of(roots: Array) -> tuple[Array, Array]:
    r"""The lower triangles L (R, D, D) with :math:`L L^T = B B^T`, and their inverses, for roots B (R, D, m) of full row rank.

    A sum of covariances has the root [A B] if A and B are roots of its terms. So the sum itself is never formed, and what a
    condition number costs in digits is its square root. This is modified Gram-Schmidt on the rows of B, with its row operations
    done to the identity as well, which makes that the inverse.
    """
    num_dims, width = roots.shape[1:]

    def orthogonalise(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, rest = state
        row = rest[:, k] / jnp.sqrt(jnp.square(rest[:, k, :width]).sum(-1, keepdims=True))
        column = (rest[:, :, :width] * row[:, None, :width]).sum(-1)
        column = jnp.where((np.arange(num_dims) >= k)[None], column, jnp.zeros_like(column))
        rest = rest - column[:, :, None] * row[:, None]
        return lower.at[:, :, k].set(column), rest.at[:, k].set(row)

    identity = jnp.broadcast_to(
        jnp.eye(num_dims, dtype=roots.dtype)[None], (len(roots), num_dims, num_dims)
    )
    start = jnp.zeros_like(identity), jnp.concatenate([roots, identity], axis=2)
    lower, rest = jax.lax.fori_loop(0, num_dims, orthogonalise, start)
    return lower, rest[:, :, width:]


@tril_of.defjvp
def _tril_of_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    # dL = L Phi and dW = -Phi W, with Phi the lower triangle, the diagonal halved, of W d(B B^T) W^T.
    lower, inverse = tril_of(primals[0])
    half = matmul(matmul(inverse, tangents[0]), matmul(inverse, primals[0]).mT)
    phi = jnp.tril(half + half.mT, -1) + diagonal_matrices(jnp.diagonal(half, axis1=1, axis2=2))
    return (lower, inverse), (matmul(lower, phi), -matmul(phi, inverse))


@jax.custom_jvp
def log_det_and_mahalanobis(roots: Array, offsets: Array) -> tuple[Array, Array]:
    """With S = B B^T, for roots B (R, D, m) and offsets x (R, n, D): 1/2 log det S (R,) and x^T S^-1 x (R, n)."""
    lower, inverse = tril_of(roots)
    return _log_det_and_squares(lower, matmul(offsets, inverse.mT))


@log_det_and_mahalanobis.defjvp
def _log_det_and_mahalanobis_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    # d 1/2 log det S = tr(B^T S^-1 dB) and d x^T S^-1 x = 2 y^T dx - 2 y^T dB B^T y with y = S^-1 x: the triangle's own
    # derivative, which costs several more products, is not needed.
    (roots, offsets), (droots, doffsets) = primals, tangents
    lower, inverse = tril_of(roots)
    whitened = matmul(offsets, inverse.mT)
    solved = matmul(whitened, inverse)
    dlog_det = (matmul(inverse.mT, matmul(inverse, roots)) * droots).sum((1, 2))
    dsquares = (solved * doffsets).sum(2) - (matmul(solved, droots) * matmul(solved, roots)).sum(2)
    return _log_det_and_squares(lower, whitened), (dlog_det, 2 * dsquares)


def _log_det_and_squares(lower: Array, whitened: Array) -> tuple[Array, Array]:
    return jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)).sum(1), jnp.square(whitened).sum(2)


@jax.custom_jvp
def procrustes(a: Array, b: Array) -> Array:
    r"""The least :math:`\|A Q - B\|_F^2` (R,) over orthogonal Q, for lower triangles A and B (R, D, D).

    It is :math:`\mathrm{tr}(A A^T) + \mathrm{tr}(B B^T)` less twice the nuclear norm of :math:`A^T B`, but as a sum of squares.
    """
    return jnp.square(_misfit(a, b)[1]).sum((1, 2))


@procrustes.defjvp
def _procrustes_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    # Q is the best one, so how it changes does not matter.
    rotation, misfit = _misfit(*primals)
    change = matmul(tangents[0], rotation) - tangents[1]
    return jnp.square(misfit).sum((1, 2)), 2 * (misfit * change).sum((1, 2))


def _misfit(a: Array, b: Array) -> tuple[Array, Array]:
    """The best Q, which is the orthogonal factor of A^T B, and A Q - B."""
    smallest = 1 / (_frobenius(inv_tril(a)) * _frobenius(inv_tril(b)))
    rotation = orthogonal_factor(matmul(a.mT, b), smallest)
    return rotation, matmul(a, rotation) - b


@derivative_by_retracing
def orthogonal_factor(matrices: Array, smallest: Array) -> Array:
    r"""Q in the polar decomposition M = Q H of M (R, D, D), given lower bounds (R,) of the singular values of M.

    By the iteration of Newton and Schulz, :math:`X \leftarrow \tfrac12 a X (3 I - a^2 X^T X)`, with the scale a that raises the
    lower bound of the singular values fastest while their upper bound stays 1.

    References:
      Chen and Chow, A stable scaling of Newton-Schulz for improving the sign function computation of a Hermitian matrix,
      Argonne preprint ANL/MCS-P5059-0114 (2014).
    """
    precision = float(jnp.finfo(matrices.dtype).eps)
    identity = jnp.eye(matrices.shape[-1], dtype=matrices.dtype)[None]

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, low = state
        # A larger scale could turn the sign of a singular value that rounding has put above 1.
        square = jnp.minimum(3 / (1 + low + low * low), 2.9)
        scale = jnp.sqrt(square)
        scaled = (0.5 * scale)[:, None, None] * x
        x = matmul(scaled, 3 * identity - square[:, None, None] * matmul(x.mT, x))
        return x, 0.5 * scale * low * (3 - square * low * low)

    norm = _frobenius(matrices)
    low = jax.lax.stop_gradient(jnp.clip(smallest / norm, precision**2, 1))
    start = matrices / norm[:, None, None], low
    return jax.lax.while_loop(lambda state: (state[1] < 1 - 8 * precision).any(), step, start)[0]


def _frobenius(matrices: Array) -> Array:
    return jnp.sqrt(jnp.square(matrices).sum((1, 2)))


def _product(a: Array, b: Array, c: Array) -> Array:
    return matmul(matmul(a, b), c)
