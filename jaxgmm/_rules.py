"""Rules: nodes and weights for the standard normal distribution, handed out block by block."""

import dataclasses
import functools
import math
import operator
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

Block = Callable[[Array], tuple[Array, Array]]


@runtime_checkable
class Rule(Protocol):
    r"""How to integrate against N(0, I): :math:`E[h(\epsilon)] \approx \sum_i \omega_i h(\epsilon_i)`.

    A rule is a hashable value with one method, `blocks`; `expectation` asks for nothing else.
    """

    def blocks(self, key: Array | None, num_components: int, num_dims: int, length: int, dtype: DTypeLike) -> tuple[int, Block]:
        """The number of blocks, and the function from a block's index to its nodes and weights.

        A block holds at most about `length` nodes for each component: nodes of shape (K, D, b), independent between
        components where the rule is random, and weights of shape (b,). The weights of all blocks sum to 1.
        """
        ...


@dataclasses.dataclass(frozen=True)
class MonteCarlo:
    r"""Independent standard normal nodes, :math:`\omega_i = 1/n`.

    The variance falls as 1/n whatever the dimension and however rough the integrand.

    Args:
      n: the total number of points, at least 1; it is split evenly over the components of the sampled mixture, and
        rounded up to fill whole blocks. Every component gets at least one.

    Raises:
      TypeError: n is not an integer.
      ValueError: n is less than 1.

    Example:
      >>> MonteCarlo(10_000)
      MonteCarlo(n=10000)
    """

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", positive_int("n", self.n))

    def blocks(self, key: Array | None, num_components: int, num_dims: int, length: int, dtype: DTypeLike) -> tuple[int, Block]:
        root = _require_key(self, key)
        per_component = math.ceil(self.n / num_components)
        num_blocks = math.ceil(per_component / length)
        size = math.ceil(per_component / num_blocks)
        weights = jnp.full((size,), 1 / (num_blocks * size), dtype)

        def block(index: Array) -> tuple[Array, Array]:
            key = jax.random.fold_in(root, index)
            return jax.random.normal(key, (num_components, num_dims, size), dtype), weights

        return num_blocks, block


@dataclasses.dataclass(frozen=True)
class Sobol:
    r"""Scrambled Sobol' points through the inverse normal distribution function, :math:`\omega_i = 1/n`.

    Every component gets its own scrambling (a random linear scrambling and a digital shift, both drawn from the
    key), so a single point is uniformly distributed and the rule is unbiased for every key. For smooth integrands in few
    effective dimensions the variance falls nearly as 1/n^3, and it is rarely above that of `MonteCarlo`.

    Args:
      n: the total number of points, at least 1; it is split evenly over the components of the sampled mixture, each
        share rounded up to a power of two, without which the points lose their balance.

    Raises:
      TypeError: n is not an integer.
      ValueError: n is less than 1, or asks for more than 2**32 points for one component.

    Example:
      >>> Sobol(2**14)
      Sobol(n=16384)

    References:
      Joe and Kuo, Constructing Sobol' sequences with better two-dimensional projections, SIAM J. Sci. Comput. 30
      (2008), for the direction numbers. Matousek, On the L2-discrepancy for anchored boxes, J. Complexity 14
      (1998), for the scrambling.
    """

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", positive_int("n", self.n))

    def blocks(self, key: Array | None, num_components: int, num_dims: int, length: int, dtype: DTypeLike) -> tuple[int, Block]:
        root = _require_key(self, key)
        num_bits = max(0, math.ceil(math.log2(self.n / num_components)))
        if num_bits > 32:
            raise ValueError(f"n is {self.n}: a Sobol' sequence has at most 2**32 points for each component; use MonteCarlo")
        low = min(num_bits, int(math.log2(length)))
        directions, shift = _scramble(root, num_bits, num_components, num_dims)
        net = _net(directions[:low], jnp.arange(2**low)) ^ shift[:, :, None]
        weights = jnp.full((2**low,), 2.0**-num_bits, dtype)

        def block(index: Array) -> tuple[Array, Array]:
            bits = net ^ _net(directions[low:], index[None])
            return _normal_from_bits(bits, dtype), weights

        return 2 ** (num_bits - low), block


def split_key(key: Array | None) -> tuple[Array | None, Array | None]:
    """Two independent keys; a deterministic rule has none to split."""
    if key is None:
        return None, None
    first, second = jax.random.split(key)
    return first, second


def positive_int(name: str, value: object) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}; write {name}=10_000, say") from None
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return number


def _require_key(rule: Rule, key: Array | None) -> Array:
    if key is None:
        raise ValueError(f"key is None, but {rule} draws at random: pass key=jax.random.key(0), say")
    return key


@functools.cache
def _directions(num_dims: int, num_bits: int) -> np.ndarray:
    """Direction numbers (num_bits, D) of the Sobol' sequence, the most significant bit first."""
    from scipy.stats import qmc  # deferred: half a second that a user of MonteCarlo need not pay

    if num_dims > qmc.Sobol.MAXDIM:
        raise ValueError(f"Sobol' sequences have at most {qmc.Sobol.MAXDIM} dimensions, got {num_dims}; use MonteCarlo")
    table = np.zeros((num_bits, num_dims), np.uint32)
    for bit in range(num_bits):
        # In Gray code order, points 2**bit - 1 and 2**bit differ by the direction number of that bit.
        engine = qmc.Sobol(num_dims, scramble=False, bits=32)
        if bit:
            engine.fast_forward(2**bit - 1)
        last, this = (engine.random(2) * 2.0**32).astype(np.uint32)
        table[bit] = last ^ this
    return table


def _scramble(key: Array, num_bits: int, num_components: int, num_dims: int) -> tuple[Array, Array]:
    """Directions (num_bits, K, D) times a random lower unitriangular matrix over GF(2), and a random shift (K, D)."""
    linear_key, shift_key = jax.random.split(key)
    top = np.uint32(1 << 31) >> np.arange(num_bits, dtype=np.uint32)
    random = jax.random.bits(linear_key, (num_bits, num_components, num_dims), np.uint32)
    columns = (random & (top - np.uint32(1))[:, None, None]) | top[:, None, None]
    entries = (_directions(num_dims, num_bits)[:, :, None] & top) != 0
    terms = jnp.where(entries.transpose(0, 2, 1)[:, :, None, :], columns[None], np.uint32(0))
    shift = jax.random.bits(shift_key, (num_components, num_dims), np.uint32)
    return _xor(terms, 1), shift


def _net(directions: Array, indices: Array) -> Array:
    """The points (K, D, n) of those indices (n,) in the net that the directions (m, K, D) span."""
    places = np.arange(directions.shape[0], dtype=np.uint32)[:, None]
    bits = (indices.astype(np.uint32)[None] >> places) & np.uint32(1)
    return _xor(jnp.where(bits[:, None, None, :] == 1, directions[..., None], np.uint32(0)), 0)


def _xor(words: Array, axis: int) -> Array:
    return jax.lax.reduce(words, np.uint32(0), jax.lax.bitwise_xor, (axis,))


def _normal_from_bits(bits: Array, dtype: DTypeLike) -> Array:
    """Normals at the midpoints of the cells of a uniform grid, so that neither end is infinite."""
    wide, kept = (np.float64, 32) if dtype == np.float64 else (np.float32, 23)
    cells = (bits >> np.uint32(32 - kept)).astype(wide)
    uniform = cells * 2.0 ** (1 - kept) + (2.0**-kept - 1)
    return (math.sqrt(2) * jax.lax.erf_inv(uniform)).astype(dtype)


DEFAULT_RULE = Sobol(2**14)
