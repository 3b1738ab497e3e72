"""The Renyi divergence by the integral of p^a q^(1-a), in two forms with one switch."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxgmm._divergence.entropies import held
from jaxgmm._divergence.renyi_companions import companions
from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.under_midpoint import (
    Part,
    expectation_under_midpoint,
    log_ratio_of_columns,
    mean_of_parts,
    parts_of_midpoint,
)
from jaxgmm._mixture.combine import centred, concatenate
from jaxgmm._mixture.density import weighted_log_densities
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.products import (
    Order,
    Powers,
    log_integrals_below_one,
    quotients,
    rooted_products,
)
from jaxgmm._mixture.sampling import pilot_nodes, placement
from jaxgmm._numerics.linalg import matmul, vdot
from jaxgmm._numerics.transforms import cond
from jaxgmm._quadrature.deterministic import SigmaPoints
from jaxgmm._quadrature.rule import Rule

NEAR_BELOW, NEAR_ABOVE = 0.8, 1.02  # an integral between these is estimated by its excess over 1
SHARE = 0.1  # the share of the points for the mixture that bounds the integrand
LARGEST = 40.0  # logarithms of integrands are clipped here, far above their bounds
POINTS_OF_A_GUESS = 32  # of each component
POINTS_OF_A_PAIR = 16  # with fewer points for each pair of components, only main pairs are sampled


def by_integral(
    key: Array | None, p: GMM, q: GMM, order: Order, rule: Rule, mesh: Mesh | None
) -> Array:
    """log(integral of p^a q^(1-a)) / (a - 1), which is inf if the integral is."""
    (p, q), order = centred(p, q), order.like(p)
    if order.form == "small":
        swapped = Order(order.b, order.a, "below")
        return order.a / order.b * by_integral(key, q, p, swapped, rule, mesh)
    guess = _guess(p, q, order)
    if order.form == "below":
        proposal = _below_one(p, q, order, rule)
        is_near, is_infinite = guess > NEAR_BELOW, jnp.zeros((), bool)
    else:
        *products, is_infinite = companions(*held((p, q, order)))
        proposal = above_one(p, q, order, *products)
        is_near = guess < NEAR_ABOVE

    def near() -> Array:
        excess = _excess_form(key, p, q, order, proposal, rule, mesh)
        change = jnp.maximum(-order.b * excess, -1 + jnp.finfo(excess.dtype).eps)
        return jnp.log1p(change)

    value = cond(is_near, near, lambda: _overlap_form(key, proposal, rule, mesh))
    return jnp.where(is_infinite, jnp.inf, value / -order.b)


class Logs(NamedTuple):
    """Logarithms at points (n,). The ratio is computed without cancellation."""

    p: Array
    q: Array
    proposal: Array  # log h
    ratio: Array  # log(p^a q^(1-a) / (Z h))


class Proposal(NamedTuple):
    """A mixture h of Gaussians, and log Z, where Z h is nearly p^a q^(1-a)."""

    gmm: GMM
    log_z: Array
    logs: Callable[[Array], Logs]  # of points (D, n)

    def ratio(self, x: Array) -> Array:
        """r = p^a q^(1-a) / (Z h)."""
        return jnp.exp(jnp.minimum(self.logs(x).ratio, LARGEST))


def _overlap_form(key: Array | None, h: Proposal, rule: Rule, mesh: Mesh | None) -> Array:
    """log Z E_h[r]."""
    mean = expectation_of_columns(key, h.gmm, h.ratio, rule, mesh)
    # The gradient holds the reciprocal of the floor, which is far from overflow.
    value = h.log_z + jnp.log(jnp.maximum(mean, float(jnp.finfo(mean.dtype).tiny) ** 0.5))
    return jnp.where(mean > math.exp(LARGEST - 1), jnp.inf, value)


def _excess_form(
    key: Array | None, p: GMM, q: GMM, order: Order, h: Proposal, rule: Rule, mesh: Mesh | None
) -> Array:
    """The excess of the integral over 1, divided by a - 1."""
    if order.form == "below":
        excess = functools.partial(_excess_over_midpoint, order)
        return expectation_under_midpoint(key, p, q, excess, rule, mesh)
    log_shares = [math.log((1 - SHARE) / 2)] * 2 + [math.log(SHARE)]
    safe = concatenate([p, q, h.gmm], jnp.asarray(log_shares, p.loc.dtype))

    def integrand(x: Array) -> Array:
        logs = h.logs(x)
        log_midpoint = jnp.logaddexp(logs.p, logs.q) + log_shares[0]
        log_safe = jnp.logaddexp(log_midpoint, logs.proposal + log_shares[2])
        return _excess(order, logs.p - logs.q, logs.p - log_safe, logs.q - log_safe)

    return expectation_of_columns(key, safe, integrand, rule, mesh)


def _excess_over_midpoint(order: Order, t: Array) -> Array:
    log_2 = math.log(2)
    return _excess(order, t, log_2 - jax.nn.softplus(-t), log_2 - jax.nn.softplus(t))


def _excess(order: Order, t: Array, log_p: Array, log_q: Array) -> Array:
    r"""(p^a q^(1-a) - a p - (1-a) q) / (a - 1), which is not negative.

    It is of second order in t = log p - log q. A series keeps its digits near t = 0 and near a = 1.
    """
    scale = jnp.maximum(1, order.a)
    near = jnp.abs(t) < 1 / scale
    small = jnp.where(near, t, 0)
    polynomial = jnp.polyval(_series(order.a, scale), scale * small)
    series = jnp.exp(log_q) * jnp.square(small) * polynomial
    change = -order.b * t  # p^a q^(1-a) = p e^change
    small_change = jnp.minimum(change, 1)
    large = jnp.exp(jnp.clip(log_p + change, max=LARGEST)) - jnp.exp(log_p)
    raised = jnp.where(change < 1, jnp.exp(log_p) * jnp.expm1(small_change), large) / -order.b
    return jnp.where(near, series, raised - (jnp.exp(log_p) - jnp.exp(log_q)))


def _series(a: Array, scale: Array) -> Array:
    """(e^(a t) - 1 - a (e^t - 1)) / ((a - 1) t^2) as coefficients of scale * t, highest first."""
    n, i = np.indices((18, 18), a.dtype)[:, ::-1]
    sums = jnp.where(i <= n, (a / scale) ** i * scale ** np.minimum(i - n, 0), 0).sum(1)
    return a * sums / np.array([math.factorial(n + 2) for n in range(17, -1, -1)], a.dtype)


def _guess(p: GMM, q: GMM, order: Order) -> Array:
    """The integral by a few fixed points of each component, for the switch alone."""
    p, q, order = held((p, q, order))
    log_ratio = log_ratio_of_columns(p, q)

    def mean(part: Part) -> Array:
        means = pilot_means(part.gmm, lambda x: _excess_over_midpoint(order, log_ratio(x)))
        return vdot(part.gmm.weights, means)

    return 1 - order.b * mean_of_parts(mean, parts_of_midpoint(None, p, q, SigmaPoints()))


def pilot_means(gmm: GMM, fn: Callable[[Array], Array]) -> Array:
    """The means (K,) of a function of points (D, n), by a few fixed points of each component."""
    nodes, place = pilot_nodes(gmm, POINTS_OF_A_GUESS)[None], placement(gmm)
    return jax.lax.map(lambda k: fn(place(k[None], nodes)).mean(), jnp.arange(gmm.num_components))


def _below_one(p: GMM, q: GMM, order: Order, rule: Rule) -> Proposal:
    """h is the mixture of all products of powers, so that r is at most 1."""
    shape, a, b = (p.num_components, q.num_components), order.a, order.b
    if rule.num_points is not None and math.prod(shape) > rule.num_points / POINTS_OF_A_PAIR:
        return _of_main_pairs(p, q, order, max(1, rule.num_points // POINTS_OF_A_PAIR))
    k, j = map(jnp.asarray, np.indices(shape).reshape(2, -1))
    gmm, log_z = _mixture_of_powers(rooted_products(p, q, order, k, j))
    by_p, by_q = _relative(p), _relative(q)

    def logs(x: Array) -> Logs:
        (top_p, from_p, log_p), (top_q, from_q, log_q) = by_p(x), by_q(x)
        sums = jax.nn.logsumexp(a * from_p, 0), jax.nn.logsumexp(b * from_q, 0)
        log_h = a * top_p + b * top_q + sums[0] + sums[1] - log_z
        ratio = (a * log_p - sums[0]) + (b * log_q - sums[1])
        return Logs(top_p + log_p, top_q + log_q, log_h, ratio)

    return Proposal(gmm, log_z, logs)


def _of_main_pairs(p: GMM, q: GMM, order: Order, num_pairs: int) -> Proposal:
    """h mixes the products of largest integral with p and q, which bound r for the other pairs."""
    a, b = order.a, order.b
    costs = held(log_integrals_below_one(p, q, order))
    pairs = jax.lax.top_k(costs.ravel(), num_pairs)[1]
    k, j = pairs // q.num_components, pairs % q.num_components
    gmm, log_z = _mixture_of_powers(rooted_products(p, q, order, k, j))
    is_main = jnp.zeros_like(costs).at[k, j].set(1)
    log_shares = [math.log(SHARE / 2)] * 2 + [math.log(1 - SHARE)]
    by_p, by_q = _relative(p), _relative(q)

    def logs(x: Array) -> Logs:
        (top_p, from_p, log_p), (top_q, from_q, log_q) = by_p(x), by_q(x)
        log_p, log_q = top_p + log_p, top_q + log_q
        of_pairs = jnp.exp(a * from_p) * matmul(is_main, jnp.exp(b * from_q))
        seen = jnp.log(jnp.maximum(of_pairs.sum(0), float(jnp.finfo(x.dtype).tiny) ** 0.5))
        log_main = a * top_p + b * top_q + seen - log_z
        log_h = jnp.logaddexp(jnp.logaddexp(log_p, log_q) + log_shares[0], log_main + log_shares[2])
        return Logs(log_p, log_q, log_h, a * log_p + b * log_q - log_z - log_h)

    return Proposal(concatenate([p, q, gmm], jnp.asarray(log_shares, p.loc.dtype)), log_z, logs)


def above_one(p: GMM, q: GMM, order: Order, orders: Array, log_shares: Array) -> Proposal:
    """h holds each p_k beside a geometric mean of the q_j, so that r is at most K^(a-1)."""
    gmm, log_z = _mixture_of_powers(quotients(p, q, orders, log_shares))
    by_p, by_q = _relative(p), _relative(q)
    shares, least = jnp.exp(log_shares), float(jnp.finfo(log_shares.dtype).min) / 8
    entropies = -jnp.where(shares > 0, shares * log_shares, 0).sum(1)[:, None]

    def logs(x: Array) -> Logs:
        (top_p, from_p, log_p), (top_q, from_q, log_q) = by_p(x), by_q(x)
        a = orders[:, None]
        between = (a - order.a) * (top_p - top_q)[None]
        mean_of_q = matmul(shares, jnp.maximum(from_q, least)) + entropies
        bound = jax.nn.logsumexp(a * from_p + (1 - a) * mean_of_q + between, 0)
        log_h = order.a * top_p + order.b * top_q + bound - log_z
        ratio = order.a * log_p + order.b * log_q - bound
        return Logs(top_p + log_p, top_q + log_q, log_h, ratio)

    return Proposal(gmm, log_z, logs)


def _mixture_of_powers(powers: Powers) -> tuple[GMM, Array]:
    """The mixture of the Gaussians, and the logarithm of the sum of their integrals."""
    log_z = jax.nn.logsumexp(powers.log_integral)
    # The logarithms of all integrals are -inf if all distances overflow.
    shares = jnp.where(jnp.isinf(log_z), jnp.zeros_like(log_z), powers.log_integral - log_z)
    return GMM(shares, powers.loc, *powers.leaves), log_z


def _relative(gmm: GMM) -> Callable[[Array], tuple[Array, Array, Array]]:
    """The largest log pi_k p_k (n,) at points; all relative to it, (K, n), and their logsumexp."""
    weighted_at = weighted_log_densities(gmm)

    def relative(x: Array) -> tuple[Array, Array, Array]:
        weighted = weighted_at(x)
        largest = held(weighted.max(0))
        # Where all squared distances overflow, the logarithms are -inf, and count as equal.
        top = jnp.maximum(largest, float(jnp.finfo(largest.dtype).min) / 8)
        logs = jnp.where(jnp.isinf(largest)[None], jnp.zeros_like(weighted), weighted - top[None])
        return top, logs, jax.nn.logsumexp(logs, 0)

    return relative
