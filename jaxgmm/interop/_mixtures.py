"""Mixtures from gmmx and OTT-JAX, from and to scikit-learn, and imports on demand."""

import importlib
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import cholesky_factors_of, moments_of
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._validation.checks import check_concrete, floating_dtype, kind


def imported(module: str, function: str, library: str, extra: str) -> ModuleType:
    """The module of a library, or an error that says how to install the library for a function."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{function} needs {library}: pip install 'jaxgmm[{extra}]'") from error


def from_sklearn(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """A fitted mixture of scikit-learn as a `GMM`.

    Args:
      mixture: a fitted ``GaussianMixture`` or ``BayesianGaussianMixture``.
      dtype: a floating dtype; None is JAX's default, which is float32 unless x64 is enabled.

    Returns:
      The same mixture.

    Raises:
      TypeError: mixture is not a mixture of scikit-learn, or dtype is not floating.
      ValueError: mixture is not fitted, or a parameter is not finite.

    Example:
      >>> from sklearn.mixture import GaussianMixture
      >>> fitted = GaussianMixture(2).fit(np.array([[0.0], [0.1], [5.0], [5.2]]))
      >>> from_sklearn(fitted).num_components
      2
    """
    if not hasattr(mixture, "covariance_type"):
        needed = "a fitted scikit-learn GaussianMixture"
        raise TypeError(f"mixture must be {needed}, got {kind(mixture)}")
    fields = ("weights_", "means_", "covariances_")
    missing = [name for name in fields if not hasattr(mixture, name)]
    if missing:
        problem = f"{kind(mixture)} has no {', '.join(missing)}; call mixture.fit(X) first"
        raise ValueError(f"mixture is not fitted: {problem}")
    weights, means, covariances = (np.asarray(getattr(mixture, n), np.float64) for n in fields)
    return GMM.from_moments(weights, means, covariances, mixture.covariance_type, dtype=dtype)


def to_sklearn(gmm: GMM) -> Any:
    """A fitted scikit-learn ``GaussianMixture`` with the parameters of a mixture, in float64.

    Args:
      gmm: the mixture.

    Returns:
      The ``GaussianMixture``, whose ``score_samples``, ``predict`` and ``sample`` can be called.

    Raises:
      ImportError: scikit-learn is not installed.
      TypeError: gmm is not a GMM, or is traced.
      ValueError: gmm is not one mixture with finite parameters.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(to_sklearn(p).score_samples([[0.0]]).round(4))
      [-1.6118]
    """
    checked_mixture("gmm", gmm)
    check_concrete("gmm", gmm.weights, "to_sklearn")
    sklearn_mixture = imported("sklearn.mixture", "to_sklearn", "scikit-learn", "sklearn")
    weights, means, covariances, family = moments_of(gmm)
    mixture = sklearn_mixture.GaussianMixture(len(weights), covariance_type=family)
    mixture.weights_, mixture.means_, mixture.covariances_ = weights, means, np.array(covariances)
    if family in ("diag", "spherical"):
        upper, mixture.precisions_ = 1 / np.sqrt(covariances), 1 / covariances
    else:  # scikit-learn's upper triangular U, with U U^T the precision
        upper = np.linalg.inv(cholesky_factors_of(gmm)).swapaxes(-1, -2)
        upper = upper if family == "full" else upper[0]
        mixture.precisions_ = upper @ upper.swapaxes(-1, -2)
    mixture.precisions_cholesky_ = upper
    mixture.n_features_in_ = gmm.num_dims
    mixture.converged_, mixture.n_iter_, mixture.lower_bound_ = True, 0, np.nan
    return mixture


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
    check_concrete("mixture", mixture, "from_gmmx")
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
