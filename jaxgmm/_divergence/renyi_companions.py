"""The geometric mean of the components of q that stands beside each component of p, for a > 1."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._divergence.renyi_tails import has_infinite_tail
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.powers import Companion, quotient
from jaxgmm._numerics.linalg import matmul

STEPS = 200
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


def companions(p: GMM, q: GMM, order: float) -> tuple[Array, Array, Array]:
    r"""The orders (K,) and log-shares l (K, J) of the products, and whether the value is infinite.

    The shares minimise the integral of :math:`p_k^a \prod_j (w_j q_j / l_j)^{(1 - a) l_j}`, which
    is convex in l. It is least where l is the softmax of :math:`\log w_j + E[\log q_j]` under the
    product itself. Mirror descent moves there, while the order rises from 1, where each product has
    an integral, to a. The order stays below a where no product of order a was found.
    """
    of_q = Companion.of(p, q)
    least = float(jnp.finfo(p.loc.dtype).min) / 8
    log_weights = jnp.maximum(q.log_weights, least)
    alive, alive_q = p.logits > -jnp.inf, (q.logits > -jnp.inf)[None]

    def goal_of(mean: Array, covariance: Array) -> Array:
        second = covariance + mean[..., None] * mean[..., None, :]
        squares = (of_q.squares * second[:, None]).sum((2, 3, 4))
        squares = squares + of_q.lengths - 2 * (of_q.pulls * mean[:, None]).sum((2, 3))
        return jnp.maximum(log_weights[None] - of_q.log_dets - 0.5 * squares, least)

    def gap(now: Search) -> Array:
        shares = jnp.exp(now.log_shares)
        slope = now.goal - jnp.maximum(now.log_shares, LEAST_LOG_SHARE)
        return (order - 1) * (jnp.where(alive_q, slope, -jnp.inf).max(1) - (shares * slope).sum(1))

    def is_unfinished(now: Search) -> Array:
        return alive & ((now.orders < order) | (gap(now) > GAP))

    def step(state: tuple[Array, Search]) -> tuple[Array, Search]:
        count, now = state
        rises = (now.orders < order) & (count % 2 == 0)
        rate = jnp.where(rises, 0, now.rate)[:, None]
        log_shares = jax.nn.log_softmax((1 - rate) * now.log_shares + rate * now.goal, 1)
        higher = jnp.where(now.rise < 1, now.orders + now.rise * (order - now.orders), order)
        orders = jnp.where(rises, higher, now.orders)
        shares = jnp.exp(log_shares)
        found = quotient(of_q.mean(shares), orders)
        entropy = (shares * jnp.where(shares > 0, log_weights[None] - log_shares, 0)).sum(1)
        value = found.log_integral + (1 - orders) * entropy
        is_better = jnp.isfinite(value) & (rises | (value <= now.value))
        goal = goal_of(found.mean, matmul(found.root.mT, found.root))
        new = Search(orders, log_shares, goal, value, now.rate, now.rise)
        new = jax.tree.map(lambda x, y: jnp.where(_like(is_better, x), x, y), new, now)
        factor = jnp.where(is_better, 2, 0.5)
        rate = jnp.where(rises, now.rate, jnp.minimum(1, factor * now.rate))
        rise = jnp.where(rises, jnp.minimum(1, factor * now.rise), now.rise)
        return count + 1, new._replace(rate=rate, rise=rise)

    ones = jnp.ones_like(p.logits)
    shape = of_q.squares.shape
    eye = jnp.broadcast_to(jnp.eye(shape[-1], dtype=p.loc.dtype), (shape[0], *shape[2:]))
    goal = goal_of(jnp.zeros_like(p.loc).reshape(shape[0], *shape[2:4]), eye)
    start = Search(ones, jax.nn.log_softmax(goal, 1), goal, ones * jnp.inf, ones, ones)
    _, end = jax.lax.while_loop(
        lambda state: (state[0] < STEPS) & is_unfinished(state[1]).any(),
        step,
        (jnp.zeros((), np.int32), start),
    )
    undecided = alive & (end.orders < order)
    orders = jnp.where(undecided, 1 + MARGIN * (end.orders - 1), end.orders)
    return orders, end.log_shares, has_infinite_tail(p, q, order, undecided)


def _like(flags: Array, x: Array) -> Array:
    return flags.reshape(flags.shape + (1,) * (x.ndim - 1))
