"""Expectations of functions under a mixture."""

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._door import check_arguments
from jaxgmm._expectation.batched_sum import sum_over_batches
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.placement import batch_length, placement
from jaxgmm._numerics.linalg import HIGHEST
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import DEFAULT_RULE

T = TypeVar("T")


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


def weighted_sum(weights: Array, values: Array) -> Array:
    """Weights (n,) and values (n, ...) -> their product (...)."""
    return jnp.einsum("n...,n->...", values, weights.astype(values.dtype), precision=HIGHEST)
