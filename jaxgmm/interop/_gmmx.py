"""Mixtures from gmmx."""

from typing import Any

from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM
from jaxgmm.interop._imports import check_type


def from_gmmx(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """The parameters of a mixture of gmmx, full or diagonal.

    Args:
      mixture: a GaussianMixtureModelJax.
      dtype: a floating dtype; None: that of the mixture.

    Returns:
      The same mixture as a `GMM`. The covariances are factored in NumPy, so this is not for use under `jax.jit`.

    Raises:
      TypeError: it is not such a mixture, or it is traced.
      ValueError: its parameters are not those of a mixture.

    Example:
      >>> from gmmx import GaussianMixtureModelJax
      >>> from_gmmx(GaussianMixtureModelJax.create(n_components=3, n_features=2)).covariance_type
      'full'
    """
    check_type(mixture, "gmmx", "GaussianMixtureModelJax")
    weights, means, covariances = (
        mixture.weights.ravel(),
        mixture.means[0, :, :, 0],
        mixture.covariances.values[0],
    )
    covariance_type = mixture.covariances.type.value
    covariances = covariances if covariance_type == "full" else covariances[:, :, 0]
    return GMM.from_moments(weights, means, covariances, covariance_type, dtype=dtype)
