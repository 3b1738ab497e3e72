"""The mean and the covariance of a whole mixture, and the Gaussian that has them."""

import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM, scale_of
from jaxgmm._mixture.validation import Mixture
from jaxgmm._numerics.linalg import gram, matmul, pack_tril, tril_of
from jaxgmm._validation.validated_jit import validated_jit


def moment_matched(gmm: GMM) -> GMM:
    """The Gaussian with the mean and the covariance of a mixture."""
    mean = matmul(gmm.weights, gmm.loc)
    log_diag, off_diag = pack_tril(tril_of(_root_of_covariance(gmm, mean)[None])[0])
    return GMM(jnp.zeros_like(gmm.logits[:1]), mean[None], log_diag, off_diag)


def _root_of_covariance(gmm: GMM, mean: Array) -> Array:
    """R with R R^T the covariance of a mixture. R gives its triangle in more digits."""
    between = (jnp.exp(0.5 * gmm.log_weights)[:, None] * (gmm.loc - mean[None])).T
    within = scale_of(gmm).mean_root(gmm.log_weights)
    return jnp.concatenate([within, between], axis=1)


@validated_jit()
def mixture_mean(gmm: Mixture) -> Array:
    r"""The mean of a whole mixture; its components have the means ``gmm.means``.

    .. math:: \bar\mu = \sum_k \pi_k \mu_k

    Args:
      gmm: the mixture.

    Returns:
      The mean (D,).

    Raises:
      TypeError: gmm is not a GMM.
      ValueError: a parameter of gmm is not finite.

    Example:
      >>> p = GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(mixture_mean(p).round(4))
      [3.]
    """
    return matmul(gmm.weights, gmm.loc)


@validated_jit()
def mixture_covariance(gmm: Mixture) -> Array:
    r"""The covariance of a whole mixture; its components have ``gmm.covariances``.

    .. math:: \sum_k \pi_k \left(\Sigma_k + (\mu_k - \bar\mu) (\mu_k - \bar\mu)^T\right)

    Args:
      gmm: the mixture.

    Returns:
      The covariance (D, D), whatever the covariance type of gmm is.

    Raises:
      TypeError, ValueError: as in `mixture_mean`.

    Example:
      >>> p = GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(mixture_covariance(p).round(4))
      [[4.]]
    """
    return gram(_root_of_covariance(gmm, mixture_mean(gmm))[None])[0]
