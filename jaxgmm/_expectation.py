"""The one loop: the expectation of a function under a mixture."""

import functools
import operator
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

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
    length = _block_length(gmm.num_components)
    num_blocks, block = rule.blocks(key, gmm.num_components, gmm.num_dims, length, gmm.loc.dtype)
    place = _placement(gmm)

    @functools.partial(jax.checkpoint, prevent_cse=False)  # a scan keeps the two passes apart already
    def block_sums(index: Array) -> T:
        nodes, node_weights = block(index)
        values = fn(place(nodes).transpose(0, 2, 1).reshape(-1, gmm.num_dims))
        return jax.tree.map(functools.partial(_weighted_sums, node_weights, gmm.num_components), values)

    indices = jnp.arange(num_blocks, dtype=jnp.uint32)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(block_sums, indices[0]))
    sums, _ = jax.lax.scan(lambda sums, index: (jax.tree.map(operator.add, sums, block_sums(index)), None), zeros, indices)
    return jax.tree.map(lambda s: jnp.einsum("k,k...->...", gmm.weights.astype(s.dtype), s, precision=HIGHEST), sums)


def _weighted_sums(node_weights: Array, num_components: int, values: Array) -> Array:
    """Values (K b, ...) -> their sums (K, ...) over the nodes of each component."""
    by_component = values.reshape(num_components, -1, *values.shape[1:])
    return jnp.einsum("kb...,b->k...", by_component, node_weights.astype(values.dtype), precision=HIGHEST)


def _placement(gmm: GMM) -> Callable[[Array], Array]:
    """Standard normals (K, D, b) -> points mu_k + L_k eps, (K, D, b)."""
    loc = gmm.loc[:, :, None]
    if gmm.off_diag is None:
        scale = jnp.exp(gmm.log_diag)[:, :, None]
        return lambda nodes: loc + scale * nodes
    factors = gmm.scale_tril
    return lambda nodes: loc + jnp.matmul(factors, nodes, precision=HIGHEST)


def _block_length(num_components: int) -> int:
    """Points for each component in a block of about 2,000, which stays in cache."""
    return max(1, 2048 // num_components)
