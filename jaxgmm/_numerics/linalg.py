"""Products in full precision, packed triangles, and factorisations without LAPACK."""

# No jitted path calls LAPACK (cholesky, solve_triangular, eigh, svd, qr). XLA on CPU may deadlock
# where one program, such as a divergence of two mixtures, has two independent batched LAPACK calls.
# A product with an inverse is also much faster than a triangular solve for each point.

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._numerics.transforms import derivative_by_retracing, on_any_mesh, varying_with

Pair = tuple[Array, Array]
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


@on_any_mesh
def unpack_tril(log_diag: Array, off_diag: Array, num_dims: int) -> Array:
    """Triangles (R, D, D) with the diagonal exp(log_diag) and the rows off_diag below it."""
    rows, columns = np.tril_indices(num_dims, -1)
    strict = jnp.zeros((len(off_diag), num_dims, num_dims), off_diag.dtype)
    strict = strict.at[:, rows, columns].set(off_diag)
    diagonal = jnp.broadcast_to(jnp.exp(log_diag), (len(log_diag), num_dims))
    return strict + diagonal_matrices(diagonal)


@on_any_mesh
def pack_tril(lower: Array) -> Pair:
    """Triangles (R, D, D) -> log_diag (R, D) and off_diag (R, D (D - 1) / 2)."""
    rows, columns = np.tril_indices(lower.shape[-1], -1)
    return jnp.log(_diagonals(lower)), lower[:, rows, columns]


def diagonal_matrices(diagonals: Array) -> Array:
    """Diagonals (R, D) -> matrices (R, D, D)."""
    return diagonals[:, :, None] * jnp.eye(diagonals.shape[1], dtype=diagonals.dtype)[None]


def power_of_two(x: Array) -> Array:
    """The powers of two nearest to positive numbers, and 1 for 0; constant in derivatives."""
    # Division by them is exact, and brings squares of numbers in any unit into the dtype's range.
    held = jax.lax.stop_gradient(x)
    rounded = jax.lax.reduce_precision(held, jnp.finfo(x.dtype).nexp, 0)
    return jnp.where(held > 0, rounded, jnp.ones_like(held))


def norm(x: Array, axis: int | tuple[int, ...]) -> Array:
    """The square root of the sum of squares along axes, in any unit."""
    unit = power_of_two(jnp.abs(x).max(axis, keepdims=True))
    return unit.squeeze(axis) * jnp.sqrt(jnp.square(x / unit).sum(axis))


def gram(roots: Array) -> Array:
    """The products B B^T of roots (R, D, m), each coordinate in any unit."""
    # The root of each unit is divided out, which keeps products in range in the gradient, too.
    unit = power_of_two(jnp.sqrt(jnp.abs(roots).max(2, keepdims=True)))
    scaled = roots / unit
    return unit * matmul(scaled, scaled.mT) * unit.mT


def _diagonals(matrices: Array) -> Array:
    return jnp.diagonal(matrices, axis1=1, axis2=2)


@jax.custom_jvp
def inv_tril(lower: Array) -> Array:
    r"""The inverses W of a batch of lower triangles L (R, D, D).

    Each step doubles the size of the diagonal blocks that W inverts. With the blocks below them in
    one matrix C, a step is W - W C W. It puts :math:`-B^{-1} C A^{-1}` below two blocks A and B.
    """
    num_dims = lower.shape[-1]
    index = np.arange(num_dims)

    def double(level: Array, inverse: Array) -> Array:
        block = index >> level
        pair = index >> (level + 1)
        is_below = (pair[:, None] == pair[None, :]) & (block[:, None] > block[None, :])
        blocks = jnp.where(is_below[None], lower, jnp.zeros_like(lower))
        return inverse - matmul(matmul(inverse, blocks), inverse)

    inverse_diagonal = diagonal_matrices(1 / _diagonals(lower))
    return jax.lax.fori_loop(0, (num_dims - 1).bit_length(), double, inverse_diagonal)


@inv_tril.defjvp
def _inv_tril_jvp(primals: tuple[Array], tangents: tuple[Array]) -> Pair:
    # dW = -W dL W
    inverse = inv_tril(primals[0])
    return inverse, -matmul(matmul(inverse, tangents[0]), inverse)


