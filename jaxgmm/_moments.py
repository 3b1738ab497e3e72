"""Checks of the moments that a mixture is built from, and their Cholesky factors, all in NumPy and float64."""

import operator
import reprlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


def floating_dtype(dtype: DTypeLike | None, *values: ArrayLike) -> DTypeLike:
    if dtype is None:
        given = [value.dtype for value in values if isinstance(value, np.ndarray | np.generic | Array)]
        floating = [d for d in given if jnp.issubdtype(d, jnp.floating)]
        widest = np.result_type(*floating) if floating else np.float64
        return jnp.result_type(float) if widest == np.float64 else widest  # float64 only where JAX has it enabled
    check_static("dtype", dtype)
    if not is_floating(dtype):
        raise TypeError(f"dtype must be a floating dtype, got {dtype!r}; leave it out for the default")
    return dtype


def is_floating(dtype: Any) -> bool:
    """Whether it is a floating dtype, or the type of such a number."""
    try:
        return jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except (TypeError, ValueError):  # it is no dtype at all
        return False


def finite_array(name: str, value: Any, dtype: DTypeLike = np.float64) -> np.ndarray:
    if isinstance(value, Tracer):
        raise TypeError(
            f"{name} is traced, and GMM.from_moments runs in NumPy: call it outside jax.jit, or build "
            "GMM(logits, loc, log_diag, off_diag) from unconstrained arrays"
        )
    given = _as_array(value)
    if given.dtype.kind not in "biuf" and not jnp.issubdtype(given.dtype, jnp.floating):
        raise TypeError(f"{name} must be an array of real numbers, got {value!r}")
    array = given.astype(dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: {value!r}")
    return array


def _as_array(value: Any) -> np.ndarray:
    """The array, or one of an object where there is none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # rows of different length, a random key
        return np.asarray(None)


def checked_weights(weights: np.ndarray) -> np.ndarray:
    if weights.ndim != 1 or not weights.size:
        raise ValueError(f"weights must have shape (K,) with K at least 1, got {weights.shape}")
    if (weights < 0).any():
        worst = int(weights.argmin())
        raise ValueError(f"weights must not be negative, but weights[{worst}] is {weights[worst]:g}")
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
        raise ValueError(f"weights has {num_components} components, but means of shape {means.shape} has {len(means)}")
    return means


def checked_data(x: Any) -> Array:
    """Points (n, D) as a floating array."""
    if not isinstance(x, Tracer):
        x = jnp.asarray(finite_array("x", x, floating_dtype(None, x)))
    if x.ndim != 2 or not x.size:
        mend = "; write x[:, None] for one dimension" if x.ndim == 1 else ""
        raise ValueError(f"x must have shape (n, D) with n and D at least 1, got {x.shape}{mend}")
    return x


def check_key(key: Any, required: bool = False) -> None:
    """Raise on what is not one random key; None passes where a rule may do without."""
    if key is None and not required:
        return
    if key is None:
        raise ValueError("key is None: pass jax.random.key(0), say")
    if isinstance(key, Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (typed and key.ndim == 0) or (key.dtype == jnp.uint32 and key.ndim == 1):
            return
        if typed or key.dtype == jnp.uint32:
            raise ValueError(f"key must be one key, got an array of keys of shape {key.shape}; use jax.vmap over keys")
    raise TypeError(f"key must be a JAX random key, got {reprlib.repr(key)}; write jax.random.key(0), say")


def check_positive(name: str, value: Any) -> None:
    """Raise on what is not one positive, finite number; a traced one passes."""
    number = value if isinstance(value, Tracer) else _as_array(value)
    if not (jnp.issubdtype(number.dtype, jnp.floating) or jnp.issubdtype(number.dtype, jnp.integer)):
        raise TypeError(f"{name} must be a number, got {value!r}; 1.0, say")
    if number.ndim:
        raise ValueError(f"{name} must be one number, got an array of shape {number.shape}; use jax.vmap over it")
    if not isinstance(number, Tracer) and not 0 < number < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def check_static(name: str, value: Any) -> None:
    """Raise on what is traced, where a program is made for each value."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        raise TypeError(f"{name} is traced, but it must be static: close over it, or name it in the static_argnames of jax.jit")


def kind(value: Any, module: str = "") -> str:
    """What an error says of a value of a wrong type, after the module that it is from."""
    return "a traced array" if isinstance(value, Tracer) else f"{module}.{type(value).__name__}".removeprefix(".")


def check_text(name: str, value: Any) -> None:
    """Raise on what is not a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {kind(value)}")


def check_flag(name: str, value: Any) -> None:
    """Raise on what is neither True nor False."""
    check_static(name, value)
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def checked_number(name: str, value: Any) -> float:
    """The real number, or an error if it is none."""
    check_static(name, value)
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"{name} must be a number, got {value!r}; 0.5, say")
    return float(value)


def check_concrete(name: str, value: Any, function: str) -> None:
    """Raise on what is traced where a function runs in NumPy."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        raise TypeError(f"{name} is traced, and {function} runs in NumPy: call it outside jax.jit")


def checked_int(name: str, value: object, at_least: int = 1, at_most: int = 2**31 - 1) -> int:
    """The integer, or an error if it is none, too small or too large."""
    check_static(name, value)
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}; write {name}=10_000, say") from None
    if isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, got {value!r}")
    if number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {value!r}")
    return number


def check_covariance_type(covariance_type: Any) -> None:
    check_static("covariance_type", covariance_type)
    if not isinstance(covariance_type, str) or covariance_type not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type must be one of {', '.join(COVARIANCE_TYPES)}, got {covariance_type!r}")


def check_covariance_shape(covariances: np.ndarray, shape: tuple[int, ...], covariance_type: str) -> None:
    check_covariance_type(covariance_type)
    k, d = shape
    expected = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[covariance_type]
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
            raise ValueError(f"covariances[{component}] is not symmetric; pass (C + C.T) / 2 if it should be:\n{covariance}")
        try:
            np.linalg.cholesky(0.5 * (covariance + covariance.T))
        except np.linalg.LinAlgError:
            smallest = np.linalg.eigvalsh(covariance)[0]
            raise ValueError(
                f"covariances[{component}] is not positive definite: its smallest eigenvalue is {smallest:.3g}; "
                "add a small multiple of the identity to it"
            ) from None
    return np.linalg.cholesky(0.5 * (covariances + covariances.swapaxes(-1, -2)))
