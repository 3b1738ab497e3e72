"""Mixtures from and to NumPyro, distrax and TensorFlow Probability."""

from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM, factor_rows
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm.interop._imports import imported
from jaxgmm.interop._reading import read_distribution


def from_distribution(distribution: Any, dtype: DTypeLike | None = None) -> GMM:
    """The parameters of a mixture of Gaussians, or of one Gaussian, of NumPyro, distrax or TensorFlow Probability on JAX.

    It may be traced: a loss that builds its distribution under `jax.jit` is differentiated in the distribution's own parameters.
    There a ``scale_tril`` is better than a covariance matrix, which libraries factor by LAPACK at every step; several such calls
    in one program have made XLA hang on CPU. In a weight that is given as the probability 0, the derivative is taken to be 0.

    Args:
      distribution: a ``MixtureSameFamily``, a ``MixtureGeneral`` of NumPyro or a ``Mixture`` of TensorFlow Probability, of
        Gaussians; or one Gaussian. These are a ``MultivariateNormal`` with any kind of scale, a ``Normal`` made independent
        over one dimension (by ``Independent`` or ``to_event``), or a ``Normal`` of numbers, which gets D = 1.
      dtype: a floating dtype; None: that of the parameters.

    Returns:
      The same mixture as a `GMM`, "full" or "tied" if given by matrices, else "diag" or "spherical".

    Raises:
      TypeError: it is not such a distribution.
      ValueError: it is a batch of them, or a parameter is not finite, a weight negative, or a covariance not positive definite.

    Example:
      >>> import numpy as np
      >>> import numpyro.distributions as dist
      >>> components = dist.MultivariateNormal(np.array([[0.0, 0.0], [2.0, 1.0]]), scale_tril=np.eye(2))
      >>> p = from_distribution(dist.MixtureSameFamily(dist.Categorical(probs=np.array([0.3, 0.7])), components))
      >>> print(p.num_components, p.covariance_type)
      2 tied
    """
    return read_distribution(distribution, dtype)


def to_numpyro(gmm: GMM) -> Any:
    """A NumPyro MixtureSameFamily with these parameters, traced ones too.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of MultivariateNormal, or, if its covariances are diagonal, of ``Normal(...).to_event(1)``.

    Raises:
      ImportError: NumPyro is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_numpyro(p).log_prob(np.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    dist = imported("numpyro.distributions", "to_numpyro", "NumPyro", "numpyro")
    logits = jnp.maximum(gmm.logits, jnp.finfo(gmm.logits.dtype).min)  # NumPyro refuses -inf
    if gmm.off_diag is None:
        components = dist.Normal(gmm.loc, jnp.exp(gmm.log_diag)).to_event(1)
    else:
        components = dist.MultivariateNormal(gmm.loc, scale_tril=factor_rows(gmm))
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)


def to_distrax(gmm: GMM) -> Any:
    """A distrax MixtureSameFamily with these parameters, traced ones too.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of MultivariateNormalTri, or, if its covariances are diagonal, of ``Independent(Normal(...), 1)``.

    Raises:
      ImportError: distrax is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_distrax(p).log_prob(np.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    distrax = imported("distrax", "to_distrax", "distrax", "distrax")
    if gmm.off_diag is None:
        components = distrax.Independent(distrax.Normal(gmm.loc, jnp.exp(gmm.log_diag)), 1)
    else:
        components = distrax.MultivariateNormalTri(gmm.loc, factor_rows(gmm))
    return distrax.MixtureSameFamily(distrax.Categorical(logits=gmm.logits), components)


def to_tfp(gmm: GMM) -> Any:
    """A MixtureSameFamily of TensorFlow Probability on JAX with these parameters, traced ones too.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of MultivariateNormalTriL, or, if its covariances are diagonal, of ``Independent(Normal(...), 1)``.

    Raises:
      ImportError: TensorFlow Probability is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_tfp(p).log_prob(np.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    tfd = imported(
        "tensorflow_probability.substrates.jax.distributions",
        "to_tfp",
        "TensorFlow Probability",
        "tfp",
    )
    if gmm.off_diag is None:
        components = tfd.Independent(tfd.Normal(gmm.loc, jnp.exp(gmm.log_diag)), 1)
    else:
        components = tfd.MultivariateNormalTriL(gmm.loc, factor_rows(gmm))
    return tfd.MixtureSameFamily(tfd.Categorical(logits=gmm.logits), components)
