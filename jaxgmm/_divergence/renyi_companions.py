"""The geometric mean of the components of q that stands beside each component of p, for a > 1."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.gmm import GMM, scale_of
from jaxgmm._mixture.products import ROUNDING, Companion, Order, quotient
from jaxgmm._numerics.linalg import einsum, inv_tril, matmul
from jaxgmm._numerics.transforms import cond, varying_with

STEPS, STEPS_ALONG_DIRECTIONS = 200, 64
GAP = 0.1  # the search ends this near to the least integral, in logarithms
LEAST_LOG_SHARE = -60.0  # what has less counts in the gap as if it had this much
MARGIN = 0.75  # an order below a is so much of the highest one found, less 1


class Search(NamedTuple):
    """For each component of p, where the descent stands."""

    orders: Array  # (K,); the search raises it from 1 to a
    log_shares: Array  # (K, J)
    goal: Array  # log w_j + E[log q_j] under the product, (K, J)
    value: Array  # the logarithm of the integral, (K,)
    rate: Array  # of a step towards the goal, (K,)
    rise: Array  # of a step of the order towards a, (K,)


def companions(p: GMM, q: GMM, order: Order) -> tuple[Array, Array, Array]:
    r"""The orders (K,) and log-shares l (K, J) of the products, and whether the value is infinite.

    The shares minimise the integral of :math:`p_k^a \prod_j (w_j q_j / l_j)^{(1 - a) l_j}`, which
    is convex in l. It is least where l is the softmax of :math:`\log w_j + E[\log q_j]` under the
    product itself. Mirror descent moves there, while the order rises from 1, where each product has
    an integral, to a. The order stays below a where no product of order a was found.
    """
    of_q, alive = Companion.of(p, q), p.logits > -jnp.inf
    log_weights = jnp.maximum(q.log_weights, float(jnp.finfo(p.loc.dtype).min) / 8)[None]

    def is_unfinished(now: Search) -> Array:
        is_far = _gap(now, order, q.logits > -jnp.inf) > GAP
        return alive & ((now.orders < order.a) | is_far)

    _, end = jax.lax.while_loop(
        lambda state: (state[0] < STEPS) & is_unfinished(state[1]).any(),
        lambda state: (state[0] + 1, _descent(*state, of_q, log_weights, order)),
        (jnp.zeros((), np.int32), _at_order_one(of_q, log_weights)),
    )
    undecided = alive & (end.orders < order.a)
    orders = jnp.where(undecided, 1 + MARGIN * (end.orders - 1), end.orders)
    return orders, end.log_shares, has_infinite_tail(p, q, order, undecided)


def _at_order_one(of_q: Companion, log_weights: Array) -> Search:
    """At order 1, where each product is p_k itself."""
    shape = of_q.squares.shape
    eye = jnp.broadcast_to(jnp.eye(shape[-1], dtype=log_weights.dtype), (shape[0], *shape[2:]))
    goal = _goal(of_q, log_weights, jnp.zeros_like(eye[..., 0]), eye)
    ones = jnp.ones_like(goal[:, 0])
    return Search(ones, jax.nn.log_softmax(goal, 1), goal, ones * jnp.inf, ones, ones)


def _goal(of_q: Companion, log_weights: Array, mean: Array, covariance: Array) -> Array:
    """log w_j + E[log q_j] under Gaussians in z, up to a constant."""
    second = covariance + mean[..., None] * mean[..., None, :]
    squares = (of_q.squares * second[:, None]).sum((2, 3, 4))
    squares = squares + of_q.lengths - 2 * (of_q.pulls * mean[:, None]).sum((2, 3))
    least = float(jnp.finfo(squares.dtype).min) / 8
    return jnp.maximum(log_weights - of_q.log_dets - 0.5 * squares, least)


def _gap(now: Search, order: Order, alive: Array) -> Array:
    """A bound on how far the logarithms of the integrals are from the least ones."""
    slope = now.goal - jnp.maximum(now.log_shares, LEAST_LOG_SHARE)
    mean = (jnp.exp(now.log_shares) * slope).sum(1)
    return -order.b * (jnp.where(alive[None], slope, -jnp.inf).max(1) - mean)


def _descent(
    count: Array, now: Search, of_q: Companion, log_weights: Array, order: Order
) -> Search:
    """A step of the shares, or of the order in every other step while it is below a."""
    rises = (now.orders < order.a) & (count % 2 == 0)
    rate = jnp.where(rises, 0, now.rate)[:, None]
    log_shares = jax.nn.log_softmax((1 - rate) * now.log_shares + rate * now.goal, 1)
    higher = jnp.where(now.rise < 1, now.orders + now.rise * (order.a - now.orders), order.a)
    orders = jnp.where(rises, higher, now.orders)
    shares = jnp.exp(log_shares)
    found = quotient(of_q.mean(shares), orders)
    entropy = (shares * jnp.where(shares > 0, log_weights - log_shares, 0)).sum(1)
    value = found.log_integral + (1 - orders) * entropy
    goal = _goal(of_q, log_weights, found.mean, matmul(found.root.mT, found.root))
    new = Search(orders, log_shares, goal, value, now.rate, now.rise)
    is_better = jnp.isfinite(value) & (rises | (value <= now.value))
    pick = jax.vmap(jnp.where)
    chosen = jax.tree.map(lambda x, y: pick(is_better, x, y), new, now)
    factor = jnp.where(is_better, 2, 0.5)
    rate = jnp.where(rises, now.rate, jnp.minimum(1, factor * now.rate))
    rise = jnp.where(rises, jnp.minimum(1, factor * now.rise), now.rise)
    return chosen._replace(rate=rate, rise=rise)


def has_infinite_tail(p: GMM, q: GMM, order: Order, undecided: Array) -> Array:
    """Whether the tail of one of the undecided components of p, (K_p,), is certainly too heavy."""
    if p.num_dims == 1:
        return (undecided & _on_the_line(p, q, order)).any()

    def in_space() -> Array:
        return (undecided & _along_directions(p, q, order)).any()

    return cond(undecided.any(), in_space, lambda: jnp.zeros((), bool))


def _on_the_line(p: GMM, q: GMM, order: Order) -> Array:
    """The exact criterion in one dimension, by the widest components of q and then their means."""
    log_p = jnp.broadcast_to(p.log_diag, p.loc.shape)[:, 0]
    log_q = jnp.broadcast_to(q.log_diag, q.loc.shape)[:, 0]
    alive = q.logits > -jnp.inf
    widest = jnp.where(alive, log_q, -jnp.inf).max()
    slack = jnp.log(order.a / jnp.abs(order.b)) + 2 * (widest - log_p)
    rounding = rounding_of(q) * (1 + jnp.abs(widest))
    ties = alive & (log_q >= widest - rounding)
    lowest = jnp.where(ties, q.loc[:, 0], jnp.inf).min()
    highest = jnp.where(ties, q.loc[:, 0], -jnp.inf).max()
    is_between = (lowest < p.loc[:, 0]) & (p.loc[:, 0] < highest)
    return (slack < -rounding) | ((slack <= rounding) & ~is_between)


def _along_directions(p: GMM, q: GMM, order: Order) -> Array:
    r"""Whether some direction v has :math:`a v^T P_k v < (a - 1) \min_j v^T P_j v`.

    The P are precisions. Equality suffices if one component of q alone has the minimum. A power
    iteration on a mean of the P_j, relative to P_k, shifts weight to the least :math:`v^T P_j v`.
    """
    factor, inverse = scale_of(p).factors(), inv_tril(scale_of(q).rows())
    inverse = jnp.broadcast_to(inverse, (q.num_components, *inverse.shape[1:]))
    dead = jnp.where(q.logits > -jnp.inf, 0, jnp.inf)
    bound, rounding = order.a / jnp.abs(order.b), rounding_of(q)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        direction, log_shares, found = state
        whitened = einsum("jab,kbc,kc->kja", inverse, factor, direction)
        curvatures = jnp.square(whitened).sum(2)
        least = (curvatures + dead[None]).min(1)
        ties = (curvatures + dead[None] <= least[:, None] * (1 + 2 * rounding)).sum(1)
        found = found | (least > bound * (1 + rounding))
        found = found | ((ties == 1) & (least >= bound * (1 - rounding)))
        log_shares = log_shares - curvatures / jnp.maximum(curvatures.max(1, keepdims=True), 1e-30)
        shares = jax.nn.softmax(log_shares - dead[None], 1)
        new = einsum("kcb,jac,kja,kj->kb", factor, inverse, whitened, shares)
        return new / jnp.sqrt(jnp.square(new).sum(1, keepdims=True)), log_shares, found

    start = jnp.full_like(p.loc, 1 / math.sqrt(p.num_dims))
    shares = jnp.zeros_like(p.loc, shape=(p.num_components, q.num_components))
    found = jnp.zeros(p.num_components, bool)
    start_of_loop = varying_with((p, q), (start, shares, found))
    return jax.lax.fori_loop(0, STEPS_ALONG_DIRECTIONS, step, start_of_loop)[2]


def rounding_of(gmm: GMM) -> float:
    """The relative rounding of a ratio of variances, with a margin."""
    return ROUNDING * float(jnp.finfo(gmm.loc.dtype).eps)
