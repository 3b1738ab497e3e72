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
    """The Cholesky factors (K or 1, D, D), where a factor that all components share stands once."""
    d, scale = gmm.num_dims, np.exp(np.asarray(gmm.log_diag, np.float64))
    num_rows = len(scale) if gmm.off_diag is None else max(len(scale), len(gmm.off_diag))
    factors = np.broadcast_to(scale[:, :, None], (num_rows, d, d)) * np.eye(d)
    if gmm.off_diag is not None:
        factors[:, *np.tril_indices(d, -1)] = np.asarray(gmm.off_diag, np.float64)
    return factors


def _covariances(gmm: GMM) -> tuple[np.ndarray, str]:
    """The covariances in scikit-learn's shape, and the name of that shape."""
    if gmm.off_diag is not None:
        factors = cholesky_factors_of(gmm)
        products = factors @ factors.swapaxes(-1, -2)
        return (products, "full") if len(products) == gmm.num_components else (products[0], "tied")
    variances = np.exp(np.asarray(gmm.log_diag, np.float64)) ** 2
    if gmm.covariance_type == "diag":
        return np.broadcast_to(variances, gmm.loc.shape), "diag"
    return np.broadcast_to(variances[:, 0], gmm.loc.shape[:1]), "spherical"
