"""The sum over batches of points: the one loop, its derivative, and its devices."""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.sharding import Mesh, PartitionSpec

from jaxgmm._numerics.autodiff import captured_as_arguments, derivative_by_retracing
from jaxgmm._numerics.linalg import vdot

T = TypeVar("T")


def sum_over_batches(num_batches: int, contribution: Callable[[Array], T], mesh: Mesh | None) -> T:
    """The sum of what all batches contribute; a single number gets its derivatives in one pass over the points."""
    contribution, captured, shape = captured_as_arguments(contribution)
    total = _sum_of_captured(num_batches, contribution, mesh)
    if (
        isinstance(shape, jax.ShapeDtypeStruct)
        and shape.ndim == 0
        and jnp.issubdtype(shape.dtype, jnp.floating)
    ):
        total = _with_gradient_alongside(total, num_batches, contribution, mesh)
    return total(*captured)


def _sum_of_captured(
    num_batches: int, contribution: Callable[..., T], mesh: Mesh | None
) -> Callable[..., T]:
    """The sum over the batches, on one device or on all of a mesh, as a function of what the contribution captures."""
    if mesh is None:
        return lambda *captured: _loop(
            jnp.arange(num_batches, dtype=jnp.uint32), lambda index: contribution(index, *captured)
        )
    axes = tuple(mesh.axis_names)
    mesh = Mesh(
        mesh.devices, axes
    )  # whose axes are not typed as explicit, so that the arguments may come as they are

    def on_each_device(*captured: Array) -> T:
        def masked(index: Array) -> T:
            return jax.tree.map(
                lambda v: jnp.where(index < num_batches, v, jnp.zeros_like(v)),
                contribution(index, *captured),
            )

        turns = jnp.arange(math.ceil(num_batches / mesh.size), dtype=jnp.uint32)
        device = jax.lax.axis_index(axes).astype(jnp.uint32)
        return jax.lax.psum(_loop(turns * np.uint32(mesh.size) + device, masked), axes)

    return lambda *captured: jax.shard_map(
        on_each_device,
        mesh=mesh,
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )(*captured)


def _with_gradient_alongside(
    total: Callable[..., Any], num_batches: int, contribution: Callable[..., Any], mesh: Mesh | None
) -> Callable[..., Any]:
    """The same sum, whose derivative rule sums value and gradient together.

    Autodiff of the loop would go through all points twice, as memory must not grow with their number: once for the value, and
    once more, recomputing it, for the gradient.
    """
    total = jax.custom_jvp(total)

    @functools.partial(total.defjvp, symbolic_zeros=True)
    def total_jvp(captured: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
        moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

        def value_and_gradient(index: Array, *captured: Array) -> tuple[Array, tuple[Array, ...]]:
            return jax.value_and_grad(contribution, argnums=tuple(i + 1 for i in moving))(
                index, *captured
            )

        value, gradient = derivative_by_retracing(
            _sum_of_captured(num_batches, value_and_gradient, mesh)
        )(*captured)
        terms = [vdot(g, tangents[i]) for i, g in zip(moving, gradient, strict=True)]
        return value, sum(terms, jnp.zeros_like(value))

    return total


def _loop(indices: Array, contribution: Callable[[Array], T]) -> T:
    """The sum of the contributions, each addition's rounding error carried into the next (Kahan 1965)."""
    body = jax.checkpoint(
        contribution, prevent_cse=False
    )  # a scan keeps the two passes apart already
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(body, indices[0]))

    def error(new: Array, old: Array, term: Array) -> Array:
        return jnp.where(
            jnp.isinf(new), jnp.zeros_like(new), (new - old) - term
        )  # an infinite sum stays infinite

    def add(carry: tuple[T, T], index: Array) -> tuple[tuple[T, T], None]:
        sums, errors = carry
        terms = jax.tree.map(operator.sub, body(index), errors)
        new_sums = jax.tree.map(operator.add, sums, terms)
        return (new_sums, jax.tree.map(error, new_sums, sums, terms)), None

    return jax.lax.scan(add, (zeros, zeros), indices)[0][0]
