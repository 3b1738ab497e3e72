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
    r"""The tensor product of Gauss-Hermite rules, exact for polynomials of degree 2 order - 1 in each coordinate.

    The rule of choice in one and two dimensions for mixtures that overlap; its error falls exponentially with the order. It draws
    nothing: the key is None, and there is no standard error.

    Args:
      order: the nodes in each dimension; there are order**D of them for each component.

    Raises:
      TypeError: order is not an integer.
      ValueError: order is less than 1, or, when it is used, order**D is more than 2**22.

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
                f"{self} has {self.order}**{num_dims} nodes for each component, more than 2**22: use Sobol({2**16}), whose cost "
                "does not depend on the dimension, or a lower order"
            )
        table, table_weights = (
            jnp.asarray(values, weights.dtype) for values in _gauss_hermite(self.order)
        )
        powers = self.order ** np.arange(num_dims, dtype=np.uint32)[:, None]

        def nodes(index: Array) -> tuple[Array, Array]:
            digits = index[None] // powers % np.uint32(self.order)
            return table[digits], table_weights[digits].prod(0)

        return _every_component(num_nodes, len(weights), length, nodes)


@dataclasses.dataclass(frozen=True)
class SigmaPoints(Rule):
    r"""The unscented rule, an approximation: the 2 D nodes :math:`\pm \sqrt D e_i` of equal weight.

    Exact for polynomials of degree 3, and so for one Gaussian each; for mixtures it is cheap, deterministic, and off by an amount
    that more points cannot mend. It draws nothing: the key is None, and there is no standard error.

    Example:
      >>> SigmaPoints()
      SigmaPoints()

    References:
      Julier and Uhlmann, A new extension of the Kalman filter to nonlinear systems, SPIE 3068 (1997), with kappa = 0. Goldberger,
      Gordon and Greenspan, An efficient image similarity measure based on approximations of KL-divergence between two Gaussian
      mixtures, ICCV (2003), eq. 7, for divergences.
    """

    is_random = False

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        def nodes(index: Array) -> tuple[Array, Array]:
            sign = 1 - 2 * (index % np.uint32(2)).astype(weights.dtype)
            axes = np.arange(num_dims, dtype=np.uint32)[:, None] == index[None] // np.uint32(2)
            return math.sqrt(num_dims) * sign[None] * axes.astype(weights.dtype), jnp.full(
                index.shape, 0.5 / num_dims, weights.dtype
            )

        return _every_component(2 * num_dims, len(weights), length, nodes)


def _every_component(
    num_nodes: int, num_components: int, length: int, nodes: Callable[[Array], tuple[Array, Array]]
) -> tuple[int, Callable[[Array], Batch]]:
    """The same nodes for every component: a function from indices (b,) to nodes (D, b) and weights (b,)."""
    num_batches = math.ceil(num_nodes * num_components / length)
    size = math.ceil(num_nodes / num_batches)

    def batch(index: Array) -> Batch:
        indices = index * np.uint32(size) + jnp.arange(size, dtype=np.uint32)
        block, block_weights = nodes(jnp.minimum(indices, np.uint32(num_nodes - 1)))
        block_weights = jnp.where(indices < num_nodes, block_weights, jnp.zeros_like(block_weights))
        everywhere = jnp.broadcast_to(block[None], (num_components, *block.shape))
        return Batch(
            jnp.arange(num_components),
            everywhere,
            jnp.broadcast_to(block_weights[None], (num_components, size)),
        )

    return num_batches, batch


@functools.cache
def _gauss_hermite(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for N(0, 1)."""
    from scipy.special import roots_hermitenorm  # deferred, as below

    nodes, weights = roots_hermitenorm(order)
    return nodes, weights / weights.sum()
