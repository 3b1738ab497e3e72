"""Checks of the moments that a mixture is built from, and their Cholesky factors, all in NumPy and float64."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._validation.checks import check_static, finite_array, floating_dtype

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


def checked_weights(weights: np.ndarray) -> np.ndarray:
    if weights.ndim != 1 or not weights.size:
        raise ValueError(f"weights must have shape (K,) with K at least 1, got {weights.shape}")
    if (weights < 0).any():
        worst = int(weights.argmin())
        raise ValueError(
            f"weights must not be negative, but weights[{worst}] is {weights[worst]:g}"
        )
    if abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"weights must sum to 1 to within 1e-6, but the sum is {weights.sum():.9g}; pass weights / weights.sum()"
        )
    return weights


def checked_means(means: np.ndarray, num_components: int) -> np.ndarray:
    if means.ndim != 2 or not means.size:
        mend = "; write means[:, None] for one dimension" if means.ndim == 1 else ""
        raise ValueError(f"means must have shape (K, D) with D at least 1, got {means.shape}{mend}")
    if len(means) != num_components:
        raise ValueError(
            f"weights has {num_components} components, but means of shape {means.shape} has {len(means)}"
        )
    return means


def checked_data(x: Any) -> Array:
    """Points (n, D) as a floating array."""
    if not isinstance(x, Tracer):
        x = jnp.asarray(finite_array("x", x, floating_dtype(None, x)))
    if x.ndim != 2 or not x.size:
        mend = "; write x[:, None] for one dimension" if x.ndim == 1 else ""
        raise ValueError(f"x must have shape (n, D) with n and D at least 1, got {x.shape}{mend}")
    return x


def check_covariance_type(covariance_type: Any) -> None:
    check_static("covariance_type", covariance_type)
    if not isinstance(covariance_type, str) or covariance_type not in COVARIANCE_TYPES:
        raise ValueError(
            f"covariance_type must be one of {', '.join(COVARIANCE_TYPES)}, got {covariance_type!r}"
        )


def check_covariance_shape(
    covariances: np.ndarray, shape: tuple[int, ...], covariance_type: str
) -> None:
    check_covariance_type(covariance_type)
    k, d = shape
    expected = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[
        covariance_type
    ]
    if covariances.shape != expected:
        raise ValueError(
            f"covariances must have shape {expected} for covariance_type {covariance_type!r} and means of shape {shape}, "
            f"got {covariances.shape}"
        )


def checked_variances(variances: np.ndarray) -> np.ndarray:
    if not (variances > 0).all():
        component = int(np.argwhere(~(variances > 0))[0][0])
        raise ValueError(
            f"covariances[{component}] is {variances[component]}: every variance must be positive; add a small constant to it"
        )
    return variances


def cholesky(covariances: np.ndarray) -> np.ndarray:
    """Cholesky factors of a batch (R, D, D), or an error that names the first component at fault."""
    for component, covariance in enumerate(covariances):
        scale = np.sqrt(np.abs(np.diagonal(covariance)))
        # The covariance of float32 data is symmetric to a few of its own roundings, 6e-8 each.
        if (np.abs(covariance - covariance.T) > 1e-5 * np.outer(scale, scale)).any():
            raise ValueError(
                f"covariances[{component}] is not symmetric; pass (C + C.T) / 2 if it should be:\n{covariance}"
            )
        try:
            np.linalg.cholesky(0.5 * (covariance + covariance.T))
        except np.linalg.LinAlgError:
            smallest = np.linalg.eigvalsh(covariance)[0]
            raise ValueError(
                f"covariances[{component}] is not positive definite: its smallest eigenvalue is {smallest:.3g}; "
                "add a small multiple of the identity to it"
            ) from None
    return np.linalg.cholesky(0.5 * (covariances + covariances.swapaxes(-1, -2)))
