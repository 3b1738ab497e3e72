"""Derivatives, half precision, exports and explicit meshes, beyond what JAX does by itself."""

import contextlib
import functools
import json
import operator
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

P = ParamSpec("P")
R = TypeVar("R")
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
        leaves = [x for x in jax.tree.leaves((args, kwargs)) if _is_floating(x)]
        dtypes = {x.dtype for x in leaves if not x.weak_type}  # A Python number has no dtype.
        result = function(*widened(args), **widened(kwargs))
        if len(dtypes) != 1 or (dtype := dtypes.pop()).itemsize >= 4:
            return result
        return jax.tree.map(lambda x: x.astype(dtype) if _is_floating(x) else x, result)

    return wide


def exportable(cls: type[T]) -> type[T]:
    """A pytree class whose instances an exported function may take and return, if serialised."""
    name = f"jaxgmm.{cls.__name__}"
    with contextlib.suppress(ValueError):  # A module that is imported again registers them again.
        if issubclass(cls, tuple):
            jax.export.register_namedtuple_serialization(cls, serialized_name=name)
        else:
            jax.export.register_pytree_node_serialization(
                cls,
                serialized_name=name,
                serialize_auxdata=lambda static: json.dumps(static).encode(),
                deserialize_auxdata=lambda data: tuple(json.loads(data)),
            )
    return cls


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
        meshes = [jax.typeof(array).sharding.mesh for array in arrays.values()]
        mesh = next((mesh for mesh in meshes if AxisType.Explicit in mesh.axis_types), None)

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
