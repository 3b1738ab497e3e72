"""The Kullback-Leibler and Jeffreys divergences and the entropies, from means of log-densities."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.under_midpoint import mean_under_midpoint
from jaxgmm._expectation.variance_reduction import controlled_expectation, log_density_with_control
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.special import expm1_less_linear, not_negative
from jaxgmm._quadrature.rule import Rule, RuleArg, split_key
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key
from jaxgmm._validation.validated_jit import validated_jit

held = jax.lax.stop_gradient


def near_space(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, with p and q in one space and not both of path_gradient and midpoint True."""
    if arguments.get("path_gradient") and arguments.get("midpoint"):
        problem = "path_gradient and midpoint must not both be True"
        raise ValueError(f"{problem}: with p held constant the midpoint form is biased")
    return one_space(arguments)


def _kl_under_midpoint(t: Array) -> Array:
    """p / m (t + e^-t - 1), not negative, for t = log p - log q and the midpoint m of p and q."""
    low = t < -1
    s = jnp.where(low, jnp.zeros_like(t), t)
    # Where e^-t may overflow, its product with p / m = 2 sigmoid(t) is 2 sigmoid(-t).
    far = jnp.where(low, jnp.maximum(t, -800), jnp.zeros_like(t))
    below = jax.nn.sigmoid(-far) + jax.nn.sigmoid(far) * (far - 1)
    return 2 * jnp.where(low, below, jax.nn.sigmoid(s) * expm1_less_linear(-s))


@validated_jit(near_space, scaling=0)
def kl_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    rule: RuleArg = DEFAULT_RULE,
    *,
    path_gradient: Flag = False,
    midpoint: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Kullback-Leibler divergence of q from p.

    .. math:: KL(p \| q) = E_p[\log p(x) - \log q(x)]

    It is unbiased, so it may be slightly negative near p = q, where it is 0 (to rounding on a GPU).

    Args:
      key: a random key; None with a rule that draws nothing.
      p, q: mixtures in one space. The points are drawn from p.
      rule: the points, by default scrambled Sobol' points; see `Sobol`.
      path_gradient: whether p is held constant inside the logarithm. The gradient in p then comes
        from the points alone. It is unbiased, and exactly 0 at p = q. Use it to fit p. Second
        derivatives are then wrong.
      midpoint: whether to average :math:`\frac{p}{m} (t + e^{-t} - 1)`, t = log p - log q, over
        points of the midpoint m of p and q. The value is then not negative, and its relative error
        does not grow as p and q approach each other. Use it below about 0.05 nats in up to 4
        dimensions, where there is no control variate, and below 0.001 nats in more.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar in nats, the unit of natural logarithms. `estimate` adds its standard error.

    Raises:
      TypeError: an argument has the wrong type.
      ValueError: a parameter of p or q is not finite, or they differ in dimension.
      ValueError: key is None and the rule draws at random.
      ValueError: path_gradient and midpoint are both True.

    Example:
      >>> p = GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> print(f"{kl_divergence(jax.random.key(0), p, q):.3f}")
      0.113

    References:
      Kullback and Leibler, On information and sufficiency, Ann. Math. Stat. 22 (1951), eq. 2.4.
      Roeder, Wu and Duvenaud, Sticking the landing, NeurIPS (2017), for the path gradient.
    """
    if midpoint:
        return mean_under_midpoint(key, p, q, _kl_under_midpoint, rule, mesh)
    p, q = centred(p, q)
    log_p = log_density_with_control(held(p) if path_gradient else p)
    log_q = log_density_with_control(q)
    return controlled_expectation(key, p, log_p - log_q, rule, mesh)


@validated_jit(near_space, symmetric=True, scaling=0)
def jeffreys_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    rule: RuleArg = DEFAULT_RULE,
    *,
    path_gradient: Flag = False,
    midpoint: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Jeffreys divergence, the sum of both Kullback-Leibler divergences.

    .. math:: J(p, q) = KL(p \| q) + KL(q \| p)

    Args:
      key, rule, mesh: as in `expectation`, with as many points drawn from q as from p.
      p, q: mixtures in one space.
      path_gradient, midpoint: whether both terms have that option of `kl_divergence`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-1.0, 1.0))
      >>> print(f"{jeffreys_divergence(jax.random.key(0), p, q):.3f}")
      4.000

    References:
      Jeffreys, An invariant form for the prior probability, Proc. R. Soc. A 186 (1946), eq. 1.
    """
    if midpoint:
        # The integrand is (p - q) t / m, which is not negative.
        return mean_under_midpoint(key, p, q, lambda t: 2 * jnp.tanh(t / 2) * t, rule, mesh)
    key_p, key_q = split_key(key)
    kl = functools.partial(kl_divergence, rule=rule, path_gradient=path_gradient, mesh=mesh)
    return kl(key_p, p, q) + kl(key_q, q, p)


