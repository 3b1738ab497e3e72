"""The one loop: the expectation of a function under a mixture."""

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxgmm._door import check_arguments
from jaxgmm._gmm import GMM
from jaxgmm._linalg import HIGHEST
from jaxgmm._rules import DEFAULT_RULE, Rule

T = TypeVar("T")


def expectation(key: Array | None, gmm: GMM, fn: Callable[[Array], T], rule: Rule = DEFAULT_RULE) -> T:
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
    check_arguments({"key": key, "gmm": gmm, "rule": rule})
    weights = gmm.weights
    num_batches, batch = rule.batches(key, jax.lax.stop_gradient(weights), gmm.num_dims, _batch_length(gmm))
    place = _placement(gmm)

    def contribution(index: Array) -> T:
        component, nodes, node_weights = batch(index)
        values = fn(place(component, nodes).transpose(0, 2, 1).reshape(-1, gmm.num_dims))
        point_weights = (weights[component][:, None] * node_weights).ravel()
        return jax.tree.map(functools.partial(_weighted_sum, point_weights), values)

    return _sum_over_batches(num_batches, contribution)


def _placement(gmm: GMM) -> Callable[[Array, Array], Array]:
    """Components (s,) and their standard normals (s, D, b) -> points mu_k + L_k eps, (s, D, b)."""
    if gmm.off_diag is None:
        scale = jnp.broadcast_to(jnp.exp(gmm.log_diag), (gmm.num_components, gmm.log_diag.shape[1]))
        return lambda component, nodes: gmm.loc[component][:, :, None] + scale[component][:, :, None] * nodes
    factors = gmm.scale_tril
    return lambda component, nodes: gmm.loc[component][:, :, None] + jnp.matmul(factors[component], nodes, precision=HIGHEST)


def _weighted_sum(weights: Array, values: Array) -> Array:
    """Weights (n,) and values (n, ...) -> their product (...)."""
    return jnp.einsum("n...,n->...", values, weights.astype(values.dtype), precision=HIGHEST)


def _sum_over_batches(num_batches: int, contribution: Callable[[Array], T]) -> T:
    """The sum of what all batches contribute; a single number gets its derivatives in one pass over the points."""
    first = jnp.uint32(0)
    program, shape = jax.make_jaxpr(contribution, return_shape=True)(first)
    if not (isinstance(shape, jax.ShapeDtypeStruct) and shape.ndim == 0 and jnp.issubdtype(shape.dtype, jnp.floating)):
        return _loop(num_batches, contribution)

    def of_captured(index: Array, *captured: Array) -> Array:
        return jaxpr_as_fun(ClosedJaxpr(program.jaxpr, captured))(index)[0]

    return _scalar_sum(num_batches, of_captured)(*program.consts)


def _scalar_sum(num_batches: int, contribution: Callable[..., Array]) -> Callable[..., Array]:
    """The sum over batches as a function of what the contribution captures, its gradient summed alongside the value.

    Autodiff of the loop would go through all points twice, as memory must not grow with their number: once for the value, and
    once more, recomputing it, for the gradient.
    """

    @jax.custom_jvp
    def total(*captured: Array) -> Array:
        return _loop(num_batches, lambda index: contribution(index, *captured))

    @functools.partial(total.defjvp, symbolic_zeros=True)
    def total_jvp(captured: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
        moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

        def of_moving(index: Array, values: list[Array]) -> Array:
            replaced = dict(zip(moving, values, strict=True))
            return contribution(index, *(replaced.get(i, value) for i, value in enumerate(captured)))

        value_and_gradient = jax.value_and_grad(of_moving, argnums=1)
        value, gradient = _loop(num_batches, lambda index: value_and_gradient(index, [captured[i] for i in moving]))
        terms = [jnp.vdot(g, tangents[i], precision=HIGHEST) for i, g in zip(moving, gradient, strict=True)]
        return value, sum(terms, jnp.zeros_like(value))

    return total


def _loop(num_batches: int, contribution: Callable[[Array], T]) -> T:
    body = jax.checkpoint(contribution, prevent_cse=False)  # a scan keeps the two passes apart already
    indices = jnp.arange(num_batches, dtype=jnp.uint32)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(body, indices[0]))
    return jax.lax.scan(lambda sums, index: (jax.tree.map(operator.add, sums, body(index)), None), zeros, indices)[0]


def _batch_length(gmm: GMM) -> int:
    """Points in a batch, such that the whitened points of all components stay in cache; diagonal ones are not stored."""
    stored = gmm.num_components * gmm.num_dims / (4 if gmm.off_diag is None else 1)
    return int(min(2048, max(256, 2**20 / stored)))
