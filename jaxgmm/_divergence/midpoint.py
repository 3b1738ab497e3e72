"""Divergences that are bounded expectations under the midpoint of two mixtures."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._divergence.entropies import held
from jaxgmm._expectation.control_variate import Integrand, without_control
from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.variance_reduction import controlled_expectation
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.density import log_density_of_columns
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.autodiff import at_most
from jaxgmm._numerics.special import log_mean_with_one, sqrt_or_zero
from jaxgmm._quadrature.rule import Rule, RuleArg, split_key
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key
from jaxgmm._validation.validated_jit import validated_jit

T = TypeVar("T")

LogDensity = Callable[[Array], Array]


@validated_jit(one_space, symmetric=True)
def js_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    rule: RuleArg = DEFAULT_RULE,
    *,
    path_gradient: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Jensen-Shannon divergence, symmetric, between 0 and log 2 nats (1 bit).

    .. math:: JS(p, q) = \tfrac12 KL(p \| m) + \tfrac12 KL(q \| m)
              = \log 2 - \tfrac12 E_p[\mathrm{softplus}(\log q - \log p)]
              - \tfrac12 E_q[\mathrm{softplus}(\log p - \log q)], \quad m = \tfrac12 p + \tfrac12 q

    Args:
      key: a random key, split into one for p and one for q; None with a rule that draws nothing.
      p: a mixture.
      q: the other mixture, in the same space.
      rule: the points, as many under p as under q.
      path_gradient: whether the logarithms hold p and q constant, as in `kl_divergence`.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. Its square root is a metric. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{js_divergence(jax.random.key(0), p, q):.3f}")
      0.337

    References:
      Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991), eq.
      4.1.
    """
    p, q = centred(p, q)
    log_p, log_q = map(log_density_of_columns, held((p, q)) if path_gradient else (p, q))
    key_p, key_q = split_key(key)

    def half(log_mine: LogDensity, log_other: LogDensity) -> Integrand:
        return without_control(lambda x: -log_mean_with_one(log_other(x) - log_mine(x)))

    from_p = controlled_expectation(key_p, p, half(log_p, log_q), rule, mesh)
    from_q = controlled_expectation(key_q, q, half(log_q, log_p), rule, mesh)
    return at_most(math.log(2), 0.5 * from_p + 0.5 * from_q)


@validated_jit(one_space, symmetric=True)
def hellinger_distance(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the Hellinger distance, a metric between 0 and 1.

    .. math:: H(p, q)^2 = \tfrac12 \int (\sqrt{p(x)} - \sqrt{q(x)})^2 dx
              = 1 - \int \sqrt{p(x) q(x)} dx

    Half of the points are drawn from each mixture, so that the integrand is between 0 and 1. The
    distance is exactly 0 at p = q, where it has no derivative and the gradient 0 is returned. Its
    square is smooth and estimated without bias, so use the square to fit. At p = q itself the
    second derivatives of the square are returned as 0, which is wrong.

    Args:
      key: a random key, split into one for p and one for q; None with a rule that draws nothing.
      p: a mixture.
      q: the other mixture, in the same space.
      rule: the points, as many under p as under q.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{hellinger_distance(jax.random.key(0), p, q):.3f}")
      0.627

    References:
      Gibbs and Su, On choosing and bounding probability metrics, Int. Stat. Rev. 70 (2002), where
      the square is twice as large.
    """

    def integrand(t: Array) -> Array:
        # (sqrt p - sqrt q)^2 / (p + q) = 1 - sech(t / 2), as a product that keeps its digits at 0.
        return jnp.tanh(t / 2) * jnp.tanh(t / 4)

    square = at_most(1, expectation_under_midpoint(key, p, q, integrand, rule, mesh))
    return sqrt_or_zero(square)


@validated_jit(one_space, symmetric=True)
def total_variation(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the total variation distance, a metric between 0 and 1.

    .. math:: TV(p, q) = \tfrac12 \int |p(x) - q(x)| dx

    It is the largest difference between the probabilities that p and q give to one event. It is
    sampled like `hellinger_distance`, and exactly 0 at p = q, where it has no derivative and the
    gradient 0 is returned. Second derivatives are wrong, as they miss the kink at p(x) = q(x).

    Args:
      key: a random key, split into one for p and one for q; None with a rule that draws nothing.
      p: a mixture.
      q: the other mixture, in the same space.
      rule: the points, as many under p as under q.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{total_variation(jax.random.key(0), p, q):.2f}")
      0.68

    References:
      Gibbs and Su, On choosing and bounding probability metrics, Int. Stat. Rev. 70 (2002).
    """
    mean = expectation_under_midpoint(key, p, q, lambda t: jnp.abs(jnp.tanh(t / 2)), rule, mesh)
    return at_most(1, mean)


def expectation_under_midpoint(
    key: Array | None, p: GMM, q: GMM, fn: Callable[[Array], T], rule: Rule, mesh: Mesh | None
) -> T:
    """The expectation under (p + q) / 2 of a function of log p - log q."""
    p, q = centred(p, q)
    log_ratio = log_ratio_of_columns(p, q)
    key_p, key_q = split_key(key)
    from_p = expectation_of_columns(key_p, p, lambda x: fn(log_ratio(x)), rule, mesh)
    from_q = expectation_of_columns(key_q, q, lambda x: fn(log_ratio(x)), rule, mesh)
    return jax.tree.map(lambda a, b: 0.5 * a + 0.5 * b, from_p, from_q)


def log_ratio_of_columns(p: GMM, q: GMM) -> LogDensity:
    """The function from points (D, n) to log p - log q (n,)."""
    log_p = log_density_of_columns(p)
    log_q = log_density_of_columns(q)
    return lambda x: log_p(x) - log_q(x)
