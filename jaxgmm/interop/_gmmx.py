"""Mixtures from gmmx."""

from typing import Any

from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM
from jaxgmm.interop._imports import check_type


def from_gmmx(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """A mixture of gmmx as a `GMM`.

    The covariances are factored in NumPy, so the parameters may not be traced under `jax.jit`.

    Args:
      mixture: a ``GaussianMixtureModelJax`` with full or diagonal covariances.
      dtype: a floating dtype, or None for that of the mixture.

    Returns:
      The same mixture, "full" or "diag".

    Raises:
      TypeError: mixture is not of this type, a parameter is traced, or dtype is not floating.
      ValueError: a parameter is not finite, or the weights do not sum to 1.
      ValueError: a covariance is not positive definite.

    Example:
      >>> from gmmx import GaussianMixtureModelJax
      >>> theirs = GaussianMixtureModelJax.create(n_components=3, n_features=2)
      >>> from_gmmx(theirs).covariance_type
      'full'
    """
    check_type(mixture, "gmmx", "GaussianMixtureModelJax")
    weights, means = mixture.weights.ravel(), mixture.means[0, :, :, 0]
    covariances = mixture.covariances.values[0]
    covariance_type = mixture.covariances.type.value
    covariances = covariances if covariance_type == "full" else covariances[:, :, 0]
    return GMM.from_moments(weights, means, covariances, covariance_type, dtype=dtype)
