"""The leaves of a pytree as arrays that a file can hold."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxgmm._validation.checks import quoted

STORABLE = (jax.dtypes.prng_key, np.number, np.bool_)


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their names, such as "leaves.loc"."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    named = {f"leaves{jax.tree_util.keystr(path)}": leaf for path, leaf in paths}
    if len(named) < len(paths):
        raise ValueError(f"two leaves have one name, so they could not be told apart: {[*named]}")
    return named


def structure_of(leaves: dict[str, Any]) -> list[str]:
    """A name and a dtype for each leaf, or an error if a leaf cannot be stored."""
    for name, leaf in leaves.items():
        if isinstance(leaf, Tracer):
            mend = "save and load outside jax.jit, say in the progress of fit"
            raise TypeError(f"{name} is traced: {mend}")
        if not any(jnp.issubdtype(_dtype(leaf), type_) for type_ in STORABLE):
            problem = "is not an array of numbers, which is all that a file holds"
            raise TypeError(f"{name} {problem}: {quoted(leaf)}")
    return [f"{name}: {_dtype(leaf)}" for name, leaf in leaves.items()]


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(_dtype(leaf), jax.dtypes.prng_key)


def _storage(dtype: np.dtype) -> np.dtype:
    """The dtype if NumPy alone can read it, else (bfloat16, say) unsigned integers of its size."""
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def stored(leaf: Any) -> np.ndarray:
    """The array that a file holds for a leaf."""
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")
    return array.view(_storage(array.dtype))


def typed(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The stored array in the dtype of its leaf."""
    if array.dtype != _storage(dtype):
        raise ValueError(f"{name} should be {dtype}, but is stored as {array.dtype}")
    return array.view(dtype)


def restored(name: str, array: np.ndarray, like: Any) -> Any:
    """The leaf of a stored array: a key, an array of NumPy or JAX, or a number, as ``like`` is."""
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    array = typed(name, array, _dtype(like))
    shape = like.shape if hasattr(like, "shape") else ()
    if array.ndim != len(shape) or any(
        expected not in (0, got) for got, expected in zip(array.shape, shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {array.shape} in the file, and {shape} in like")
    if isinstance(like, np.ndarray | np.generic):
        return array.copy()[()]
    return jnp.asarray(array) if hasattr(like, "dtype") else array.item()


def listed(lines: list[str]) -> str:
    """The first three lines, and how many more there are."""
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return ", ".join(lines[:3]) + more if lines else "nothing"
