"""Mixtures from and to NumPyro, distrax and TensorFlow Probability."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM, is_diagonal, scale_of
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm.interop._imports import imported
from jaxgmm.interop._reading import read_distribution


def from_distribution(distribution: Any, dtype: DTypeLike | None = None) -> GMM:
    """A Gaussian or Gaussian mixture of NumPyro, distrax or TensorFlow Probability as a `GMM`.

    The parameters may be traced, and have gradients. A distribution that is built under `jax.jit`
    should get a ``scale_tril``, since libraries factor a covariance matrix by LAPACK, and several
    such calls in one program have made XLA hang on CPU. The derivative in a probability of 0 is 0.

    Args:
      distribution: one Gaussian, which is a ``MultivariateNormal`` with any kind of scale, a
        ``Normal`` made independent over one dimension (by ``Independent`` or ``to_event``), or a
        scalar ``Normal``, which gets D = 1; or a mixture of these: a ``MixtureSameFamily``, a
        ``MixtureGeneral`` of NumPyro or a ``Mixture`` of TensorFlow Probability.
      dtype: a floating dtype, or None for that of the parameters.

    Returns:
      The same mixture, "full" or "tied" if it is given by matrices, else "diag" or "spherical".

    Raises:
      TypeError: distribution is not one of these, or dtype is not a floating dtype.
      ValueError: distribution is a batch, or a parameter is not finite.
      ValueError: a weight is negative, or a covariance is not positive definite.

    Example:
      >>> import numpy as np
      >>> import numpyro.distributions as dist
      >>> components = dist.MultivariateNormal(np.array([[0.0], [2.0]]), scale_tril=np.eye(1))
      >>> weights = dist.Categorical(probs=np.array([0.3, 0.7]))
      >>> p = from_distribution(dist.MixtureSameFamily(weights, components))
      >>> print(p.num_components, p.covariance_type)
      2 tied
    """
    return read_distribution(distribution, dtype)


def to_numpyro(gmm: GMM) -> Any:
    """A NumPyro ``MixtureSameFamily`` with the parameters of a mixture, which may be traced.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of ``MultivariateNormal``, or of independent ``Normal`` for diagonal covariances.

    Raises:
      ImportError: NumPyro is not installed.
      TypeError: gmm is not a GMM.
      ValueError: gmm is not one mixture with finite parameters.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_numpyro(p).log_prob(jnp.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    dist = imported("numpyro.distributions", "to_numpyro", "NumPyro", "numpyro")
    logits = jnp.maximum(gmm.logits, jnp.finfo(gmm.logits.dtype).min)  # NumPyro refuses -inf
    return _same_family(
        dist, gmm, logits, lambda loc, factors: dist.MultivariateNormal(loc, scale_tril=factors)
    )


def to_distrax(gmm: GMM) -> Any:
    """A distrax ``MixtureSameFamily`` with the parameters of a mixture, which may be traced.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of ``MultivariateNormalTri``, or of independent ``Normal`` for diagonal covariances.

    Raises:
      ImportError: distrax is not installed.
      TypeError, ValueError: as in `to_numpyro`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_distrax(p).log_prob(jnp.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    distrax = imported("distrax", "to_distrax", "distrax", "distrax")
    return _same_family(distrax, gmm, gmm.logits, distrax.MultivariateNormalTri)


def to_tfp(gmm: GMM) -> Any:
    """A TensorFlow Probability ``MixtureSameFamily`` of a mixture, which may be traced.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of ``MultivariateNormalTriL``, or independent ``Normal`` for diagonal covariances.

    Raises:
      ImportError: TensorFlow Probability is not installed.
      TypeError, ValueError: as in `to_numpyro`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_tfp(p).log_prob(jnp.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    module = "tensorflow_probability.substrates.jax.distributions"
    tfd = imported(module, "to_tfp", "TensorFlow Probability", "tfp")
    return _same_family(tfd, gmm, gmm.logits, tfd.MultivariateNormalTriL)


def _same_family(dist: Any, gmm: GMM, logits: Array, gaussians: Callable[..., Any]) -> Any:
    """The mixture in ``dist``; ``gaussians`` makes its components of means and Cholesky factors."""
    if is_diagonal(gmm):
        components = dist.Independent(dist.Normal(gmm.loc, jnp.exp(gmm.log_diag)), 1)
    else:
        components = gaussians(gmm.loc, scale_of(gmm).rows())
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)
