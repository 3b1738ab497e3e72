"""Deterministic approximations of KL(p || q) that are neither exact nor bounds."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.algebra import moment_matched
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.components import component_kl, component_overlaps
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space)
def kl_variational(p: Mixture, q: Mixture) -> Array:
    r"""The variational approximation of KL(p || q), which is not a bound and may be negative.

    .. math:: \sum_k \pi_k \log \frac{\sum_l \pi_l \exp(-KL(p_k \| p_l))}
              {\sum_j \omega_j \exp(-KL(p_k \| q_j))}

    It is 0 at p = q, and exact between two Gaussians and where components of the same shapes are
    far apart. Where components overlap it may be off by any amount, in either direction.

    Args:
      p, q: mixtures in one space. KL(p || q) averages over p.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter of p or q is not finite, or they differ in dimension.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.0, 0.0]], [2.0], "spherical")
      >>> print(f"{kl_variational(p, q):.4f}")  # the truth is 0.1063
      -0.1231

    References:
      Hershey and Olsen, Approximating the Kullback Leibler divergence, ICASSP (2007), section 7.
    """
    # The table of p with itself is apart, so that vmap over q computes it once.
    own = mean_log_mixture(p, p, -component_kl(p, p))
    return own - mean_log_mixture(p, q, -component_kl(p, q))


@validated_jit(one_space)
def kl_product(p: Mixture, q: Mixture) -> Array:
    r"""The product approximation of KL(p || q), which is not a bound and may be negative.

    .. math:: \sum_k \pi_k \log \frac{\sum_l \pi_l \int p_k p_l}{\sum_j \omega_j \int p_k q_j}

    It is 0 at p = q, and half of the divergence between two Gaussians of equal covariance.

    Args:
      p, q: mixtures in one space. KL(p || q) averages over p.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError, ValueError: as in `kl_variational`.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (0.0, 2.0))
      >>> print(f"{kl_product(p, q):.4f}")  # the truth is 2
      1.0000

    References:
      Hershey and Olsen (2007), section 5, as in `kl_variational`.
    """
    own = mean_log_mixture(p, p, component_overlaps(p, p)[1])
    return own - mean_log_mixture(p, q, component_overlaps(p, q)[1])


@validated_jit(one_space)
def kl_matched(p: Mixture, q: Mixture) -> Array:
    r"""An approximation of KL(p || q) that matches each component of p with one of q.

    .. math:: \sum_k \pi_k \min_j \left(KL(p_k \| q_j) + \log \frac{\pi_k}{\omega_j}\right)

    It is an upper bound if no two components of p have the same match. Otherwise it may be far too
    small, and negative. It has kinks where the match changes.

    Args:
      p, q: mixtures in one space. KL(p || q) averages over p.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError, ValueError: as in `kl_variational`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{kl_matched(p, q):.4f}")  # the truth is 0.1631
      -0.1931

    References:
      Goldberger et al., An efficient image similarity measure, ICCV (2003).
    """
    log_weights = p.log_weights
    log_weights = jnp.where(jnp.isneginf(log_weights), 0, log_weights)  # 0 log 0 is 0
    matched = (component_kl(p, q) - q.log_weights[None]).min(1)
    return vdot(p.weights, log_weights + matched)


@validated_jit(one_space)
def kl_moment_matched(p: Mixture, q: Mixture) -> Array:
    r"""The KL divergence between the two Gaussians with the means and covariances of p and q.

    .. math:: KL(N(\bar\mu_p, \bar\Sigma_p) \| N(\bar\mu_q, \bar\Sigma_q))

    It is exact between two Gaussians, and not a bound otherwise. It is 0 between any two mixtures
    of the same mean and covariance, so it may be far too small.

    Args:
      p, q: mixtures in one space. KL(p || q) averages over p.

    Returns:
      A scalar, in nats, not negative.

    Raises:
      TypeError, ValueError: as in `kl_variational`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-2.0], [2.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.0]], [5.0], "spherical")
      >>> print(f"{abs(kl_moment_matched(p, q)):.4f}")  # the truth is 0.1720
      0.0000

    References:
      Hershey and Olsen (2007), section 4, as in `kl_variational`.
    """
    p, q = centred(p, q)
    return component_kl(moment_matched(p), moment_matched(q))[0, 0]


def mean_log_mixture(p: GMM, q: GMM, log_kernel: Array) -> Array:
    r"""The mean over p :math:`\sum_k \pi_k \log \sum_j \omega_j e^{c_{kj}}`, for c (K_p, K_q)."""
    log_means = jax.nn.logsumexp(q.log_weights[None] + log_kernel, axis=1)
    return vdot(p.weights, jnp.where(p.weights > 0, log_means, 0))  # 0 log 0 is 0
