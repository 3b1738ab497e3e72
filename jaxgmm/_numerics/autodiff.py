"""Derivative rules that JAX does not have."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

T = TypeVar("T")


def derivative_by_retracing(fn: Callable[..., T]) -> Callable[..., T]:
    """A function whose derivative JAX takes by calling it again, not by splitting its program."""
    # JAX before 0.12 splits a loop inside a derivative rule and so loses the derivative rules of
    # its body. JAX before 0.10.2 fails at the second derivative of a while loop inside a loop.
    retraced = jax.custom_jvp(fn)
    retraced.defjvp(lambda primals, tangents: jax.jvp(fn, primals, tangents))
    return retraced


def captured_as_arguments(fn: Callable[[Array], T]) -> tuple[Callable[..., T], list[Array], Any]:
    """The function with its captured arrays as arguments, these arrays, and the result's shapes."""
    # A derivative rule sees arguments only. `jax.closure_convert` lifts only floating tracers
    # (https://github.com/jax-ml/jax/pull/14760), while keys and the bits of Sobol' points are
    # integers. The constants of `jax.make_jaxpr` are captured arrays of every dtype.
    program, shape = jax.make_jaxpr(fn, return_shape=True)(jnp.uint32(0))
    # The function below must not hold the arrays: caches of JAX hold it, and may outlive a trace.
    jaxpr, captured, tree = program.jaxpr, program.consts, jax.tree.structure(shape)

    def of_captured(index: Array, *captured: Array) -> T:
        return jax.tree.unflatten(tree, jaxpr_as_fun(ClosedJaxpr(jaxpr, captured))(index))

    return of_captured, captured, shape


def at_most(bound: float, value: Array) -> Array:
    """The value clipped at an upper bound, with its derivatives kept. Only rounding exceeds it."""
    # The derivative of `jnp.minimum` would vanish, or be halved, at the bound.
    return value - jax.lax.stop_gradient(jnp.maximum(value - bound, 0))


def not_negative(value: Array) -> Array:
    """The value clipped at 0, with its derivatives kept. Only rounding makes it negative."""
    return value + jax.lax.stop_gradient(jnp.maximum(-value, 0))
