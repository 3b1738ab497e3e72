"""The one loop: the expectation of a function under a mixture."""

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

from jaxgmm._control import Integrand, fitted_control_variate
from jaxgmm._door import check_arguments
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.placement import batch_length, placement
from jaxgmm._numerics.autodiff import captured_as_arguments, derivative_by_retracing
from jaxgmm._numerics.linalg import HIGHEST
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import DEFAULT_RULE, MAX_DIMS_OF_WHOLE_NETS, Sobol
from jaxgmm._rotation import active_directions

T = TypeVar("T")

MAX_PILOTS = 64


def expectation(
    key: Array | None, gmm: GMM, fn: Callable[[Array], T], rule: Rule = DEFAULT_RULE, *, mesh: Mesh | None = None
) -> T:
    r"""The expectation of a function under a mixture, differentiable in every parameter of the mixture and of the function.

    .. math:: E_p[h] = \sum_k \pi_k E_{\epsilon \sim N(0, I)}[h(\mu_k + L_k \epsilon)]
                   \approx \sum_k \pi_k \sum_i \omega_i h(\mu_k + L_k \epsilon_{ki})

    The sum over the components is exact, so the gradient in the weights is, too: no component index is drawn. The sum over the
    points runs in blocks, recomputed for the gradient, so memory does not grow with their number. This is not jitted: jit the
    function that calls it, once.

    Args:
      key: a random key; None with a rule that draws nothing.
      gmm: the mixture.
      fn: a function of points (n, D), to an array or a pytree of arrays whose first axis is n.
      rule: the points; see `MonteCarlo` and `Sobol`.
      mesh: devices to spread the points over, all axes of a `jax.sharding.Mesh`; the answer is that of one device, to rounding.

    Returns:
      What fn returns, averaged over its first axis.

    Raises:
      TypeError, ValueError: gmm is not a mixture, or the rule needs a key and there is none.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> p = GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(expectation(jax.random.key(0), p, lambda x: x).round(2))
      [3.]
    """
    check_arguments({"key": key, "gmm": gmm, "fn": fn, "rule": rule, "mesh": mesh})
    gmm = jax.tree.map(jnp.asarray, gmm)
    weights = gmm.weights
    num_batches, batch = rule.batches(key, jax.lax.stop_gradient(weights), gmm.num_dims, batch_length(gmm))
    place = placement(gmm)

    def contribution(index: Array) -> T:
        component, nodes, node_weights = batch(index)
        values = fn(place(component, nodes))
        point_weights = (weights[component][:, None] * node_weights).ravel()
        return jax.tree.map(functools.partial(weighted_sum, point_weights), values)

    return sum_over_batches(num_batches, contribution, mesh)


