"""Divergences that are expectations of a function of the ratio of two densities."""

import math
from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._divergence.entropies import held
from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.under_midpoint import (
    expectation_under_midpoint,
    log_ratio_of_columns,
    mean_under_midpoint,
)
from jaxgmm._expectation.variance_reduction import controlled_expectation, without_control
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.special import at_most, entropy_deficit, log_mean_with_one
from jaxgmm._quadrature.rule import Rule, RuleArg, split_key
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key, function_of
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

    The integrand lies between 0 and log 2, and is of second order in u, so the relative error does
    not grow as p and q approach each other. At p = q the value and the gradient are exactly 0.

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

    def kl_to_midpoint(key: Array | None, gmm: GMM, sign: int) -> Array:
        log_ratio_to_m = without_control(lambda x: -log_mean_with_one(-sign * log_ratio(x)))
        return controlled_expectation(key, gmm, log_ratio_to_m, rule, mesh)

    kl_p, kl_q = kl_to_midpoint(key_p, p, 1), kl_to_midpoint(key_q, q, -1)
    return at_most(math.log(2), 0.5 * kl_p + 0.5 * kl_q)


@validated_jit(one_space, symmetric=True, scaling=0, bound=1)
def total_variation(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the total variation distance, a metric between 0 and 1.

    .. math:: TV(p, q) = \tfrac12 \int |p(x) - q(x)| dx

    It is the largest difference of probabilities of one event. At p = q it is exactly 0, has no
    derivative, and the gradient 0 is returned. Second derivatives miss the kink at p(x) = q(x).

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


@validated_jit(one_space, scaling=0)
def f_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    f: Annotated[Callable[[Array], Array], function_of("the ratio of the densities")],
    rule: RuleArg = DEFAULT_RULE,
    *,
    log_ratio: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the f-divergence of q from p, for any convex f with f(1) = 0.

    .. math:: D_f(p \| q) = E_q\left[f\left(\frac{p(x)}{q(x)}\right)\right]

    For example, t log t gives KL(p || q), and -log t gives KL(q || p). A divergence that has a
    function of its own is better estimated by that: the points are drawn from q, so a region where
    p has mass and q next to none is missed, and the standard error does not show it.

    Args:
      key, mesh: as in `expectation`.
      p, q: mixtures in one space. The points are drawn from q.
      f: an elementwise function in JAX. It is static: each new function object compiles anew.
      rule: the points.
      log_ratio: whether f takes the logarithm of the ratio, as in ``lambda s: s * jnp.exp(s)`` for
        KL(p || q). The ratio is clipped to the range of floats; its logarithm is not.

    Returns:
      A scalar. `estimate` adds its standard error if ``f=...`` is passed by name.

    Raises:
      TypeError, ValueError: as in `kl_divergence`, or f is not a function.

    Example:
      >>> import jax
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-0.5, 0.5))
      >>> reverse_kl = f_divergence(jax.random.key(0), p, q, lambda t: -jnp.log(t))
      >>> print(f"{reverse_kl:.3f}")
      0.500

    References:
      Csiszar, Information-type measures of difference, Studia Sci. Math. Hungar. 2 (1967).
    """
    p, q = centred(p, q)
    log_ratio_at = log_ratio_of_columns(p, q)

    info = jnp.finfo(p.loc.dtype)
    least, largest = math.log(float(info.tiny)), math.log(float(info.max))

    def integrand(x: Array) -> Array:
        s = log_ratio_at(x)
        return f(s if log_ratio else jnp.exp(jnp.clip(s, least, largest)))

    return expectation_of_columns(key, q, integrand, rule, mesh)
