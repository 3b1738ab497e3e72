"""Mixtures from gmmx and OTT-JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._validation.checks import floating_dtype, kind


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
    _check_type(mixture, "gmmx", "GaussianMixtureModelJax")
    weights, means = mixture.weights.ravel(), mixture.means[0, :, :, 0]
    covariances = mixture.covariances.values[0]
    covariance_type = mixture.covariances.type.value
    covariances = covariances if covariance_type == "full" else covariances[:, :, 0]
    return GMM.from_moments(weights, means, covariances, covariance_type, dtype=dtype)


def from_ott(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """A mixture of OTT-JAX as a `GMM`; its parameters may be traced.

    Args:
      mixture: a ``GaussianMixture`` of ``ott.tools.gaussian_mixture``.
      dtype: a floating dtype, or None for that of the mixture.

    Returns:
      The same mixture, "full".

    Raises:
      TypeError: mixture is not a ``GaussianMixture`` of OTT-JAX, or dtype is not floating.
      ValueError: mixture is a batch, or a parameter is not finite.

    Example:
      >>> from ott.tools.gaussian_mixture.gaussian_mixture import GaussianMixture
      >>> key = jax.random.key(0)
      >>> theirs = GaussianMixture.from_random(key, n_components=3, n_dimensions=2)
      >>> from_ott(theirs).num_components
      3
    """
    _check_type(mixture, "ott", "GaussianMixture")
    loc, triangle, logits = mixture.loc, mixture.scale_params, mixture.component_weight_ob.params
    rows, columns = np.tril_indices(loc.shape[-1])
    logits = jnp.append(logits, jnp.zeros_like(logits, shape=1))  # OTT omits the last logit, a 0
    gmm = GMM(logits, loc, triangle[:, rows == columns], triangle[:, rows > columns])
    gmm = jax.tree.map(lambda leaf: leaf.astype(floating_dtype(dtype, loc)), gmm)
    checked_mixture("mixture", gmm)
    return gmm


def _check_type(mixture: Any, library: str, name: str) -> None:
    """Raise unless the type of a mixture, or a base class, has this name in this library."""
    bases = type(mixture).__mro__
    if (library, name) not in [(base.__module__.split(".")[0], base.__name__) for base in bases]:
        got = kind(mixture, type(mixture).__module__)
        raise TypeError(f"mixture must be a {name} of {library}, got {got}")
