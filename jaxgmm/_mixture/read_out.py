"""The moments of a mixture in NumPy and float64, read without compiling anything."""

from typing import NamedTuple

import numpy as np

from jaxgmm._mixture.gmm import GMM


class Moments(NamedTuple):
    """The moments of a mixture in float64, in the shapes that `GMM.from_moments` takes."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str


def moments_of(gmm: GMM) -> Moments:
    """The moments of a mixture that is not traced."""
    logits = np.asarray(gmm.logits, np.float64)
    weights = np.exp(logits - logits.max())
    means = np.asarray(gmm.loc, np.float64)
    return Moments(weights / weights.sum(), means, *_covariances(gmm))


def cholesky_factors_of(gmm: GMM) -> np.ndarray:
    """The Cholesky factors (K, D, D), or (1, D, D) where all components share one."""
    d = gmm.num_dims
    scale = np.exp(np.asarray(gmm.log_diag, np.float64))
    below = np.zeros((1, d * (d - 1) // 2)) if gmm.off_diag is None else np.asarray(gmm.off_diag)
    factors = np.zeros((max(len(scale), len(below)), d, d))
    factors[:, *np.diag_indices(d)] = scale
    factors[:, *np.tril_indices(d, -1)] = below
    return factors


def _covariances(gmm: GMM) -> tuple[np.ndarray, str]:
    """The covariances in scikit-learn's shape, and the name of that shape."""
    kind = gmm.covariance_type
    if kind in ("full", "tied"):
        factors = cholesky_factors_of(gmm)
        products = factors @ factors.swapaxes(-1, -2)
        return products if kind == "full" else products[0], kind
    variances = np.exp(np.asarray(gmm.log_diag, np.float64)) ** 2
    if kind == "diag":
        return np.broadcast_to(variances, gmm.loc.shape), kind
    return np.broadcast_to(variances[:, 0], gmm.loc.shape[:1]), kind