@jax.custom_jvp
def tril_of(roots: Array) -> Pair:
    r"""The lower triangles L (R, D, D) with :math:`L L^T = B B^T`, and their inverses.

    The roots B (R, D, m) have full row rank. Roots A and B of two covariances give the root [A B]
    of their sum. The sum is never formed, which saves half the digits that its condition number
    would cost. The algorithm is modified Gram-Schmidt on the rows of B, each in its own unit. The
    same row operations turn the identity into the inverse of L.
    """
    num_dims, width = roots.shape[1:]
    unit = power_of_two(jnp.abs(roots).max(2, keepdims=True))

    def orthogonalise(k: Array, state: Pair) -> Pair:
        lower, residual = state
        row = residual[:, k] / jnp.sqrt(jnp.square(residual[:, k, :width]).sum(-1, keepdims=True))
        column = einsum("rdm,rm->rd", residual[:, :, :width], row[:, :width])
        column = jnp.where((np.arange(num_dims) >= k)[None], column, jnp.zeros_like(column))
        residual = residual - column[:, :, None] * row[:, None]
        return lower.at[:, :, k].set(column), residual.at[:, k].set(row)

    identity = jnp.eye(num_dims, dtype=roots.dtype)[None]
    identity = jnp.broadcast_to(identity, (len(roots), num_dims, num_dims))
    identity = varying_with(roots, identity)
    start = 0 * identity, jnp.concatenate([roots / unit, identity], axis=2)
    lower, residual = jax.lax.fori_loop(0, num_dims, orthogonalise, start)
    return unit * lower, residual[:, :, width:] / unit.mT


@tril_of.defjvp
def _tril_of_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Pair, Pair]:
    # dL = L Phi and dW = -Phi W. Phi is the lower triangle of W d(B B^T) W^T, its diagonal halved.
    lower, inverse = tril_of(primals[0])
    half = matmul(matmul(inverse, tangents[0]), matmul(inverse, primals[0]).mT)
    phi = jnp.tril(half + half.mT, -1) + diagonal_matrices(_diagonals(half))
    return (lower, inverse), (matmul(lower, phi), -matmul(phi, inverse))


