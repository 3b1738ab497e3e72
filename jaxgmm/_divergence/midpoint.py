"""Divergences that are bounded expectations under the midpoint of two mixtures."""

import math

import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._divergence.entropies import held
from jaxgmm._expectation.control_variate import without_control
from jaxgmm._expectation.under_midpoint import (
    expectation_under_midpoint,
    log_ratio_of_columns,
    mean_under_midpoint,
)
from jaxgmm._expectation.variance_reduction import controlled_expectation
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.autodiff import at_most
from jaxgmm._numerics.special import entropy_deficit, log_mean_with_one
from jaxgmm._quadrature.rule import Rule, RuleArg, split_key
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space, symmetric=True, scaling=0, bound=math.log(2))
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
              = E_m[\tfrac12 (1 + u) \log(1 + u) + \tfrac12 (1 - u) \log(1 - u)],
              \quad m = \tfrac12 p + \tfrac12 q, \quad u = \frac{p - q}{p + q}

    The integrand lies between 0 and log 2, and so does the estimate. It is of second order in u, so
    its relative error does not grow as p and q approach each other. At p = q the value and the
    gradient are exactly 0.

    Args:
      key, rule, mesh: as in `expectation`, with as many points drawn from q as from p.
      p, q: mixtures in one space.
      path_gradient: whether to use the first form, with p and q held constant in its logarithms as
        in `kl_divergence`. The error is then larger, and the value may be negative near p = q.

    Returns:
      A scalar, in nats. Its square root is a metric. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-1.0, 1.0))
      >>> print(f"{js_divergence(jax.random.key(0), p, q):.3f}")
      0.337

    References:
      Lin, Divergence measures based on the Shannon entropy, IEEE T. Inf. Theory 37 (1991), eq. 4.1.
    """
    if path_gradient:
        return _js_with_path_gradient(key, p, q, rule, mesh)
    return at_most(math.log(2), mean_under_midpoint(key, p, q, entropy_deficit, rule, mesh))


def _js_with_path_gradient(
    key: Array | None, p: GMM, q: GMM, rule: Rule, mesh: Mesh | None
) -> Array:
    """The mean of KL(p || m) and KL(q || m), whose logarithms hold p and q constant."""
    p, q = centred(p, q)
    log_ratio = log_ratio_of_columns(*held((p, q)))
    key_p, key_q = split_key(key)
    log_m_over_p = without_control(lambda x: log_mean_with_one(-log_ratio(x)))
    log_m_over_q = without_control(lambda x: log_mean_with_one(log_ratio(x)))
    kl_p = -controlled_expectation(key_p, p, log_m_over_p, rule, mesh)
    kl_q = -controlled_expectation(key_q, q, log_m_over_q, rule, mesh)
    return at_most(math.log(2), 0.5 * kl_p + 0.5 * kl_q)


@validated_jit(one_space, symmetric=True, scaling=0, bound=1)
def total_variation(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the total variation distance, a metric between 0 and 1.

    .. math:: TV(p, q) = \tfrac12 \int |p(x) - q(x)| dx

    It is the largest difference between the probabilities that p and q give to one event. It is
    exactly 0 at p = q, where it has no derivative and the gradient 0 is returned. Second
    derivatives are wrong, as they miss the kink at p(x) = q(x).

    Args:
      key, rule, mesh: as in `expectation`, with as many points drawn from q as from p.
      p, q: mixtures in one space.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-1.0, 1.0))
      >>> print(f"{total_variation(jax.random.key(0), p, q):.2f}")
      0.68

    References:
      Gibbs and Su, On choosing and bounding probability metrics, Int. Stat. Rev. 70 (2002).
    """
    mean = expectation_under_midpoint(key, p, q, lambda t: jnp.abs(jnp.tanh(t / 2)), rule, mesh)
    return at_most(1, mean)
