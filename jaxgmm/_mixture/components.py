"""Pairs of Gaussian components: exact quantities between each component of one mixture and each of another."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM, log_det
from jaxgmm._numerics.autodiff import not_negative
from jaxgmm._numerics.linalg import (
    diagonal_matrices,
    inv_tril,
    log_det_and_mahalanobis,
    matmul,
    procrustes,
    unpack_tril,
)
from jaxgmm._numerics.special import expm1_less_linear

T = TypeVar("T")


def component_kl(p: GMM, q: GMM) -> Array:
    """KL(p_k || q_j), (K_p, K_q)."""
    if p.off_diag is None and q.off_diag is None:
        offsets = _offsets(p, q) * jnp.exp(-_log_scale(q))[None]
        ratio = _log_scale(p)[:, None] - _log_scale(q)[None]
        return 0.5 * (expm1_less_linear(2 * ratio) + jnp.square(offsets)).sum(-1)
    return _map_rows(_kl_row, p, q)


def component_overlaps(p: GMM, q: GMM) -> tuple[Array, Array]:
    """-log of the integral of sqrt(p_k q_j), and log of that of p_k q_j, which is log N(mu_k; mu_j, Sigma_k + Sigma_j)."""
    log_ratio, mahalanobis = _average(p, q)
    log_geometric_mean = 0.5 * (log_det(p)[:, None] + log_det(q)[None])
    log_overlap = (
        -0.5 * p.num_dims * math.log(4 * math.pi) - log_geometric_mean - log_ratio - mahalanobis / 4
    )
    return log_ratio + mahalanobis / 8, log_overlap


def component_entropy(p: GMM) -> Array:
    """The entropy of each component, (K or 1,)."""
    return log_det(p) + 0.5 * p.num_dims * math.log(2 * math.pi * math.e)


def component_wasserstein_squared(p: GMM, q: GMM) -> Array:
    """The squared Wasserstein-2 distance of p_k and q_j, (K_p, K_q)."""
    if p.off_diag is None and q.off_diag is None:
        spread = jnp.exp(_log_scale(p))[:, None] - jnp.exp(_log_scale(q))[None]
        return jnp.square(_offsets(p, q)).sum(-1) + jnp.square(spread).sum(-1)
    return _map_rows(_wasserstein_row, p, q)


def _average(p: GMM, q: GMM) -> tuple[Array, Array]:
    """With S the average of the covariances of a pair, 1/2 log(det S / geometric mean of the two) and |mu_k - mu_j|^2 in S."""
    if p.off_diag is None and q.off_diag is None:
        log_p, log_q = _log_scale(p)[:, None], _log_scale(q)[None]
        log_average = jnp.logaddexp(2 * log_p, 2 * log_q) - math.log(2)
        mahalanobis = jnp.square(_offsets(p, q) * jnp.exp(-0.5 * log_average)).sum(-1)
        return not_negative(0.5 * (log_average - log_p - log_q).sum(-1)), mahalanobis
    return _map_rows(_average_row, p, q)


class _Rows(NamedTuple):
    """A mixture by the rows of its covariances: K, or 1 that all means share."""

    log_diag: Array
    """(R, D)"""
    factor: Array
    """(R, D, D)"""
    means: Array
    """(R, K / R, D)"""


def _rows(gmm: GMM) -> _Rows:
    d, log_diag = gmm.num_dims, gmm.log_diag
    factor = (
        diagonal_matrices(jnp.exp(_log_scale(gmm)))
        if gmm.off_diag is None
        else unpack_tril(log_diag, gmm.off_diag, d)
    )
    num_rows = len(factor)
    return _Rows(
        jnp.broadcast_to(log_diag, (num_rows, d)), factor, gmm.loc.reshape(num_rows, -1, d)
    )


def _map_rows(between: Callable[[_Rows, _Rows], T], p: GMM, q: GMM) -> T:
    """All of p against one row of q at a time, (R_p, m_p, m_q) each, recomputed for the gradient: (K_p, K_q)."""
    rows = _rows(p)

    @functools.partial(
        jax.checkpoint, prevent_cse=False
    )  # a scan keeps the two passes apart already
    def against(row: _Rows) -> T:
        return between(rows, jax.tree.map(lambda leaf: leaf[None], row))

    shape = (p.num_components, q.num_components)
    return jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf, 0, 2).reshape(shape), jax.lax.map(against, _rows(q))
    )


def _kl_row(p: _Rows, q: _Rows) -> Array:
    inverse = inv_tril(q.factor)
    # W L_p off its diagonal is W (L_p - L_q), as W L_q = I; a difference keeps its digits where the two nearly agree.
    widened = jnp.exp(q.log_diag) * jnp.expm1(p.log_diag - q.log_diag)
    change = jnp.tril(p.factor - q.factor, -1) + diagonal_matrices(widened)
    below = jnp.tril(matmul(inverse, change), -1)
    spread = expm1_less_linear(2 * (p.log_diag - q.log_diag)).sum(-1) + jnp.square(below).sum(
        (1, 2)
    )
    whitened = matmul(_row_offsets(p, q), inverse.mT)
    return 0.5 * (spread[:, None] + jnp.square(whitened).sum(2)).reshape(_row_shape(p, q))


def _average_row(p: _Rows, q: _Rows) -> tuple[Array, Array]:
    both = jnp.concatenate([p.factor, jnp.broadcast_to(q.factor, p.factor.shape)], axis=2)
    log_average, mahalanobis = log_det_and_mahalanobis(math.sqrt(0.5) * both, _row_offsets(p, q))
    log_ratio = not_negative(log_average - 0.5 * (p.log_diag + q.log_diag).sum(-1))
    shape = _row_shape(p, q)
    return jnp.broadcast_to(log_ratio[:, None, None], shape), mahalanobis.reshape(shape)


def _wasserstein_row(p: _Rows, q: _Rows) -> Array:
    spread = procrustes(p.factor, jnp.broadcast_to(q.factor, p.factor.shape))
    return (spread[:, None] + jnp.square(_row_offsets(p, q)).sum(2)).reshape(_row_shape(p, q))


def _row_offsets(p: _Rows, q: _Rows) -> Array:
    """mu_rm - mu_n for the means (R, m_p, D) of p and (1, m_q, D) of q, (R, m_p m_q, D)."""
    return (p.means[:, :, None] - q.means[:, None]).reshape(len(p.means), -1, p.means.shape[2])


def _row_shape(p: _Rows, q: _Rows) -> tuple[int, int, int]:
    return len(p.means), p.means.shape[1], q.means.shape[1]


def _log_scale(gmm: GMM) -> Array:
    """log sigma (K, D) of a diagonal mixture."""
    return jnp.broadcast_to(gmm.log_diag, gmm.loc.shape)


def _offsets(p: GMM, q: GMM) -> Array:
    """mu_k - mu_j, (K_p, K_q, D)."""
    return p.loc[:, None] - q.loc[None]
