"""Checks of weights, means and covariances, and Cholesky factors, in NumPy and float64."""

from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from jaxgmm._validation.checks import as_array, finite_array, floating_dtype, quoted
from jaxgmm._validation.validated_jit import Check

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


def checked_leaves(
    weights: ArrayLike | None,
    log_weights: ArrayLike | None,
    means: ArrayLike,
    matrices: Mapping[str, ArrayLike | None],
    covariance_type: str,
    dtype: DTypeLike | None,
    normalize: bool,
) -> tuple[Array, ...]:
    """The leaves of a mixture, by weights or their logarithms, and by one of the matrices."""
    name, given = _the_one(matrices)
    of_weights = _the_one({"weights": weights, "log_weights": log_weights})
    dtype = floating_dtype(dtype, of_weights[1], means, given)
    logits = _checked_logits(*of_weights, normalize)
    check_dead("the mixture", logits == -np.inf, means, given)
    means = checked_means(finite_array("means", means), len(logits))
    array = finite_array(name, given)
    _check_shape(name, array, means.shape, covariance_type)
    leaves = (logits, means, *_log_cholesky(name, array, means.shape, covariance_type))
    # NumPy converts the dtype, because JAX would compile a program for each shape.
    return jax.tree.map(lambda leaf: jnp.asarray(leaf.astype(dtype), dtype), leaves)


def _the_one(options: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and the value of the only option, or of the only one of several that is given."""
    given = [pair for pair in options.items() if pair[1] is not None or len(options) == 1]
    if len(given) != 1:
        raise ValueError(f"pass {' or '.join(options)}, got {len(given)} of them")
    return given[0]


def _checked_logits(name: str, given: ArrayLike, normalize: bool) -> np.ndarray:
    """The logarithms of the weights (K,), or an error if they are not those of a mixture."""
    if name == "weights":
        weights = finite_array(name, given)
        total = abs(weights.sum()) if normalize else 1
        with np.errstate(divide="ignore"):  # The logit of a weight of 0 is -inf, as documented.
            return np.log(checked_weights(weights / (total or 1)))
    array = as_array(given)
    is_dead = np.equal(array, -np.inf) if array.dtype.kind == "f" else np.zeros((), bool)
    logs = finite_array(name, np.where(is_dead, 0, array) if is_dead.any() else given)
    logs = np.where(is_dead, -np.inf, logs)
    total = np.logaddexp.reduce(logs.ravel()) if normalize and not is_dead.all() else 0
    checked_weights(np.exp(np.minimum(logs - total, 700)), name)
    return logs - total


def checked_weights(weights: np.ndarray, name: str = "weights") -> np.ndarray:
    """The weights (K,), or an error, by the name of the argument, if no mixture has them."""
    if weights.ndim != 1 or not weights.size:
        raise ValueError(f"{name} must have shape (K,) with K at least 1, got {weights.shape}")
    k = int(weights.argmin())
    if weights[k] < 0:
        raise ValueError(f"weights must not be negative, but weights[{k}] is {weights[k]:g}")
    if abs(weights.sum() - 1) > 1e-6:
        what, mend = name, "pass weights / weights.sum()"
        if name == "log_weights":
            what, mend = f"exp({name})", "pass normalize=True"
        problem = f"the sum is {weights.sum():.9g}; {mend}"
        raise ValueError(f"{what} must sum to 1 to within 1e-6, but {problem}")
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
        mend = "; pass means.T" if shape[1] == k else ""
        got = f"means of shape {shape} has {shape[0]}"
        raise ValueError(f"weights has {k} components, but {got}{mend}")
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


def _check_shape(name: str, matrices: np.ndarray, shape: tuple[int, ...], kind: str) -> None:
    """Raise unless the matrices, of the type ``kind``, fit means of this shape (K, D)."""
    k, d = shape
    expected = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]
    if matrices.shape != expected:
        needed = f"shape {expected} for covariance_type {kind!r} and means of shape {shape}"
        mends = {(d, d, k): _LAST.format(name), (1, d, k): f"pass {name}[0].T"}
        mend = mends.get(matrices.shape, "") if kind in ("full", "diag") else ""
        raise ValueError(f"{name} must have {needed}, got {matrices.shape}{mend and f'; {mend}'}")


_LAST = "with components on the last axis, as in MATLAB and mclust, pass {}.transpose(2, 0, 1)"


def _log_cholesky(
    name: str, matrices: np.ndarray, shape: tuple[int, ...], kind: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """The log_diag and off_diag of matrices of the type ``kind``, for means (K, D)."""
    k, d = shape
    if kind in ("diag", "spherical"):
        power = {"covariances": 0.5, "precisions": -0.5, "precisions_cholesky": -1}[name]
        return power * np.log(_checked_positive(name, matrices)).reshape(k, -1), None
    factors = _factors(name, matrices.reshape(-1, d, d))
    rows, columns = np.tril_indices(d, -1)
    return np.log(np.diagonal(factors, axis1=1, axis2=2)), factors[:, rows, columns]


def _factors(name: str, matrices: np.ndarray) -> np.ndarray:
    """The Cholesky factors L (R, D, D) of the covariances."""
    if name == "covariances":
        return _cholesky(name, matrices)
    if name == "precisions":
        # With the coordinates reversed, the lower triangle of Cholesky is an upper one.
        upper = _cholesky(name, matrices[:, ::-1, ::-1])[:, ::-1, ::-1]
    else:
        upper = matrices
        _checked_positive(name, np.diagonal(upper, axis1=1, axis2=2))
        if np.tril(upper, -1).any():
            got = "a number below the diagonal; scikit-learn's are upper triangles"
            needed = "upper triangles U with U U^T the precision"
            raise ValueError(f"{name} must be {needed}, got {got}")
    from scipy.linalg import solve_triangular  # whose import takes longer than all of ours

    identity = np.eye(matrices.shape[1])
    return np.stack([solve_triangular(u, identity, trans=1) for u in upper])  # L = U^-T


def _checked_positive(name: str, numbers: np.ndarray) -> np.ndarray:
    for k, number in enumerate(numbers):
        if not (number > 0).all():
            what = "variance" if name == "covariances" else "number"
            mend = f"every {what} must be positive; add a small constant to it"
            raise ValueError(f"{name}[{k}] is {quoted(number)}: {mend}")
    return numbers


def _cholesky(name: str, matrices: np.ndarray) -> np.ndarray:
    """The Cholesky factors (R, D, D), or an error that names the first component at fault."""
    for k, matrix in enumerate(matrices):
        if not _is_symmetric(matrix):
            moved = map(_is_symmetric, matrices.transpose(2, 0, 1))
            is_moved = len(matrices) == len(matrix) and all(moved)
            mend = _LAST.format(name) if is_moved else "pass (C + C.T) / 2 if it should be"
            raise ValueError(f"{name}[{k}] is not symmetric; {mend}:\n{quoted(matrix)}")
        try:
            np.linalg.cholesky(0.5 * (matrix + matrix.T))
        except np.linalg.LinAlgError:
            least = f"its smallest eigenvalue is {np.linalg.eigvalsh(matrix)[0]:.3g}"
            mend = "add a small multiple of the identity to it"
            raise ValueError(f"{name}[{k}] is not positive definite: {least}; {mend}") from None
    return np.linalg.cholesky(0.5 * (matrices + matrices.swapaxes(-1, -2)))


def _is_symmetric(matrix: np.ndarray) -> bool:
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    # The covariance of float32 data is symmetric to a few of its own roundings, 6e-8 each.
    return not (np.abs(matrix - matrix.T) > 1e-5 * np.outer(scale, scale)).any()
