"""Deterministic approximations of KL(p || q) that are neither exact nor bounds."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.combine import centred, midpoint
from jaxgmm._mixture.components import component_kl, component_overlaps
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.overall_moments import moment_matched
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space)
def kl_variational(p: Mixture, q: Mixture) -> Array:
    r"""The variational approximation of KL(p || q). It is not a bound, and it may be negative.

    .. math:: \sum_k \pi_k \log \frac{\sum_l \pi_l \exp(-KL(p_k \| p_l))}{\sum_j \omega_j \exp(-KL(p_k \| q_j))}

    The difference of two lower bounds, of E[log p] and of E[log q], whose errors cancel in part. Exact for one Gaussian each, and
    between far components of the same shapes; 0 at p = q. Where components overlap it is off by any amount, in either direction.

    Args:
      p: the mixture under which the expectation is.
      q: the other mixture, in the same space.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.0, 0.0]], [2.0], "spherical")
      >>> print(f"{kl_variational(p, q):.4f}")  # the truth is 0.1063
      -0.1231

    References:
      Hershey and Olsen, Approximating the Kullback Leibler divergence between Gaussian mixture models, ICASSP (2007), section 7.
    """
    k, kl = p.num_components, component_kl(p, midpoint(p, q))
    return mean_log_mixture(p, p, -kl[:, :k]) - mean_log_mixture(p, q, -kl[:, k:])


@validated_jit(one_space)
def kl_product(p: Mixture, q: Mixture) -> Array:
    r"""The product-of-Gaussians approximation of KL(p || q). It is not a bound, and it may be negative.

    .. math:: \sum_k \pi_k \log \frac{\sum_l \pi_l \int p_k p_l}{\sum_j \omega_j \int p_k q_j}

    The difference of two upper bounds, of E[log p] and of E[log q]. It is 0 at p = q, but not even exact for one Gaussian each:
    between equal covariances it is half of the divergence.

    Args:
      p: the mixture under which the expectation is.
      q: the other mixture, in the same space.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> print(f"{kl_product(p, q):.4f}")  # the truth is 2
      1.0000

    References:
      Hershey and Olsen, Approximating the Kullback Leibler divergence between Gaussian mixture models, ICASSP (2007), section 5.
    """
    k, (_, log_overlap) = p.num_components, component_overlaps(p, midpoint(p, q))
    return mean_log_mixture(p, p, log_overlap[:, :k]) - mean_log_mixture(p, q, log_overlap[:, k:])


@validated_jit(one_space)
def kl_matched(p: Mixture, q: Mixture) -> Array:
    r"""The matched approximation of KL(p || q): each component against its best match.

    .. math:: \sum_k \pi_k \min_j \left(KL(p_k \| q_j) + \log \frac{\pi_k}{\omega_j}\right)

    An upper bound only if no two components have the same match; if some do, it may be far too small, and negative. It has kinks
    where the match changes.

    Args:
      p: the mixture under which the expectation is.
      q: the other mixture, in the same space.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{kl_matched(p, q):.4f}")  # the truth is 0.1631
      -0.1931

    References:
      Goldberger, Gordon and Greenspan, An efficient image similarity measure based on approximations of KL-divergence between two
      Gaussian mixtures, ICCV (2003).
    """
    log_weights = p.log_weights
    log_weights = jnp.where(jnp.isneginf(log_weights), 0, log_weights)  # 0 log 0 is 0
    matched = (component_kl(p, q) - q.log_weights[None]).min(1)
    return vdot(p.weights, log_weights + matched)


@validated_jit(one_space)
def kl_moment_matched(p: Mixture, q: Mixture) -> Array:
    r"""KL between the two Gaussians that have the mean and the covariance of p and of q.

    .. math:: KL(N(\bar\mu_p, \bar\Sigma_p) \| N(\bar\mu_q, \bar\Sigma_q))

    Exact for one Gaussian each. It sees two moments only: different mixtures with the same ones are at 0, and values 1,500 times
    too small occur. It is not a bound.

    Args:
      p: the mixture under which the expectation is.
      q: the other mixture, in the same space.

    Returns:
      A scalar, in nats, not negative.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-2.0], [2.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.0]], [5.0], "spherical")
      >>> print(f"{abs(kl_moment_matched(p, q)):.4f}")  # the truth is 0.1720
      0.0000

    References:
      Hershey and Olsen, Approximating the Kullback Leibler divergence between Gaussian mixture models, ICASSP (2007), section 4.
    """
    p, q = centred(p, q)
    return component_kl(moment_matched(p), moment_matched(q))[0, 0]


def mean_log_mixture(p: GMM, q: GMM, log_kernel: Array) -> Array:
    r""":math:`\sum_k \pi_k \log \sum_j \omega_j e^{c_{kj}}` for c (K_p, K_q), which all of these and most bounds are made of."""
    log_means = jax.nn.logsumexp(q.log_weights[None] + log_kernel, axis=1)
    return vdot(p.weights, jnp.where(p.weights > 0, log_means, 0))  # 0 log 0 is 0
