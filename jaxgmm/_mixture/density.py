"""The density of a mixture, the densities of its components, and their posterior probabilities."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import ArrayLike

from jaxgmm._mixture.gmm import GMM, centre_of, log_det, scale_of
from jaxgmm._mixture.validation import Mixture, points_of_mixture
from jaxgmm._numerics.transforms import widened
from jaxgmm._validation.validated_jit import validated, validated_jit


@validated_jit(points_of_mixture)
def negative_log_likelihood(gmm: Mixture, x: ArrayLike) -> Array:
    r"""The mean negative log-likelihood of points under a mixture.

    .. math:: -\frac1n \sum_i \log p(x_i)

    Args:
      gmm: the mixture.
      x: points (..., D), at least one.

    Returns:
      A scalar, in nats (natural logarithms) per point. It is minus the ``score`` of scikit-learn.

    Raises:
      TypeError: gmm is not a GMM, or x does not consist of real numbers.
      ValueError: gmm or x is not finite, or x has another dimension than gmm or no points.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{negative_log_likelihood(p, [[-1.0], [1.0]]):.3f}")
      1.419
    """
    x = jnp.asarray(x)
    if not x.size:
        raise ValueError(f"x of shape {x.shape} has no points, so there is no mean")
    return -log_density(gmm)(x).mean()


@validated()
def log_density(gmm: Mixture) -> Callable[[Array], Array]:
    r"""The function :math:`x \mapsto \log \sum_k \pi_k N(x; \mu_k, \Sigma_k)` of a mixture.

    All that does not depend on the point is computed once, before the function is returned. It is
    therefore the form to use inside of `expectation` or a loop. It is not jitted; `log_prob` is.

    Args:
      gmm: the mixture.

    Returns:
      A function from points (..., D) to their log-densities (...), in nats (natural logarithms). A
      density is per unit of volume, so its logarithm may be positive.

    Raises:
      TypeError: gmm is not a GMM.
      ValueError: the shapes of gmm do not fit together, or a parameter is not finite.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{log_density(p)(jnp.zeros(1)):.4f}")
      -1.6118
    """
    of_columns = log_density_of_columns(widened(gmm))
    return lambda x: of_columns(_columns(widened(x))).reshape(x.shape[:-1])


@validated_jit(points_of_mixture)
def log_prob(gmm: Mixture, x: ArrayLike) -> Array:
    r"""The log-density :math:`\log p(x)` of a mixture.

    Args:
      gmm: the mixture.
      x: points (..., D).

    Returns:
      The log-densities (...), in nats (natural logarithms).

    Raises:
      TypeError: gmm is not a GMM, or x does not consist of real numbers.
      ValueError: gmm or x is not finite, or x has another dimension than gmm.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> [f"{value:.4f}" for value in log_prob(p, [[0.0], [2.0]])]
      ['-1.6118', '-2.9189']
    """
    return log_density(gmm)(jnp.asarray(x))


@validated_jit(points_of_mixture)
def component_log_prob(gmm: Mixture, x: ArrayLike) -> Array:
    r"""The log-density :math:`\log N(x; \mu_k, \Sigma_k)` of every component, without its weight.

    Args:
      gmm: the mixture.
      x: points (..., D).

    Returns:
      The log-densities (..., K), in nats (natural logarithms).

    Raises:
      TypeError, ValueError: as in `log_prob`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> [f"{value:.4f}" for value in component_log_prob(p, [0.0])]
      ['-0.9189', '-8.9189']
    """
    x = jnp.asarray(x)
    return component_log_densities(gmm)(_columns(x)).T.reshape(*x.shape[:-1], gmm.num_components)


@validated_jit(points_of_mixture)
def responsibilities(gmm: Mixture, x: ArrayLike) -> Array:
    r"""The posterior probability :math:`\pi_k N(x; \mu_k, \Sigma_k) / p(x)` of every component.

    Args:
      gmm: the mixture.
      x: points (..., D).

    Returns:
      The probabilities (..., K), with sum 1 over the last axis. They are NaN where the squared
      distances overflow, at 1e19 standard deviations from all components (1e154 in float64).

    Raises:
      TypeError, ValueError: as in `log_prob`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(responsibilities(p, [[2.0]]))
      [[0.5 0.5]]
    """
    x = jnp.asarray(x)
    posterior = jax.nn.softmax(weighted_log_densities(gmm)(_columns(x)), axis=0)
    return posterior.T.reshape(*x.shape[:-1], gmm.num_components)


def log_density_of_columns(gmm: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> log p(x), (n,)."""
    weighted = weighted_log_densities(gmm)
    return lambda x: jax.nn.logsumexp(weighted(x), axis=0)


def _columns(x: Array) -> Array:
    """Points (..., D) as columns (D, n), so that sums over D and K run along the points."""
    return x.reshape(-1, x.shape[-1]).T


def weighted_log_densities(gmm: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> log pi_k N(x; mu_k, Sigma_k), (K, n)."""
    log_densities = component_log_densities(gmm)
    log_weights = gmm.log_weights
    return lambda x: log_weights[:, None] + log_densities(x)


def component_log_densities(gmm: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> log N(x; mu_k, Sigma_k), (K, n)."""
    # W x - W mu cancels far from the origin; from the mixture's own mean it does not.
    centre = centre_of(gmm)
    mahalanobis = scale_of(gmm).whiten(gmm.loc - centre[None, :])
    log_peak = -log_det(gmm) - 0.5 * gmm.num_dims * math.log(2 * math.pi)
    return lambda x: log_peak[:, None] - 0.5 * mahalanobis(x - centre[:, None])
