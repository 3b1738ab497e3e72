"""Arrays on a mesh whose axes are Explicit, as those of `jax.make_mesh` are."""

import functools
import operator
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def on_any_mesh(function: Callable[P, R]) -> Callable[P, R]:
    """The same function of arrays, whose intermediates XLA may shard as it likes.

    Over Explicit axes, `jax.vmap` refuses gathers, scatters and more, whose sharding is ambiguous.
    In `jax.shard_map`, a gradient taken inside must not sum over devices that share an array.
    """

    called: Callable[..., Any] = function

    @functools.wraps(function)
    def automatic(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, Array)}
        mesh = _explicit_mesh(list(arrays.values()))

        def of_arrays(arrays: dict[int, Array]) -> Any:
            given, named = jax.tree.unflatten(tree, [arrays.get(*i) for i in enumerate(leaves)])
            return called(*given, **named)

        if mesh is None:
            return of_arrays(varying_with(arrays, arrays))
        types = zip(mesh.axis_names, mesh.axis_types, strict=True)
        axes = tuple(name for name, of in types if of == AxisType.Explicit)
        sharding = _sharding_of_results(mesh, of_arrays, arrays)
        return jax.jit(jax.sharding.auto_axes(of_arrays, axes=axes, out_sharding=sharding))(arrays)

    return automatic


def _explicit_mesh(arrays: list[Array]) -> AbstractMesh | None:
    """The first mesh with Explicit axes under any of the arrays."""
    meshes = [jax.typeof(array).sharding.mesh for array in arrays]
    return next((mesh for mesh in meshes if AxisType.Explicit in mesh.axis_types), None)


def _sharding_of_results(
    mesh: AbstractMesh, function: Callable[[Any], Any], arrays: dict[int, Array]
) -> Any:
    """Each result's leading axes are sharded as those of the first array with the same ones.

    The others are whole, and `jax.vmap` adds the axis that it maps over.
    """
    sharded: list[tuple[Any, Any]] = []
    for array in arrays.values():
        spec = jax.typeof(array).sharding.spec
        m = max((i + 1 for i, axis in enumerate(spec) if axis is not None), default=0)
        sharded += [(array.shape[:m], spec[:m])] if m else []

    def sharding(result: jax.ShapeDtypeStruct) -> NamedSharding:
        specs = (spec for shape, spec in sharded if result.shape[: len(shape)] == shape)
        return NamedSharding(mesh, PartitionSpec(*next(specs, ())))

    plain = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arrays)
    return jax.tree.map(sharding, jax.eval_shape(function, plain))


@on_any_mesh
def take(array: Array, index: Array, axis: int = 0) -> Array:
    """The slices at the indices along an axis."""
    return array[(slice(None),) * axis + (index,)]


def varying_with(arrays: Any, value: T) -> T:
    """The value, typed as one that depends on all of the arrays, for a loop or a gradient."""

    # Under `jax.shard_map` and over Explicit axes, a carry may not change its type in the loop.
    def is_key(array: Array) -> bool:
        return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)

    leaves = [array for array in jax.tree.leaves(arrays) if array.size]
    if all(jax.typeof(leaf).sharding.mesh.empty for leaf in leaves):
        return value
    leaves = [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]
    # XLA removes the choice between two equal values.
    choice = functools.reduce(operator.or_, (leaf.ravel()[:1].any() for leaf in leaves))
    return jax.tree.map(lambda v: v if is_key(v) else jnp.where(choice, v, v), value)


def cond(condition: Array, if_true: Callable[[], T], if_false: Callable[[], T]) -> T:
    """`jax.lax.cond`, but computing both results in `jax.shard_map`."""
    # There, `jax.vmap` of it fails where a constant of a branch is already varying.
    if jax.typeof(condition).sharding.mesh.empty:
        return jax.lax.cond(condition, if_true, if_false)
    return jax.tree.map(functools.partial(jnp.where, condition), if_true(), if_false())
