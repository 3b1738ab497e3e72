"""Expectations of functions under a mixture, as sums over batches of points on any devices."""

import dataclasses
import functools
import math
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.sharding import Mesh, PartitionSpec

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.sampling import batch_length, placement
from jaxgmm._mixture.validation import Mixture
from jaxgmm._numerics.linalg import einsum, vdot
from jaxgmm._numerics.transforms import (
    captured_as_arguments,
    derivative_by_retracing,
    take,
    varying_with,
    widened,
)
from jaxgmm._quadrature.rule import Batch, Rule, RuleArg, checked_batch
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key, function_of
from jaxgmm._validation.validated_jit import validated

T = TypeVar("T")

FunctionOfPoints = Annotated[Callable[[Array], T], function_of("points (n, D)")]


@validated()
def expectation(
    key: Key,
    gmm: Mixture,
    fn: FunctionOfPoints[T],
    rule: RuleArg = DEFAULT_RULE,
    *,
    mesh: Devices = None,
) -> T:
    r"""The expectation of a function under a mixture, differentiable in all parameters of both.

    .. math:: E_p[h] = \sum_k \pi_k E_{\epsilon \sim N(0, I)}[h(\mu_k + L_k \epsilon)]
                   \approx \sum_k \pi_k \sum_i \omega_i h(\mu_k + L_k \epsilon_{ki})

    No component index is drawn. The sum over the components is exact, and so is the gradient in the
    weights. The sum over the points runs in batches, which the gradient computes again, so memory
    does not grow with the number of points. This function is not jitted, so jit its caller.

    The points are rounded to the dtype, which costs digits far from the origin: at 1e6 in float32 a
    divergence written with `expectation` is off by about 1e-4. Translate by `centred` to avoid it.

    Args:
      key: a random key; None with a rule that draws nothing.
      gmm: the mixture.
      fn: a function from points (n, D) to an array or a pytree of arrays whose first axis is n.
      rule: the points, by default scrambled Sobol' points; see `Sobol` and `MonteCarlo`.
      mesh: devices to spread the points over, all axes of a `jax.sharding.Mesh`. The result is
        that of one device, up to rounding.

    Returns:
      The values of fn, averaged over their first axis.

    Raises:
      TypeError: an argument has the wrong type, or fn does not map (n, D) to (n, ...).
      ValueError: a parameter of gmm is not finite, or key is None and the rule draws at random.

    Example:
      >>> p = GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(expectation(jax.random.key(0), p, lambda x: x).round(2))
      [3.]
    """
    gmm = widened(jax.tree.map(jnp.asarray, gmm))
    if not jax.typeof(gmm.loc).sharding.mesh.empty:
        gmm = varying_with((gmm, fn(gmm.loc)), gmm)
    points = Points.of(key, gmm, rule)
    of_points = checked_at_points("fn", fn, "(n, ...)")
    return integrate(points, lambda component, x: of_points(x.T), mesh)


def checked_at_points(
    name: str, fn: Callable[[Array], T], shape: str = "(n,)"
) -> Callable[[Array], T]:
    """The function, with an error if it does not map points (n, D) to arrays of that shape."""

    def checked(x: Array) -> T:
        values = fn(x)
        for value in [values] if shape == "(n,)" else jax.tree.leaves(values) or [values]:
            found = getattr(value, "shape", None)
            if found is None or found[:1] != x.shape[:1] or (shape == "(n,)" and len(found) > 1):
                got = f"{value!r:.200}" if found is None else f"shape {found}"
                needed = f"points (n, D) to {shape}, got {got} for points {x.shape}"
                mend = "wrap a function of one point in jax.vmap"
                raise TypeError(f"{name} must map {needed}: {mend}")
        return values

    return checked


def expectation_of_columns(
    key: Array | None, gmm: GMM, fn: Callable[[Array], T], rule: Rule, mesh: Mesh | None
) -> T:
    """The expectation of a function of points (D, n), which is the layout inside the package."""
    return integrate(Points.of(key, gmm, rule), lambda component, x: fn(x), mesh)


@dataclasses.dataclass(frozen=True)
class Points:
    """The points of a rule under a mixture, in batches by their index."""

    num_batches: int
    batch: Callable[[Array], Batch]
    weights: Array  # (K,), of the components; they are differentiated
    place: Callable[[Array, Array], Array]  # components (s,), normals (s, D, b) -> points (D, s b)

    @classmethod
    def of(cls, key: Array | None, gmm: GMM, rule: Rule) -> "Points":
        weights = gmm.weights
        held = jax.lax.stop_gradient(weights)
        num_batches, batch = rule.batches(key, held, gmm.num_dims, batch_length(gmm))
        return cls(num_batches, lambda i: checked_batch(rule, batch(i)), weights, placement(gmm))

    @property
    def num_points(self) -> int:
        shapes = jax.eval_shape(self.batch, jnp.uint32(0))
        return self.num_batches * math.prod(shapes.node_weights.shape)


def integrate(points: Points, fn: Callable[[Array, Array], T], mesh: Mesh | None) -> T:
    r"""The mean :math:`\sum_k \pi_k \sum_i \omega_{ki} h_k(x_{ki})` over the points.

    The function h maps components (s,) and points (D, s b) to a pytree of values (s b, ...).
    """

    def contribution(index: Array) -> T:
        component, nodes, node_weights = points.batch(index)
        values = fn(component, points.place(component, nodes))
        weights = (take(points.weights, component)[:, None] * node_weights).ravel()
        return jax.tree.map(lambda v: einsum("n...,n->...", v, weights.astype(v.dtype)), values)

    return sum_over_batches(points.num_batches, contribution, mesh)


def sum_over_batches(num_batches: int, contribution: Callable[[Array], T], mesh: Mesh | None) -> T:
    """The sum of the contributions of all batches, each a function of the index of its batch."""
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
        indices = np.arange(num_batches, dtype=np.uint32)  # a traced array must not be captured
        return lambda *captured: _loop(jnp.asarray(indices), contribution, captured)
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
