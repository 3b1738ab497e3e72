"""Rules: nodes and weights for the standard normal distribution, handed out block by block."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._deal import Allocation, ceil_log2
from jaxgmm._sobol import net, normal_from_bits, scrambled
from jaxgmm._validation.checks import check_flag, checked_int


class Batch(NamedTuple):
    """Some of the nodes of a rule, in slots of one component each."""

    component: Array
    """(s,), the component that each slot belongs to."""
    nodes: Array
    """(s, D, b), the nodes of each slot."""
    node_weights: Array
    """(s, b); the weights of all the nodes of one component sum to 1."""


@runtime_checkable
class Rule(Protocol):
    r"""How to integrate against N(0, I) for each component: :math:`E[h(\epsilon)] \approx \sum_i \omega_i h(\epsilon_i)`.

    A rule is a hashable value; `expectation` asks for nothing but these two.

    Attributes:
      is_random: whether the nodes are drawn from the key, independently for each component.
    """

    is_random: ClassVar[bool]

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> tuple[int, Callable[[Array], Batch]]:
        """The number of batches, and the function from the index of a batch to its nodes: about ``length`` of them.

        The weights (K,) of the mixture may tell how many nodes a component deserves; nodes are of their dtype.
        """
        ...


MAX_DIMS_OF_WHOLE_NETS = 4


@dataclasses.dataclass(frozen=True)
class MonteCarlo:
    r"""Independent standard normal nodes, :math:`\omega_i = 1/n`.

    The variance falls as 1/n whatever the dimension and however rough the integrand.

    Args:
      n: the total number of points, at least 1. It is split over the components of the sampled mixture by their weights, none
        getting less than about a quarter of an even share, and rounded up to fill the shares.
      antithetic: whether each node comes with its mirror image, which removes the variance of odd functions.
      variance_reduction: as of `Sobol`.

    Raises:
      TypeError: n is not an integer, or antithetic or variance_reduction is not a bool.
      ValueError: n is less than 1, or too large.

    Example:
      >>> MonteCarlo(10_000, antithetic=True)
      MonteCarlo(n=10000, antithetic=True, variance_reduction=True)

    References:
      Hammersley and Morton, A new Monte Carlo technique: antithetic variates, Math. Proc. Camb. Phil. Soc. 52 (1956).
    """

    n: int
    antithetic: bool = False
    variance_reduction: bool = True
    is_random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checked_int("n", self.n))
        check_flag("antithetic", self.antithetic)
        check_flag("variance_reduction", self.variance_reduction)

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> tuple[int, Callable[[Array], Batch]]:
        root = required_key(self, key)
        slots = Allocation.deal(weights, self.n, length, in_powers_of_two=False)
        size = math.ceil(self.n / slots.num_slots)
        drawn = math.ceil(size / 2) if self.antithetic else size

        def batch(index: Array) -> Batch:
            component, _, counts = slots.batch(index)
            nodes = jax.random.normal(jax.random.fold_in(root, index), (len(component), num_dims, drawn), weights.dtype)
            if self.antithetic:
                nodes = jnp.concatenate([nodes, -nodes], -1)
            return Batch(component, nodes, even_weights(counts, nodes))

        return slots.num_batches, batch


@dataclasses.dataclass(frozen=True)
class Sobol:
    r"""Scrambled Sobol' points through the inverse normal distribution function, :math:`\omega_i = 1/n`.

    Every component gets its own scrambling (a random linear scrambling and a digital shift, both drawn from the
    key), so a single point is uniformly distributed and the rule is unbiased for every key. For smooth integrands in few
    effective dimensions the variance falls nearly as 1/n^3, and it is rarely above that of `MonteCarlo`.

    Args:
      n: the total number of points, at least 1, rounded up to a power of two. It is split over the components of the sampled
        mixture by their weights, none getting less than about a quarter of an even share; in up to 4 dimensions in powers of
        two, as there the balance of a whole net is worth more than the right share.
      variance_reduction: whether divergences may go beyond the points, where it pays: subtract a control variate, whose mean is
        known, and turn the normals towards where the integrand moves most. It never biases; without it a program is smaller and
        compiles sooner.

    Raises:
      TypeError: n is not an integer, or variance_reduction is not a bool.
      ValueError: n is less than 1, or more than 2**32.

    Example:
      >>> Sobol(2**14)
      Sobol(n=16384, variance_reduction=True)

    References:
      Joe and Kuo, Constructing Sobol' sequences with better two-dimensional projections, SIAM J. Sci. Comput. 30
      (2008), for the direction numbers. Matousek, On the L2-discrepancy for anchored boxes, J. Complexity 14
      (1998), for the scrambling.
    """

    n: int
    variance_reduction: bool = True
    is_random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checked_int("n", self.n, at_most=2**64))
        check_flag("variance_reduction", self.variance_reduction)
        if self.n > 2**32:
            raise ValueError(f"n must be at most 2**32 for Sobol' points, got {self.n}; use MonteCarlo")

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> tuple[int, Callable[[Array], Batch]]:
        root = required_key(self, key)
        num_bits = max(ceil_log2(self.n), ceil_log2(len(weights)))
        slots = Allocation.deal(weights, self.n, length, in_powers_of_two=num_dims <= MAX_DIMS_OF_WHOLE_NETS)
        low = num_bits - ceil_log2(slots.num_slots)
        directions, shift = scrambled(root, num_bits, len(weights), num_dims)
        nets = net(directions[:low], jnp.arange(2**low, dtype=np.uint32)[None]) ^ shift[:, :, None]

        def batch(index: Array) -> Batch:
            component, place, counts = slots.batch(index)
            offset = net(directions[low:, component], place[:, None])
            nodes = normal_from_bits(nets[component] ^ offset, weights.dtype)
            return Batch(component, nodes, even_weights(counts, nodes))

        return slots.num_batches, batch


@dataclasses.dataclass(frozen=True)
class GaussHermite:
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
    is_random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", checked_int("order", self.order))

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> tuple[int, Callable[[Array], Batch]]:
        num_nodes = self.order**num_dims
        if num_nodes > 2**22:
            raise ValueError(
                f"{self} has {self.order}**{num_dims} nodes for each component, more than 2**22: use Sobol({2**16}), whose cost "
                "does not depend on the dimension, or a lower order"
            )
        table, table_weights = (jnp.asarray(values, weights.dtype) for values in _gauss_hermite(self.order))
        powers = self.order ** np.arange(num_dims, dtype=np.uint32)[:, None]

        def nodes(index: Array) -> tuple[Array, Array]:
            digits = index[None] // powers % np.uint32(self.order)
            return table[digits], table_weights[digits].prod(0)

        return _every_component(num_nodes, len(weights), length, nodes)


@dataclasses.dataclass(frozen=True)
class SigmaPoints:
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

    is_random: ClassVar[bool] = False

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> tuple[int, Callable[[Array], Batch]]:
        def nodes(index: Array) -> tuple[Array, Array]:
            sign = 1 - 2 * (index % np.uint32(2)).astype(weights.dtype)
            axes = np.arange(num_dims, dtype=np.uint32)[:, None] == index[None] // np.uint32(2)
            return math.sqrt(num_dims) * sign[None] * axes.astype(weights.dtype), jnp.full(
                index.shape, 0.5 / num_dims, weights.dtype
            )

        return _every_component(2 * num_dims, len(weights), length, nodes)


def split_key(key: Array | None) -> tuple[Array | None, Array | None]:
    """Two independent keys; a deterministic rule has none to split."""
    if key is None:
        return None, None
    first, second = jax.random.split(key)
    return first, second


def even_weights(counts: Array, nodes: Array) -> Array:
    """Equal weights (s, b) for the nodes (s, D, b) of components that have that many (s,) such lots."""
    size = nodes.shape[-1]
    return jnp.broadcast_to(1 / (size * counts.astype(nodes.dtype))[:, None], (len(counts), size))


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
        return Batch(jnp.arange(num_components), everywhere, jnp.broadcast_to(block_weights[None], (num_components, size)))

    return num_batches, batch


@functools.cache
def _gauss_hermite(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for N(0, 1)."""
    from scipy.special import roots_hermitenorm  # deferred, as below

    nodes, weights = roots_hermitenorm(order)
    return nodes, weights / weights.sum()


def required_key(rule: Rule, key: Array | None) -> Array:
    if key is None:
        raise ValueError(f"key is None, but {rule} draws at random: pass key=jax.random.key(0), say")
    return key


DEFAULT_RULE = Sobol(2**14)
