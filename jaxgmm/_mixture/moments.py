"""Checks of weights, means and covariances, and Cholesky factors, in NumPy and float64."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import ArrayLike

from jaxgmm._validation.checks import as_array, finite_array, floating_dtype, quoted
from jaxgmm._validation.validated_jit import Check

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


def checked_weights(weights: np.ndarray) -> np.ndarray:
    """The weights (K,), or an error if they are not those of a mixture."""
    if weights.ndim != 1 or not weights.size:
        raise ValueError(f"weights must have shape (K,) with K at least 1, got {weights.shape}")
    k = int(weights.argmin())
    if weights[k] < 0:
        raise ValueError(f"weights must not be negative, but weights[{k}] is {weights[k]:g}")
    if abs(weights.sum() - 1) > 1e-6:
        got = f"the sum is {weights.sum():.9g}; pass weights / weights.sum()"
        raise ValueError(f"weights must sum to 1 to within 1e-6, but {got}")
    return weights


def check_dead(name: str, is_dead: np.ndarray, *parameters: ArrayLike) -> None:
    """Raise an error if a component without weight has a parameter that is not finite."""
    for array in map(as_array, parameters):
        if array.dtype.kind == "f" and array.shape[:1] == is_dead.shape:
            at_fault = is_dead & ~np.isfinite(array.reshape(len(array), -1)).all(1)
            if at_fault.any():
                problem = "has no weight, and a parameter that is NaN or infinite"
                raise ValueError(f"component {at_fault.argmax()} of {name} {problem}; leave it out")


def checked_means(means: np.ndarray, k: int) -> np.ndarray:
    """The means (K, D), or an error if they are not K points."""
    shape = means.shape
    if means.ndim != 2 or not means.size:
        mend = "; write means[:, None] for one dimension" if means.ndim == 1 else ""
        raise ValueError(f"means must have shape (K, D) with D at least 1, got {shape}{mend}")
    if len(means) != k:
        raise ValueError(f"weights has {k} components, but means of shape {shape} has {shape[0]}")
    return means


def checked_data(name: str, x: Any) -> Array:
    """The points (n, D) as a floating array, or an error if they are not finite numbers."""
    if not isinstance(x, Tracer):
        x = jnp.asarray(finite_array(name, x, floating_dtype(None, x)))
    if x.ndim != 2 or not x.size:
        needed = f"shape (n, D) with n and D at least 1, got {x.shape}"
        mend = f"; write {name}[:, None] for one dimension" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have {needed}{mend}")
    return x


def checked_covariance_type(name: str, covariance_type: Any) -> str:
    """The name of a covariance type, or an error if there is none of that name."""
    if not isinstance(covariance_type, str) or covariance_type not in COVARIANCE_TYPES:
        names = ", ".join(COVARIANCE_TYPES)
        raise ValueError(f"{name} must be one of {names}, got {quoted(covariance_type)}")
    return covariance_type


Data = Annotated[ArrayLike, Check(checked_data)]
CovarianceType = Annotated[str, Check(checked_covariance_type, static=True)]


def check_covariance_shape(covariances: np.ndarray, shape: tuple[int, ...], kind: str) -> None:
    """Raise unless the covariances, of the type ``kind``, fit means of this shape (K, D)."""
    k, d = shape
    expected = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]
    if covariances.shape != expected:
        needed = f"shape {expected} for covariance_type {kind!r} and means of shape {shape}"
        raise ValueError(f"covariances must have {needed}, got {covariances.shape}")


def log_cholesky(
    covariances: np.ndarray, shape: tuple[int, ...], kind: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """The log_diag and off_diag of covariances of the type ``kind``, for means (K, D)."""
    k, d = shape
    if kind in ("diag", "spherical"):
        return 0.5 * np.log(_checked_variances(covariances)).reshape(k, -1), None
    factors = _cholesky(covariances.reshape(-1, d, d))
    rows, columns = np.tril_indices(d, -1)
    return np.log(np.diagonal(factors, axis1=1, axis2=2)), factors[:, rows, columns]


def _checked_variances(variances: np.ndarray) -> np.ndarray:
    for k, variance in enumerate(variances):
        if not (variance > 0).all():
            mend = "every variance must be positive; add a small constant to it"
            raise ValueError(f"covariances[{k}] is {quoted(variance)}: {mend}")
    return variances


def _cholesky(covariances: np.ndarray) -> np.ndarray:
    """The Cholesky factors (R, D, D), or an error that names the first component at fault."""
    for k, covariance in enumerate(covariances):
        scale = np.sqrt(np.abs(np.diagonal(covariance)))
        # The covariance of float32 data is symmetric to a few of its own roundings, 6e-8 each.
        if (np.abs(covariance - covariance.T) > 1e-5 * np.outer(scale, scale)).any():
            mend = "pass (C + C.T) / 2 if it should be"
            raise ValueError(f"covariances[{k}] is not symmetric; {mend}:\n{quoted(covariance)}")
        try:
            np.linalg.cholesky(0.5 * (covariance + covariance.T))
        except np.linalg.LinAlgError:
            least = f"its smallest eigenvalue is {np.linalg.eigvalsh(covariance)[0]:.3g}"
            mend = "add a small multiple of the identity to it"
            error = f"covariances[{k}] is not positive definite: {least}; {mend}"
            raise ValueError(error) from None
    return np.linalg.cholesky(0.5 * (covariances + covariances.swapaxes(-1, -2)))
