"""Functions that JAX is to keep whole, where it loses something on taking them apart."""

from collections.abc import Callable
from typing import TypeVar

import jax

T = TypeVar("T")


def undivided(fn: Callable[..., T]) -> Callable[..., T]:
    """The same function, which JAX differentiates as the Python that it is, and not as the equations that it was traced to.

    Before 0.12 it splits a loop in a derivative rule and loses the rules in it, and before 0.10.2 it cannot differentiate a loop
    of unknown length a second time where that lies in another loop.
    """
    whole = jax.custom_jvp(fn)
    whole.defjvp(lambda primals, tangents: jax.jvp(fn, primals, tangents))
    return whole