@jax.custom_jvp
def cholesky_if_definite(matrices: Array, least: Array) -> Pair:
    """The lower triangles L (R, D, D) with L L^T = S, and whether S is positive definite (R,).

    It counts as definite if all squares on the diagonal of L exceed ``least`` (R,), the rounding of
    S. Otherwise L is the identity, with derivative 0.
    """
    num_dims = matrices.shape[-1]
    index = np.arange(num_dims)

    def eliminate(k: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        lower, rest, definite = state
        pivot = rest[:, k, k]
        definite = definite & (pivot > least)
        root = jnp.sqrt(jnp.where(definite, pivot, jnp.ones_like(pivot)))
        column = jnp.where((index >= k)[None], rest[:, :, k] / root[:, None], 0)
        rest = rest - column[:, :, None] * column[:, None]
        return lower.at[:, :, k].set(column), rest, definite

    empty = varying_with(matrices, (jnp.zeros_like(matrices), jnp.ones(len(matrices), bool)))
    start = empty[0], matrices, empty[1]
    lower, _, definite = jax.lax.fori_loop(0, num_dims, eliminate, start)
    identity = jnp.eye(num_dims, dtype=matrices.dtype)[None]
    return jnp.where(definite[:, None, None], lower, identity), definite


@cholesky_if_definite.defjvp
def _cholesky_if_definite_jvp(primals: Pair, tangents: Pair) -> tuple[Pair, tuple[Array, Any]]:
    # dL = L Phi, with Phi the lower triangle of W dS W^T, its diagonal halved.
    lower, definite = cholesky_if_definite(*primals)
    inverse = inv_tril(lower)
    moved = jnp.where(definite[:, None, None], tangents[0], jnp.zeros_like(tangents[0]))
    change = matmul(matmul(inverse, moved), inverse.mT)
    phi = jnp.tril(change, -1) + 0.5 * diagonal_matrices(_diagonals(change))
    no_tangent = np.zeros(definite.shape, jax.dtypes.float0)
    return (lower, definite), (matmul(lower, phi), no_tangent)


@jax.custom_jvp
def log_det_and_mahalanobis(roots: Array, offsets: Array) -> Pair:
    """1/2 log det S (R,) and x^T S^-1 x (R, n) of S = B B^T, for B (R, D, m) and x (R, n, D).

    The row operations make the rows of B orthogonal, and x proportional to L^-1 x.
    """
    num_dims, width = roots.shape[1:]
    unit = power_of_two(jnp.abs(roots).max(2, keepdims=True))

    def eliminate(k: Array, rows: Array) -> Array:
        root = rows[:, k, :width]
        column = einsum("rdm,rm->rd", rows[:, :, :width], root) / jnp.square(root).sum(1)[:, None]
        below = jnp.where((np.arange(num_dims) > k)[None], column, jnp.zeros_like(column))
        return rows - below[:, :, None] * rows[:, k, None]

    start = jnp.concatenate([roots, offsets.mT], axis=2) / unit
    rows = jax.lax.fori_loop(0, num_dims - 1, eliminate, start)
    squares = jnp.square(rows[:, :, :width]).sum(2)
    log_det = (0.5 * jnp.log(squares) + jnp.log(unit[:, :, 0])).sum(1)
    return log_det, (jnp.square(rows[:, :, width:]) / squares[:, :, None]).sum(1)


@log_det_and_mahalanobis.defjvp
def _log_det_and_mahalanobis_jvp(primals: Pair, tangents: Pair) -> tuple[Pair, Pair]:
    # d 1/2 log det S = tr(B^T S^-1 dB); d x^T S^-1 x = 2 y^T dx - 2 y^T dB B^T y with y = S^-1 x.
    roots, offsets = primals
    droots, doffsets = tangents
    lower, inverse = tril_of(roots)
    whitened = matmul(offsets, inverse.mT)
    solved = matmul(whitened, inverse)
    dlog_det = (matmul(inverse.mT, matmul(inverse, roots)) * droots).sum((1, 2))
    dsquares = (solved * doffsets).sum(2) - (matmul(solved, droots) * matmul(solved, roots)).sum(2)
    values = jnp.log(_diagonals(lower)).sum(1), jnp.square(whitened).sum(2)
    return values, (dlog_det, 2 * dsquares)


@jax.custom_jvp
def procrustes(a: Array, b: Array) -> Array:
    r"""The minimum (R,) of :math:`\|A Q - B\|_F^2` over orthogonal Q, for triangles (R, D, D).

    It equals tr(A A^T) + tr(B B^T) less twice the nuclear norm of A^T B, but does not cancel.
    """
    return jnp.square(_misfit(a, b)[1]).sum((1, 2))


@procrustes.defjvp
def _procrustes_jvp(primals: Pair, tangents: Pair) -> Pair:
    # As Q is a minimiser, the derivative in Q is 0.
    rotation, misfit = _misfit(*primals)
    change = matmul(tangents[0], rotation) - tangents[1]
    return jnp.square(misfit).sum((1, 2)), 2 * (misfit * change).sum((1, 2))


def _misfit(a: Array, b: Array) -> Pair:
    """The best Q, which is the orthogonal factor of A^T B, and A Q - B."""
    smallest = 1 / (norm(inv_tril(a), (1, 2)) * norm(inv_tril(b), (1, 2)))
    rotation = orthogonal_factor(matmul(a.mT, b), smallest)
    return rotation, matmul(a, rotation) - b


@derivative_by_retracing
def orthogonal_factor(matrices: Array, smallest: Array) -> Array:
    r"""The orthogonal Q of the polar decomposition M = Q H of matrices M (R, D, D).

    The scale a in the Newton-Schulz iteration :math:`X \leftarrow \tfrac12 a X (3 I - a^2 X^T X)`
    raises the lower bound of the singular values fastest and keeps their upper bound at 1. The
    argument ``smallest`` (R,) is a lower bound of the singular values of M.

    References:
      Chen and Chow, A stable scaling of Newton-Schulz, Argonne ANL/MCS-P5059-0114 (2014).
    """
    precision = float(jnp.finfo(matrices.dtype).eps)
    identity = jnp.eye(matrices.shape[-1], dtype=matrices.dtype)[None]

    def step(state: Pair) -> Pair:
        x, low = state
        # A larger scale could change the sign of a singular value that rounding has put above 1.
        square = jnp.minimum(3 / (1 + low + low * low), 2.9)
        scale = jnp.sqrt(square)
        scaled = (0.5 * scale)[:, None, None] * x
        x = matmul(scaled, 3 * identity - square[:, None, None] * matmul(x.mT, x))
        return x, 0.5 * scale * low * (3 - square * low * low)

    size = norm(matrices, (1, 2))
    low = jax.lax.stop_gradient(jnp.clip(smallest / size, precision**2, 1))
    start = matrices / size[:, None, None], low
    return jax.lax.while_loop(lambda state: (state[1] < 1 - 8 * precision).any(), step, start)[0]
