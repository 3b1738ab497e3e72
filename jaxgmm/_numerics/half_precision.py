"""Half precision, in which arrays are stored but nothing is computed."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jnp.floating)


def widened(tree: T) -> T:
    """The tree with float32 in place of float16 and bfloat16."""

    def wide(leaf: Any) -> Any:
        return leaf.astype(np.float32) if _is_floating(leaf) and leaf.dtype.itemsize < 4 else leaf

    return jax.tree.map(wide, tree)


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """The function, computed in float32 for half precision, and rounded if all arrays are so."""

    @functools.wraps(function)
    def wide(*args: P.args, **kwargs: P.kwargs) -> R:
        dtypes = {x.dtype for x in jax.tree.leaves((args, kwargs)) if _is_floating(x)}
        result = function(*widened(args), **widened(kwargs))
        if len(dtypes) != 1 or (dtype := dtypes.pop()).itemsize >= 4:
            return result
        return jax.tree.map(lambda x: x.astype(dtype) if _is_floating(x) else x, result)

    return wide