@validated_jit(scaling=1)
def entropy(key: Key, p: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None) -> Array:
    r"""An estimate of the differential entropy of a mixture.

    .. math:: H(p) = -E_p[\log p(x)]

    Args:
      key, rule, mesh: as in `expectation`.
      p: the mixture.

    Returns:
      A scalar, in nats; negative where p is concentrated. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{entropy(jax.random.key(0), p):.3f}")
      1.419

    References:
      Shannon, A mathematical theory of communication, Bell Syst. Tech. J. 27 (1948), section 20.
    """
    return cross_entropy(key, p, p, rule, mesh=mesh)


@validated_jit(one_space, scaling=1)
def cross_entropy(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the cross-entropy of q under p.

    .. math:: H(p, q) = -E_p[\log q(x)] = H(p) + KL(p \| q)

    Args:
      key, rule, mesh: as in `expectation`.
      p, q: mixtures in one space. The points are drawn from p.

    Returns:
      A scalar, in nats. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (0.0, 1.0))
      >>> print(f"{cross_entropy(jax.random.key(0), p, q):.3f}")
      1.919

    References:
      Cover and Thomas, Elements of Information Theory, 2nd ed. (2006), section 2.3 with 8.5.
    """
    p, q = centred(p, q)
    return -controlled_expectation(key, p, log_density_with_control(q), rule, mesh)


@validated_jit(scaling=0)
def component_information(
    key: Key, p: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the mutual information of a point and the component that it is drawn from.

    .. math:: I(k; x) = E_p\left[\sum_k r_k(x) \log \frac{r_k(x)}{\pi_k}\right] = H(\pi) - H(k | x)

    Here r_k(x) is the posterior probability of component k. It is the weighted Jensen-Shannon
    divergence of the components: 0 where they coincide, and H(pi), at most log K, far apart.

    Args:
      key, rule, mesh: as in `expectation`.
      p: the mixture.

    Returns:
      A scalar, in nats, never negative. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> print(f"{component_information(jax.random.key(0), p):.3f}")
      0.337

    References:
      Cover and Thomas, Elements of Information Theory, 2nd ed. (2006), section 2.3.
      Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991).
    """

    def information(log_weights: Array, components: Array) -> Array:
        log_density = jax.nn.logsumexp(log_weights + components, axis=0)
        gain = components - log_density[None]  # log r_k - log pi_k, finite where pi_k = 0 too
        return _mean_of_finite(log_weights + gain, gain)

    return not_negative(_mean_over_components(key, p, information, rule, mesh))


@validated_jit(scaling=0)
def classification_entropy(
    key: Key, p: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the entropy of the component that a point is drawn from, given the point.

    .. math:: H(k | x) = -E_p\left[\sum_k r_k(x) \log r_k(x)\right]

    Here r_k(x) is the posterior probability of component k. It is 0 where every point identifies
    its component, and at most log K.

    Args:
      key, rule, mesh: as in `expectation`.
      p: the mixture.

    Returns:
      A scalar, in nats. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> print(f"{classification_entropy(jax.random.key(0), p):.3f}")
      0.356

    References:
      Celeux and Soromenho, An entropy criterion, J. Classification 13 (1996).
    """

    def entropy(log_weights: Array, components: Array) -> Array:
        log_r = jax.nn.log_softmax(log_weights + components, axis=0)
        return -_mean_of_finite(log_r, log_r)

    return _mean_over_components(key, p, entropy, rule, mesh)


def _mean_over_components(
    key: Array | None, p: GMM, fn: Callable[[Array, Array], Array], rule: Rule, mesh: Mesh | None
) -> Array:
    """The mean of a function of the log-weights (K, 1) and the component log-densities (K, n)."""
    p, _ = centred(p, p)
    log_components, log_weights = component_log_densities(p), p.log_weights[:, None]
    return expectation_of_columns(key, p, lambda x: fn(log_weights, log_components(x)), rule, mesh)


def _mean_of_finite(log_r: Array, values: Array) -> Array:
    """The mean of values (K, n) by weights r, in which those of -inf count as 0."""
    return (jnp.exp(log_r) * jnp.where(values == -jnp.inf, jnp.zeros_like(values), values)).sum(0)
