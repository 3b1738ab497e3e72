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
    """The parameters of a mixture of OTT-JAX, traced ones too.

    Args:
      mixture: a GaussianMixture of ``ott.tools.gaussian_mixture``.
      dtype: a floating dtype; None: that of the mixture.

    Returns:
      The same mixture as a `GMM`, of full covariances.

    Raises:
      TypeError: it is not such a mixture.
      ValueError: it is a batch of them, or not finite.

    Example:
      >>> import jax
      >>> from ott.tools.gaussian_mixture.gaussian_mixture import GaussianMixture
      >>> from_ott(GaussianMixture.from_random(jax.random.key(0), n_components=3, n_dimensions=2)).num_components
      3
    """
    check_type(mixture, "ott", "GaussianMixture")
    loc, triangle, logits = mixture.loc, mixture.scale_params, mixture.component_weight_ob.params
    rows, columns = np.tril_indices(loc.shape[-1])
    logits = jnp.append(
        logits, jnp.zeros_like(logits, shape=1)
    )  # OTT leaves the last logit out, which is 0
    gmm = GMM(logits, loc, triangle[:, rows == columns], triangle[:, rows > columns])
    gmm = jax.tree.map(lambda leaf: leaf.astype(floating_dtype(dtype, loc)), gmm)
    checked_mixture("mixture", gmm)
    return gmm
