"""Exact quantities between each Gaussian component of one mixture and each of another."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM, is_diagonal, log_det, scale_of
from jaxgmm._numerics import linalg
from jaxgmm._numerics.linalg import diagonal_matrices, matmul, power_of_two
from jaxgmm._numerics.special import expm1_less_linear, not_negative

T = TypeVar("T")


def component_kl(p: GMM, q: GMM) -> Array:
    """KL(p_k || q_j), (K_p, K_q)."""
    if not is_diagonal(p, q):
        return _map_rows(_kl_row, p, q)
    offsets = (p.loc[:, None] - q.loc[None]) * jnp.exp(-scale_of(q).log_sigma)[None]
    ratio = scale_of(p).log_sigma[:, None] - scale_of(q).log_sigma[None]
    return 0.5 * (expm1_less_linear(2 * ratio) + jnp.square(offsets)).sum(-1)


def component_overlaps(p: GMM, q: GMM) -> tuple[Array, Array]:
    """The distances -log int sqrt(p_k q_j) and the overlaps log int p_k q_j, (K_p, K_q) each."""
    log_ratio, mahalanobis = _average(p, q)
    log_geometric_mean = 0.5 * (log_det(p)[:, None] + log_det(q)[None])
    log_peak = -0.5 * p.num_dims * math.log(4 * math.pi) - log_geometric_mean - log_ratio
    return log_ratio + mahalanobis / 8, log_peak - mahalanobis / 4


def component_entropy(p: GMM) -> Array:
    """The entropies of the components, (K or 1,)."""
    return log_det(p) + 0.5 * p.num_dims * math.log(2 * math.pi * math.e)


def component_wasserstein_squared(p: GMM, q: GMM) -> tuple[Array, Array]:
    """The squared Wasserstein-2 distances of p_k and q_j, (K_p, K_q), in a unit squared; the unit.

    The unit is the root of the size of p and q. Their distances and gradients are then in range.
    """
    sizes = [jnp.maximum(jnp.exp(m.log_diag.max()), jnp.abs(m.loc).max()) for m in (p, q)]
    unit = power_of_two(jnp.sqrt(jnp.maximum(*sizes)))

    if is_diagonal(p, q):
        offsets = p.loc[:, None] - q.loc[None]
        spread = jnp.exp(scale_of(p).log_sigma)[:, None] - jnp.exp(scale_of(q).log_sigma)[None]
        return (jnp.square(offsets / unit) + jnp.square(spread / unit)).sum(-1), unit

    def of_rows(p: _Rows, q: _Rows) -> Array:
        a, b = p.factor / unit, jnp.broadcast_to(q.factor / unit, p.factor.shape)
        shift = jnp.square(_row_offsets(p, q) / unit).sum(2)
        return (linalg.procrustes(a, b)[:, None] + shift).reshape(_row_shape(p, q))

    return _map_rows(of_rows, p, q), unit


def _average(p: GMM, q: GMM) -> tuple[Array, Array]:
    """log sqrt(det S / (det L_k det L_j)), |S^-1/2 (mu_k - mu_j)|^2, for the mean covariance S."""
    if not is_diagonal(p, q):
        return _map_rows(_average_row, p, q)
    log_p = scale_of(p).log_sigma[:, None]
    log_q = scale_of(q).log_sigma[None]
    log_average = jnp.logaddexp(2 * log_p, 2 * log_q) - math.log(2)
    offsets = (p.loc[:, None] - q.loc[None]) * jnp.exp(-0.5 * log_average)
    log_ratio = not_negative(0.5 * (log_average - log_p - log_q).sum(-1))
    return log_ratio, jnp.square(offsets).sum(-1)


class _Rows(NamedTuple):
    """A mixture as R covariances, one for each component or one for all, and the means of each."""

    log_diag: Array  # (R, D), the log-diagonals of the Cholesky factors
    factor: Array  # (R, D, D), the Cholesky factors
    means: Array  # (R, K / R, D), the means of the components of each covariance


def _rows(gmm: GMM) -> _Rows:
    factor = scale_of(gmm).rows()
    shape = len(factor), gmm.num_dims
    means = gmm.loc.reshape(len(factor), -1, gmm.num_dims)
    return _Rows(jnp.broadcast_to(gmm.log_diag, shape), factor, means)


def _map_rows(between: Callable[[_Rows, _Rows], T], p: GMM, q: GMM) -> T:
    """The matrix (K_p, K_q) of a function of all rows of p and one row of q to (R_p, m_p, m_q).

    A loop over the rows of q bounds the memory. The gradient computes its steps again.
    """
    rows = _rows(p)

    # XLA cannot merge the passes of a loop with each other, so no barrier against that is needed.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def against(row: _Rows) -> T:
        return between(rows, jax.tree.map(lambda leaf: leaf[None], row))

    def as_matrix(leaf: Array) -> Array:
        return jnp.moveaxis(leaf, 0, 2).reshape(p.num_components, q.num_components)

    return jax.tree.map(as_matrix, jax.lax.map(against, _rows(q)))


def _kl_row(p: _Rows, q: _Rows) -> Array:
    inverse = linalg.inv_tril(q.factor)
    # W L_q = I, so W L_p and W (L_p - L_q) agree off the diagonal. The difference keeps its digits
    # where the two factors nearly agree.
    widened = jnp.exp(q.log_diag) * jnp.expm1(p.log_diag - q.log_diag)
    change = jnp.tril(p.factor - q.factor, -1) + diagonal_matrices(widened)
    below = jnp.square(jnp.tril(matmul(inverse, change), -1)).sum((1, 2))
    spread = expm1_less_linear(2 * (p.log_diag - q.log_diag)).sum(-1) + below
    whitened = matmul(_row_offsets(p, q), inverse.mT)
    return 0.5 * (spread[:, None] + jnp.square(whitened).sum(2)).reshape(_row_shape(p, q))


def _average_row(p: _Rows, q: _Rows) -> tuple[Array, Array]:
    both = jnp.concatenate([p.factor, jnp.broadcast_to(q.factor, p.factor.shape)], axis=2)
    roots = math.sqrt(0.5) * both
    log_average, mahalanobis = linalg.log_det_and_mahalanobis(roots, _row_offsets(p, q))
    log_ratio = not_negative(log_average - 0.5 * (p.log_diag + q.log_diag).sum(-1))
    shape = _row_shape(p, q)
    return jnp.broadcast_to(log_ratio[:, None, None], shape), mahalanobis.reshape(shape)


def _row_offsets(p: _Rows, q: _Rows) -> Array:
    """The offsets (R, m_p m_q, D) of the means (R, m_p, D) of p from the means (1, m_q, D) of q."""
    return (p.means[:, :, None] - q.means[:, None]).reshape(len(p.means), -1, p.means.shape[2])


def _row_shape(p: _Rows, q: _Rows) -> tuple[int, int, int]:
    return len(p.means), p.means.shape[1], q.means.shape[1]
