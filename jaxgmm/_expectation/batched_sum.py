"""Sums over batches of points: the loop, its derivative rule, and its devices."""

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
from jaxgmm._numerics.sharding import varying_with

T = TypeVar("T")


def sum_over_batches(num_batches: int, contribution: Callable[[Array], T], mesh: Mesh | None) -> T:
    """The sum of the contributions of all batches, each a function of the index of its batch.

    A single floating number gets its value and gradient in one pass over the points.
    """
    contribution, captured, shape = captured_as_arguments(contribution)
    total = _sum_of_captured(num_batches, contribution, mesh)
    is_number = isinstance(shape, jax.ShapeDtypeStruct) and shape.ndim == 0
    if is_number and jnp.issubdtype(shape.dtype, jnp.floating):
        total = _with_gradient_alongside(total, num_batches, contribution, mesh)
    return total(*captured)


def _sum_of_captured(
    num_batches: int, contribution: Callable[..., T], mesh: Mesh | None
) -> Callable[..., T]:
    """The sum, on one device or on all of a mesh, as a function of the captured arrays."""
    if mesh is None:
        return lambda *captured: _loop(
            jnp.arange(num_batches, dtype=jnp.uint32), contribution, captured
        )
    axes = tuple(mesh.axis_names)

    def on_each_device(*captured: Array) -> T:
        def masked(index: Array, *captured: Array) -> T:
            # The last round may have fewer batches than devices.
            is_batch = index < num_batches
            values = contribution(index, *captured)
            return jax.tree.map(lambda v: jnp.where(is_batch, v, jnp.zeros_like(v)), values)

        rounds = jnp.arange(math.ceil(num_batches / mesh.size), dtype=jnp.uint32)
        device = jax.lax.axis_index(axes).astype(jnp.uint32)
        return jax.lax.psum(_loop(rounds * np.uint32(mesh.size) + device, masked, captured), axes)

    # The mesh built here has no explicit axes, unlike perhaps the given one, so that arguments may
    # be sharded in any way. The carry of the loop has no varying-axes type, so none is checked.
    return jax.shard_map(
        on_each_device,
        mesh=Mesh(mesh.devices, axes),
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )


def _with_gradient_alongside(
    total: Callable[..., Any], num_batches: int, contribution: Callable[..., Any], mesh: Mesh | None
) -> Callable[..., Any]:
    """The same sum of numbers, with a derivative rule that sums value and gradient in one pass."""
    # As the loop stores no intermediates, its own derivative would compute each value twice. The
    # gradient of a number is only as large as the captured arrays, so the loop can sum it as well.
    total = jax.custom_jvp(total)

    @functools.partial(total.defjvp, symbolic_zeros=True)
    def total_jvp(captured: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
        moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]
        argnums = tuple(i + 1 for i in moving)  # the first argument is the index
        value_and_gradient = jax.value_and_grad(contribution, argnums)
        both = _sum_of_captured(num_batches, value_and_gradient, mesh)
        value, gradient = derivative_by_retracing(both)(*captured)
        terms = [vdot(g, tangents[i]) for i, g in zip(moving, gradient, strict=True)]
        return value, sum(terms, jnp.zeros_like(value))

    return total


def _loop(indices: Array, contribution: Callable[..., T], captured: tuple[Array, ...]) -> T:
    """The compensated sum of the contributions (Kahan 1965)."""
    # Compensation keeps the rounding error from growing with the number of batches. Without the
    # checkpoint, reverse mode would store all intermediates. A scan does not need prevent_cse.
    body = jax.checkpoint(contribution, prevent_cse=False)
    shapes = jax.eval_shape(body, indices[0], *captured)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    zeros = varying_with(captured, zeros)

    def error(new: Array, old: Array, term: Array) -> Array:
        # An infinite sum stays infinite: its error would be inf - inf, which is NaN.
        return jnp.where(jnp.isinf(new), jnp.zeros_like(new), (new - old) - term)

    def add(carry: tuple[T, T], index: Array) -> tuple[tuple[T, T], None]:
        sums, errors = carry
        terms = jax.tree.map(operator.sub, body(index, *captured), errors)
        new_sums = jax.tree.map(operator.add, sums, terms)
        return (new_sums, jax.tree.map(error, new_sums, sums, terms)), None

    return jax.lax.scan(add, (zeros, zeros), indices)[0][0]