def controlled_expectation(key: Array | None, gmm: GMM, integrand: Integrand, rule: Rule, mesh: Mesh | None) -> Array:
    r"""The expectation of h, less a surrogate s of known mean: :math:`\sum_k \pi_k (E_k[h - s_k] + E_k[s_k])`.

    The normals are turned towards where h - s moves most.
    """
    weights, place = gmm.weights, placement(gmm)
    num_batches, batch = rule.batches(key, jax.lax.stop_gradient(weights), gmm.num_dims, batch_length(gmm))
    num_points = num_batches * math.prod(jax.eval_shape(batch, jnp.uint32(0)).node_weights.shape)
    rest, means = integrand.values, jnp.zeros_like(weights)
    if _control_is_worth_it(gmm, rule, integrand.num_features, num_points):
        control = fitted_control_variate(integrand, place, gmm.loc)
        rest, means = control.rest_of(integrand), control.means
    num_pilots = min(MAX_PILOTS, num_points // (64 * gmm.num_components))
    if _rotation_is_worth_it(gmm, rule, num_pilots):
        place = placement(gmm, active_directions(lambda c, nodes: rest(c, place(c, nodes)), gmm, num_pilots))

    def contribution(index: Array) -> Array:
        component, nodes, node_weights = batch(index)
        point_weights = (weights[component][:, None] * node_weights).ravel()
        return weighted_sum(point_weights, rest(component, place(component, nodes)))

    return sum_over_batches(num_batches, contribution, mesh) + jnp.vdot(weights, means, precision=HIGHEST)


def _control_is_worth_it(gmm: GMM, rule: Rule, num_features: int, num_points: int) -> bool:
    """Not where its D + 1 points for each component are many or take much memory."""
    num_corners = (gmm.num_dims + 1) * gmm.num_components
    return _may_reduce(gmm, rule) and 6 * num_corners <= num_points and 0 < num_corners * num_features <= 2**22


def _rotation_is_worth_it(gmm: GMM, rule: Rule, num_pilots: int) -> bool:
    """Only for points whose first coordinates are the best; not where D^2 is too much, and not from too few pilots."""
    return _may_reduce(gmm, rule) and isinstance(rule, Sobol) and gmm.off_diag is not None and num_pilots >= 16


def _may_reduce(gmm: GMM, rule: Rule) -> bool:
    """Not in few dimensions, where nets do without."""
    return gmm.num_dims > MAX_DIMS_OF_WHOLE_NETS and getattr(rule, "variance_reduction", True)


def weighted_sum(weights: Array, values: Array) -> Array:
    """Weights (n,) and values (n, ...) -> their product (...)."""
    return jnp.einsum("n...,n->...", values, weights.astype(values.dtype), precision=HIGHEST)


def sum_over_batches(num_batches: int, contribution: Callable[[Array], T], mesh: Mesh | None) -> T:
    """The sum of what all batches contribute; a single number gets its derivatives in one pass over the points."""
    contribution, captured, shape = captured_as_arguments(contribution)
    total = _sum_of_captured(num_batches, contribution, mesh)
    if isinstance(shape, jax.ShapeDtypeStruct) and shape.ndim == 0 and jnp.issubdtype(shape.dtype, jnp.floating):
        total = _with_gradient_alongside(total, num_batches, contribution, mesh)
    return total(*captured)


def _sum_of_captured(num_batches: int, contribution: Callable[..., T], mesh: Mesh | None) -> Callable[..., T]:
    """The sum over the batches, on one device or on all of a mesh, as a function of what the contribution captures."""
    if mesh is None:
        return lambda *captured: _loop(jnp.arange(num_batches, dtype=jnp.uint32), lambda index: contribution(index, *captured))
    axes = tuple(mesh.axis_names)
    mesh = Mesh(mesh.devices, axes)  # whose axes are not typed as explicit, so that the arguments may come as they are

    def on_each_device(*captured: Array) -> T:
        def masked(index: Array) -> T:
            return jax.tree.map(lambda v: jnp.where(index < num_batches, v, jnp.zeros_like(v)), contribution(index, *captured))

        turns = jnp.arange(math.ceil(num_batches / mesh.size), dtype=jnp.uint32)
        device = jax.lax.axis_index(axes).astype(jnp.uint32)
        return jax.lax.psum(_loop(turns * np.uint32(mesh.size) + device, masked), axes)

    return lambda *captured: jax.shard_map(
        on_each_device, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(), check_vma=False
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
            return jax.value_and_grad(contribution, argnums=tuple(i + 1 for i in moving))(index, *captured)

        value, gradient = derivative_by_retracing(_sum_of_captured(num_batches, value_and_gradient, mesh))(*captured)
        terms = [jnp.vdot(g, tangents[i], precision=HIGHEST) for i, g in zip(moving, gradient, strict=True)]
        return value, sum(terms, jnp.zeros_like(value))

    return total


def _loop(indices: Array, contribution: Callable[[Array], T]) -> T:
    """The sum of the contributions, each addition's rounding error carried into the next (Kahan 1965)."""
    body = jax.checkpoint(contribution, prevent_cse=False)  # a scan keeps the two passes apart already
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(body, indices[0]))

    def error(new: Array, old: Array, term: Array) -> Array:
        return jnp.where(jnp.isinf(new), jnp.zeros_like(new), (new - old) - term)  # an infinite sum stays infinite

    def add(carry: tuple[T, T], index: Array) -> tuple[tuple[T, T], None]:
        sums, errors = carry
        terms = jax.tree.map(operator.sub, body(index), errors)
        new_sums = jax.tree.map(operator.add, sums, terms)
        return (new_sums, jax.tree.map(error, new_sums, sums, terms)), None

    return jax.lax.scan(add, (zeros, zeros), indices)[0][0]
