"""Checks of keys, flags, numbers, arrays and dtypes, whose errors name the argument."""

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
    """The dtype if it is floating; for None, the widest one of the values or the default of JAX."""
    if dtype is None:
        arrays = [v for v in values if isinstance(v, np.ndarray | np.generic | Array)]
        floating = [a.dtype for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)]
        widest = np.result_type(*floating) if floating else np.float64
        # JAX may have float64 disabled.
        return jnp.result_type(float) if widest == np.float64 else widest
    check_static("dtype", dtype)
    if not is_floating(dtype):
        mend = "leave it out for the default"
        raise TypeError(f"dtype must be a floating dtype, got {quoted(dtype)}; {mend}")
    return dtype


def is_floating(dtype: Any) -> bool:
    """Whether the argument is a floating dtype, or the type of a floating number."""
    try:
        return jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except (TypeError, ValueError):  # The argument is no dtype.
        return False


def finite_array(name: str, value: Any, dtype: DTypeLike = np.float64) -> np.ndarray:
    """The value as a NumPy array of that dtype; an error unless all of it is real and finite."""
    if isinstance(value, Tracer):
        mend = "call it outside jax.jit and jax.grad, or build GMM(logits, loc, log_diag, off_diag)"
        mend += " of log-weights, means, and log-diagonals and lower triangles of Cholesky factors"
        raise TypeError(f"{name} is traced, and GMM.from_moments runs in NumPy: {mend}")
    check_unmasked(name, value)
    given = as_array(value)
    if given.dtype.kind not in "biuf" and not jnp.issubdtype(given.dtype, jnp.floating):
        is_table = given.dtype.kind == "O" and given.ndim > 0
        mend = "; write table.to_numpy(float), say" if is_table else ""
        raise TypeError(f"{name} must be an array of real numbers, got {quoted(value)}{mend}")
    array = given.astype(dtype)
    check_finite(name, array)
    return array


def check_unmasked(name: str, value: Any) -> None:
    if isinstance(value, np.ma.MaskedArray):
        mend = "drop the masked rows, or fill them in, and pass a plain array"
        raise TypeError(f"{name} is a masked array, whose mask would be lost: {mend}")


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise an error that names the first number that is NaN or infinite, if there is one."""
    finite = np.isfinite(array)
    if not finite.all():
        at = np.unravel_index(finite.argmin(), array.shape)
        entry = f"{name}[{', '.join(map(str, at))}]" if at else name
        raise ValueError(f"{name} holds NaN or infinity: {entry} is {array[at]}")


def quoted(value: Any) -> str:
    """The text of a value in at most 200 characters, for error messages."""
    text = str(value) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= 200 else f"{text[:180]}... ({len(text)} characters)"


def as_array(value: Any) -> np.ndarray:
    """The value as an array, or an array of one object where that is impossible."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # The value has ragged rows, or is a random key.
        return np.asarray(None)


def check_key(name: str, key: Any, required: bool = False) -> Any:
    """The key; an error unless it is one JAX random key, or None where it is not required."""
    if key is None and required:
        raise ValueError(f"{name} is None: pass jax.random.key(0), say")
    if key is None:
        return key
    if isinstance(key, Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (typed and key.ndim == 0) or (key.dtype == jnp.uint32 and key.ndim == 1):
            return key
        if typed or key.dtype == jnp.uint32:
            problem = f"{name} must be one key, got an array of keys of shape {key.shape}"
            raise ValueError(f"{problem}; use jax.vmap over keys")
    problem = f"{name} must be a JAX random key, got {reprlib.repr(key)}"
    raise TypeError(f"{problem}; write jax.random.key(0), say")


def check_positive(name: str, value: Any) -> Any:
    """The value; an error unless it is one positive, finite number, or a traced number."""
    number = value if isinstance(value, Tracer) else as_array(value)
    if not any(jnp.issubdtype(number.dtype, real) for real in (jnp.floating, jnp.integer)):
        raise TypeError(f"{name} must be a number, got {quoted(value)}; 1.0, say")
    if number.ndim:
        problem = f"{name} must be one number, got an array of shape {number.shape}"
        raise ValueError(f"{problem}; use jax.vmap over it")
    if not isinstance(number, Tracer) and not 0 < number < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {quoted(value)}")
    return value


def is_traced(value: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def check_static(name: str, value: Any) -> None:
    """Raise an error if the value is traced, as each value is compiled into its own program."""
    if is_traced(value):
        mend = "close over it, or name it in the static_argnames of jax.jit"
        raise TypeError(f"{name} is traced, but it must be static: {mend}")


def check_concrete(name: str, value: Any, function: str) -> None:
    """Raise an error if the value is traced, as the named function runs in NumPy."""
    if is_traced(value):
        raise TypeError(
            f"{name} is traced, and {function} runs in NumPy: call it outside jax.jit and jax.grad"
        )


def kind(value: Any, module: str = "") -> str:
    """The type of a value for error messages, with its module if that is given."""
    if isinstance(value, Tracer):
        return "a traced array"
    return f"{module}.{type(value).__name__}".removeprefix(".")


def check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {kind(value)}")


def check_flag(name: str, value: Any) -> Any:
    check_static(name, value)
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {quoted(value)}")
    return value


def checked_number(name: str, value: Any) -> float:
    """The value as a float; an error unless it is a real number."""
    check_static(name, value)
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"{name} must be a number, got {quoted(value)}; 0.5, say")
    return float(value)


def checked_positive(name: str, value: Any, mend: str = "") -> float:
    """The value as a float; an error, ending with ``mend``, unless it is positive and finite."""
    number = checked_number(name, value)
    if not 0 < number < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {quoted(value)}{mend}")
    return number


def checked_int(name: str, value: object, at_least: int = 1, at_most: int = 2**31 - 1) -> int:
    """The value as an int; an error unless it is an integer within the bounds."""
    check_static(name, value)
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        problem = f"{name} must be an integer, got {quoted(value)}"
        raise TypeError(f"{problem}; write {name}=10_000, say") from None
    if isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, got {quoted(value)}")
    if number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {quoted(value)}")
    return number
