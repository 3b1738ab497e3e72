"""Products p_k^a q_j^(1-a) of powers of a component of one mixture and a component of another."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.components import component_overlaps
from jaxgmm._mixture.gmm import GMM, is_diagonal, log_det, scale_of
from jaxgmm._mixture.products import product
from jaxgmm._mixture.scale import Leaves
from jaxgmm._numerics.linalg import cholesky_if_definite, inv_tril, matmul, pack_tril

ROUNDING = 32  # the units of rounding above which a difference of precisions counts as positive


class Powers(NamedTuple):
    """M Gaussians proportional to products of powers, and the integrals of the products."""

    log_integral: Array  # inf where a product has no finite integral; its Gaussian is that of p
    loc: Array
    leaves: Leaves


def rooted_products(p: GMM, q: GMM, order: float, k: Array, j: Array) -> Powers:
    r"""The products :math:`(\pi_k p_k)^a (w_j q_j)^{1 - a}` of the pairs (k, j), for 0 < a < 1."""
    p, q = _tempered(p, order), _tempered(q, 1 - order)
    both, log_overlap = jax.vmap(product)(_one_by_one(p, k), _one_by_one(q, j))
    leaves = (both.log_diag, None if both.off_diag is None else both.off_diag)
    leaves = jax.tree.map(lambda leaf: leaf[:, 0], leaves)
    return Powers(p.logits[k] + q.logits[j] + log_overlap, both.loc[:, 0], leaves)


def log_integrals_below_one(p: GMM, q: GMM, order: float) -> Array:
    """The logarithms of the integrals of `rooted_products` for all pairs, (K_p, K_q)."""
    p, q = _tempered(p, order), _tempered(q, 1 - order)
    return p.logits[:, None] + q.logits[None] + component_overlaps(p, q)[1]


def _tempered(gmm: GMM, order: float) -> GMM:
    r"""The Gaussians of covariance :math:`\Sigma_k / a`, and :math:`\log \int (\pi_k p_k)^a`."""
    log_roots = (1 - order) * (log_det(gmm) + 0.5 * gmm.num_dims * math.log(2 * math.pi))
    log_integrals = order * gmm.log_weights + log_roots - 0.5 * gmm.num_dims * math.log(order)
    off_diag = None if gmm.off_diag is None else gmm.off_diag / math.sqrt(order)
    return GMM(log_integrals, gmm.loc, gmm.log_diag - 0.5 * math.log(order), off_diag)


def _one_by_one(gmm: GMM, index: Array) -> GMM:
    """A stack of M mixtures, each of one component k from ``index`` (M,), with weight 1."""

    def rows(leaf: Array) -> Array:
        return jnp.broadcast_to(leaf, (gmm.num_components, leaf.shape[1]))[index][:, None]

    leaves = jax.tree.map(rows, (gmm.log_diag, gmm.off_diag))
    return GMM(jnp.zeros_like(gmm.logits, shape=(len(index), 1)), rows(gmm.loc), *leaves)


def quotients(p: GMM, q: GMM, orders: Array, j: Array) -> Powers:
    r"""The products :math:`(\pi_k p_k)^a (w_j q_j)^{1 - a}` for all k, each with its a >= 1 and j.

    In z, where x = mu_k + L_k z, and with :math:`G = L_j^{-1} L_k`, a product is proportional to a
    Gaussian of precision :math:`N = a I - (a - 1) G^T G` if N is positive definite.
    """
    between = _diagonal_quotients if is_diagonal(p, q) else _triangular_quotients
    powers = between(p, q, orders, j)
    of_q = jnp.where(orders > 1, (1 - orders) * q.log_weights[j], 0)
    log_weights = orders * p.log_weights + of_q
    return powers._replace(log_integral=powers.log_integral + log_weights)


def _diagonal_quotients(p: GMM, q: GMM, orders: Array, j: Array) -> Powers:
    a, b = orders[:, None], 1 - orders[:, None]
    log_p, log_q = (jnp.broadcast_to(gmm.log_diag, gmm.loc.shape) for gmm in (p, q))
    log_ratio, log_q = log_p - log_q[j], log_q[j]
    precision = a + b * jnp.exp(2 * log_ratio)
    definite = (precision > ROUNDING * jnp.finfo(a.dtype).eps * a).all(1, keepdims=True)
    log_ratio = jnp.where(definite, log_ratio, 0)
    precision = a + b * jnp.exp(2 * log_ratio)
    offset = jnp.where(definite, (q.loc[j] - p.loc) * jnp.exp(-log_q), 0)
    pull = jnp.exp(log_ratio) * offset / jnp.sqrt(precision)
    log_det_of_roots = 0.5 * jnp.log(precision).sum(1)
    squares = jnp.where(orders > 1, (jnp.square(offset) - b * jnp.square(pull)).sum(1), 0)
    log_integral = b[:, 0] * (log_ratio.sum(1) - 0.5 * squares) - log_det_of_roots
    loc = p.loc + jnp.exp(log_p) * b * pull / jnp.sqrt(precision)
    leaves = log_p - 0.5 * jnp.log(precision), None
    return Powers(jnp.where(definite[:, 0], log_integral, jnp.inf), loc, leaves)


def _triangular_quotients(p: GMM, q: GMM, orders: Array, j: Array) -> Powers:
    a, b = orders[:, None, None], 1 - orders[:, None, None]
    factor, inverse = scale_of(p).factors(), inv_tril(scale_of(q).rows())
    inverse = jnp.broadcast_to(inverse, (q.num_components, *inverse.shape[1:]))[j]
    ratio = matmul(inverse, factor)
    precision = a * jnp.eye(p.num_dims, dtype=p.loc.dtype)[None] + b * matmul(ratio.mT, ratio)
    least = ROUNDING * jnp.finfo(orders.dtype).eps * orders
    # With the coordinates reversed, N is U U^T with U upper, and so L_k U^-T is lower.
    root, definite = cholesky_if_definite(precision[:, ::-1, ::-1], least)
    inverse_root = inv_tril(root)[:, ::-1, ::-1]
    offset = matmul(inverse, (q.loc[j] - p.loc)[:, :, None])
    offset, ratio = (jnp.where(definite[:, None, None], x, 0) for x in (offset, ratio))
    pull = matmul(inverse_root, matmul(ratio.mT, offset))
    lower = matmul(factor, inverse_root.mT)
    log_det_p, log_det_q = (jnp.broadcast_to(log_det(gmm), len(gmm.loc)) for gmm in (p, q))
    log_root = jnp.log(jnp.diagonal(root, axis1=1, axis2=2)).sum(1)
    squares = jnp.square(offset[:, :, 0]).sum(1) - b[:, 0, 0] * jnp.square(pull[:, :, 0]).sum(1)
    squares = jnp.where(orders > 1, squares, 0)
    log_integral = b[:, 0, 0] * (log_det_p - log_det_q[j] - 0.5 * squares) - log_root
    loc = p.loc + matmul(lower, b * pull)[:, :, 0]
    return Powers(jnp.where(definite, log_integral, jnp.inf), loc, pack_tril(lower))
