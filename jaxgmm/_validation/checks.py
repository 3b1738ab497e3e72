"""Checks of keys, flags, numbers, arrays and dtypes, which name the argument at fault."""

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


def floating_dtype(dtype: DTypeLike | None, *values: ArrayLike) -> DTypeLike:
    if dtype is None:
        given = [
            value.dtype for value in values if isinstance(value, np.ndarray | np.generic | Array)
        ]
        floating = [d for d in given if jnp.issubdtype(d, jnp.floating)]
        widest = np.result_type(*floating) if floating else np.float64
        return (
            jnp.result_type(float) if widest == np.float64 else widest
        )  # float64 only where JAX has it enabled
    check_static("dtype", dtype)
    if not is_floating(dtype):
        raise TypeError(
            f"dtype must be a floating dtype, got {dtype!r}; leave it out for the default"
        )
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


def check_key(name: str, key: Any, required: bool = False) -> None:
    """Raise on what is not one random key; None passes where a rule may do without."""
    if key is None and not required:
        return
    if key is None:
        raise ValueError(f"{name} is None: pass jax.random.key(0), say")
    if isinstance(key, Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (typed and key.ndim == 0) or (key.dtype == jnp.uint32 and key.ndim == 1):
            return
        if typed or key.dtype == jnp.uint32:
            raise ValueError(
                f"{name} must be one key, got an array of keys of shape {key.shape}; use jax.vmap over keys"
            )
    raise TypeError(
        f"{name} must be a JAX random key, got {reprlib.repr(key)}; write jax.random.key(0), say"
    )


def check_positive(name: str, value: Any) -> None:
    """Raise on what is not one positive, finite number; a traced one passes."""
    number = value if isinstance(value, Tracer) else _as_array(value)
    if not (
        jnp.issubdtype(number.dtype, jnp.floating) or jnp.issubdtype(number.dtype, jnp.integer)
    ):
        raise TypeError(f"{name} must be a number, got {value!r}; 1.0, say")
    if number.ndim:
        raise ValueError(
            f"{name} must be one number, got an array of shape {number.shape}; use jax.vmap over it"
        )
    if not isinstance(number, Tracer) and not 0 < number < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def check_static(name: str, value: Any) -> None:
    """Raise on what is traced, where a program is made for each value."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        raise TypeError(
            f"{name} is traced, but it must be static: close over it, or name it in the static_argnames of jax.jit"
        )


def kind(value: Any, module: str = "") -> str:
    """What an error says of a value of a wrong type, after the module that it is from."""
    return (
        "a traced array"
        if isinstance(value, Tracer)
        else f"{module}.{type(value).__name__}".removeprefix(".")
    )


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
        raise TypeError(
            f"{name} must be an integer, got {value!r}; write {name}=10_000, say"
        ) from None
    if isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, got {value!r}")
    if number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {value!r}")
    return number
