"""Derivative rules that JAX does not have: values clipped to their range, functions called again, closures as arguments."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

T = TypeVar("T")


def derivative_by_retracing(fn: Callable[..., T]) -> Callable[..., T]:
    """The same function, which JAX differentiates as the Python that it is, and not as the equations that it was traced to.

    Before 0.12 it splits a loop in a derivative rule and loses the rules in it, and before 0.10.2 it cannot differentiate a loop
    of unknown length a second time where that lies in another loop.
    """
    whole = jax.custom_jvp(fn)
    whole.defjvp(lambda primals, tangents: jax.jvp(fn, primals, tangents))
    return whole


def captured_as_arguments(fn: Callable[[Array], T]) -> tuple[Callable[..., T], list[Array], Any]:
    """A function of an index as one of the index and of the arrays that it captures; those; and the shapes that it returns."""
    program, shape = jax.make_jaxpr(fn, return_shape=True)(jnp.uint32(0))
    tree = jax.tree.structure(shape)

    def of_captured(index: Array, *captured: Array) -> T:
        return jax.tree.unflatten(tree, jaxpr_as_fun(ClosedJaxpr(program.jaxpr, captured))(index))

    return of_captured, program.consts, shape


def at_most(bound: float, value: Array) -> Array:
    """A value that only rounding may put above its bound; its derivatives are right as they are."""
    return value - jax.lax.stop_gradient(jnp.maximum(value - bound, 0))


def not_negative(value: Array) -> Array:
    """What only rounding may put below 0, where it has no meaning; its derivatives are right as they are."""
    return value + jax.lax.stop_gradient(jnp.maximum(-value, 0))
