"""Rules that draw nothing: Gauss-Hermite nodes and sigma points."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._quadrature.rule import Batch, Batches, Rule
from jaxgmm._validation.checks import checked_int


@dataclasses.dataclass(frozen=True)
class GaussHermite(Rule):
    r"""The tensor product of Gauss-Hermite rules.

    It is exact for polynomials of degree up to 2 * order - 1 in each coordinate. It is the rule of
    choice for mixtures that overlap in one or two dimensions, where its error falls exponentially
    with the order. It draws nothing, so the key is None and there is no standard error.

    Args:
      order: the number of nodes in each dimension. Each component has order**D nodes.

    Raises:
      TypeError: order is not an integer.
      ValueError: order is less than 1, or, when the rule is used, order**D is more than 2**22.

    Example:
      >>> GaussHermite(32)
      GaussHermite(order=32)

    References:
      Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 25.4.46.
    """

    order: int
    is_random = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", checked_int("order", self.order))

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        num_nodes = self.order**num_dims
        if num_nodes > 2**22:
            raise ValueError(
                f"{self} has {self.order}**{num_dims} nodes for each component, more than 2**22: "
                f"use Sobol({2**16}), whose cost does not depend on the dimension, or a lower order"
            )
        roots, root_weights = (jnp.asarray(a, weights.dtype) for a in _gauss_hermite(self.order))
        powers = self.order ** np.arange(num_dims, dtype=np.uint32)[:, None]
        # A node whose weight is 0 in the dtype would add 0 times a value that may be infinite.
        products = functools.reduce(np.kron, [_gauss_hermite(self.order)[1]] * num_dims)
        kept = np.flatnonzero(products > 2 * jnp.finfo(weights.dtype).tiny).astype(np.uint32)

        def nodes(index: Array) -> tuple[Array, Array]:
            flat = index if len(kept) == num_nodes else jnp.asarray(kept)[index]
            digits = flat[None] // powers % np.uint32(self.order)
            return roots[digits], root_weights[digits].prod(0)

        return _for_every_component(len(kept), len(weights), length, nodes)


@dataclasses.dataclass(frozen=True)
class SigmaPoints(Rule):
    r"""The unscented rule, an approximation: the 2 D nodes :math:`\pm \sqrt D e_i` of equal weight.

    It is exact for polynomials of degree up to 3. It is cheap, but more points cannot reduce its
    error. It draws nothing, so the key is None and there is no standard error.

    Example:
      >>> SigmaPoints()
      SigmaPoints()

    References:
      Julier and Uhlmann, A new extension of the Kalman filter, SPIE 3068 (1997), with kappa = 0.
      Goldberger et al., An efficient image similarity measure, ICCV (2003), eq. 7, for divergences.
    """

    is_random = False

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        dtype = weights.dtype

        def nodes(index: Array) -> tuple[Array, Array]:
            sign = 1 - 2 * (index % np.uint32(2)).astype(dtype)
            axes = np.arange(num_dims, dtype=np.uint32)[:, None] == index[None] // np.uint32(2)
            even = jnp.full(index.shape, 0.5 / num_dims, dtype)
            return math.sqrt(num_dims) * sign[None] * axes.astype(dtype), even

        return _for_every_component(2 * num_dims, len(weights), length, nodes)


def _for_every_component(
    num_nodes: int, k: int, length: int, nodes: Callable[[Array], tuple[Array, Array]]
) -> Batches:
    """The same nodes for all k components, from a function of indices (b,) to nodes and weights."""
    num_batches = math.ceil(num_nodes * k / length)
    size = math.ceil(num_nodes / num_batches)

    def batch(index: Array) -> Batch:
        indices = index * np.uint32(size) + jnp.arange(size, dtype=np.uint32)
        # All batches have one shape, so the last one is filled up with nodes of weight 0.
        block, weights = nodes(jnp.minimum(indices, np.uint32(num_nodes - 1)))
        weights = jnp.where(indices < num_nodes, weights, jnp.zeros_like(weights))
        repeated = (jnp.broadcast_to(a[None], (k, *a.shape)) for a in (block, weights))
        return Batch(jnp.arange(k), *repeated)

    return num_batches, batch


@functools.cache
def _gauss_hermite(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (order,) and weights (order,) for N(0, 1)."""
    from scipy.special import roots_hermitenorm  # deferred: no other rule needs it

    nodes, weights = roots_hermitenorm(order)
    return nodes, weights / weights.sum()
