"""Warnings where a new object compiles what an equal one has compiled before."""

import functools
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgmm._validation.checks import is_traced


@functools.lru_cache(maxsize=64)
def objects_known_for(program: Hashable) -> list[Any]:
    """The objects that such a program was compiled for so far, a list to append to."""
    return []


def program_for(arguments: Any, *static: Hashable) -> Hashable:
    """What one program is compiled for: the static facts, and the shapes of the arguments."""
    leaves, structure = jax.tree.flatten(arguments)
    return structure, tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves), static


def warn_of_another(name: str, mend: str, stacklevel: int) -> None:
    problem = f"{name} is a new object that does what an earlier one did, and compiles anew"
    warnings.warn(f"{problem}: {mend}", RuntimeWarning, stacklevel=stacklevel + 1)


def warn_of_new_wrapper(
    name: str, function: Callable[..., Any], mend: str, arguments: Any, *static: Hashable
) -> None:
    """Warn of a new `jax.grad` or `functools.partial` of a function that had an equal one."""
    wrapped = getattr(function, "__wrapped__", getattr(function, "func", None))
    if wrapped is None or is_traced(arguments):
        return
    bound = repr((getattr(function, "args", ()), getattr(function, "keywords", {})))
    # The docstring of a gradient names the function and the arguments.
    known = objects_known_for(program_for(arguments, wrapped, function.__doc__, bound, *static))
    if any(function is other for other in known):
        return
    if known:
        warn_of_another(name, mend, stacklevel=4)
    known.append(function)
