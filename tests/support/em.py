"""Rows with one best mixture of three components, and fits to them."""

import jax
import numpy as np

import jaxgmm


def mixed_rows(n: int = 300) -> np.ndarray:
    """Two correlated clusters and a third, apart enough for one best fit."""
    rng = np.random.default_rng(2)
    means = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 3.0], [0.0, 5.0, -3.0]])
    normals = rng.normal(size=(3, n // 3, 3)) @ np.array([[1, 0.6, 0], [0, 0.8, 0.3], [0, 0, 1]])
    return (means[:, None] + normals).reshape(-1, 3)


def fitted(x, covariance_type: str, **keywords) -> jaxgmm.EMResult:
    return jaxgmm.fit_em(jax.random.key(0), x, 3, covariance_type, **keywords)
