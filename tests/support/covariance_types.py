"""The four covariance types, and covariances of each as `GMM.from_moments` takes them."""

import numpy as np

TYPES = ["full", "tied", "diag", "spherical"]


def of_type(covariances: np.ndarray, covariance_type: str) -> np.ndarray:
    """What that type keeps of matrices (K, D, D)."""
    return {
        "full": covariances,
        "tied": covariances[0],
        "diag": np.diagonal(covariances, axis1=1, axis2=2),
        "spherical": covariances[:, 0, 0],
    }[covariance_type]
