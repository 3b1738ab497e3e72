"""Mixtures from and to scikit-learn."""

from typing import Any

import numpy as np
from jax.typing import DTypeLike

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import cholesky_factors_of, moments_of
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._validation.checks import check_concrete, kind
from jaxgmm.interop._imports import imported


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
