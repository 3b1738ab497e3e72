"""The Kullback-Leibler and Jeffreys divergences and the entropies, from means of log-densities."""

import functools

import jax
from jax import Array

from jaxgmm._expectation.control_variate import log_density_with_control
from jaxgmm._expectation.variance_reduction import controlled_expectation
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._quadrature.rule import RuleArg, split_key
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key
from jaxgmm._validation.validated_jit import validated_jit

held = jax.lax.stop_gradient


@validated_jit(one_space)
def kl_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    rule: RuleArg = DEFAULT_RULE,
    *,
    path_gradient: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Kullback-Leibler divergence of q from p.

    .. math:: KL(p \| q) = E_p[\log p(x) - \log q(x)]

    It is unbiased, so it may be slightly negative where the divergence is near 0. It is exactly 0
    at p = q.

    Args:
      key: a random key; None with a rule that draws nothing.
      p: the mixture that is sampled.
      q: the other mixture, in the same space.
      rule: the points, by default scrambled Sobol' points; see `Sobol`.
      path_gradient: whether p is held constant inside the logarithm. The gradient in p is then the
        path gradient, which comes from the points alone. It is unbiased, and exactly 0 at p = q.
        Use it to fit p. Second derivatives are then wrong.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar in nats, the unit of natural logarithms. `estimate` adds its standard error.

    Raises:
      TypeError: an argument has the wrong type.
      ValueError: a parameter of p or q is not finite.
      ValueError: p and q differ in dimension.
      ValueError: key is None and the rule draws at random.

    Example:
      >>> import jax, jaxgmm
      >>> p = jaxgmm.GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = jaxgmm.GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> print(f"{kl_divergence(jax.random.key(0), p, q):.3f}")
      0.113

    References:
      Kullback and Leibler, On information and sufficiency, Ann. Math. Stat. 22 (1951), eq. 2.4.
      Roeder, Wu and Duvenaud, Sticking the landing, NeurIPS (2017), for the path gradient.
    """
    p, q = centred(p, q)
    log_p = log_density_with_control(held(p) if path_gradient else p)
    log_q = log_density_with_control(q)
    return controlled_expectation(key, p, log_p - log_q, rule, mesh)


@validated_jit(one_space, symmetric=True)
def jeffreys_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    rule: RuleArg = DEFAULT_RULE,
    *,
    path_gradient: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Jeffreys divergence, the sum of both Kullback-Leibler divergences.

    .. math:: J(p, q) = KL(p \| q) + KL(q \| p)

    Args:
      key: a random key, split into one for p and one for q; None with a rule that draws nothing.
      p: a mixture.
      q: the other mixture, in the same space.
      rule: the points, as many under p as under q.
      path_gradient: whether both terms have the path gradient of `kl_divergence`.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p = jaxgmm.GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = jaxgmm.GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{jeffreys_divergence(jax.random.key(0), p, q):.3f}")
      4.000

    References:
      Jeffreys, An invariant form for the prior probability in estimation problems, Proc. R. Soc. A
      186 (1946), eq. 1.
    """
    key_p, key_q = split_key(key)
    kl = functools.partial(kl_divergence, rule=rule, path_gradient=path_gradient, mesh=mesh)
    return kl(key_p, p, q) + kl(key_q, q, p)


@validated_jit()
def entropy(key: Key, p: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None) -> Array:
    r"""An estimate of the differential entropy of a mixture.

    .. math:: H(p) = -E_p[\log p(x)]

    Args:
      key: a random key; None with a rule that draws nothing.
      p: the mixture.
      rule: the points.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats; negative where p is concentrated. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p = jaxgmm.GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{entropy(jax.random.key(0), p):.3f}")
      1.419

    References:
      Shannon, A mathematical theory of communication, Bell Syst. Tech. J. 27 (1948), section 20.
    """
    return cross_entropy(key, p, p, rule, mesh=mesh)


@validated_jit(one_space)
def cross_entropy(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the cross-entropy of q under p.

    .. math:: H(p, q) = -E_p[\log q(x)] = H(p) + KL(p \| q)

    Args:
      key: a random key; None with a rule that draws nothing.
      p: the mixture that is sampled.
      q: the other mixture, in the same space.
      rule: the points.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p = jaxgmm.GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = jaxgmm.GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{cross_entropy(jax.random.key(0), p, q):.3f}")
      1.919

    References:
      Cover and Thomas, Elements of Information Theory, 2nd ed. (2006), section 2.3 with 8.5.
    """
    p, q = centred(p, q)
    return -controlled_expectation(key, p, log_density_with_control(q), rule, mesh)
