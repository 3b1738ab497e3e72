"""Mixtures from OTT-JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._validation.checks import floating_dtype
from jaxgmm.interop._imports import check_type


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
    check_type(mixture, "ott", "GaussianMixture")
    loc, triangle, logits = mixture.loc, mixture.scale_params, mixture.component_weight_ob.params
    rows, columns = np.tril_indices(loc.shape[-1])
    logits = jnp.append(logits, jnp.zeros_like(logits, shape=1))  # OTT omits the last logit, a 0
    gmm = GMM(logits, loc, triangle[:, rows == columns], triangle[:, rows > columns])
    gmm = jax.tree.map(lambda leaf: leaf.astype(floating_dtype(dtype, loc)), gmm)
    checked_mixture("mixture", gmm)
    return gmm
