"""Scrambled Sobol' points, as nets in 32-bit unsigned integers."""

import dataclasses
import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._numerics.transforms import take
from jaxgmm._quadrature.monte_carlo import Allocation, ceil_log2
from jaxgmm._quadrature.rule import Batch, Batches, SizedRule, even_weights, required_key
from jaxgmm._validation.checks import check_flag, checked_int

MAX_DIMS_OF_WHOLE_NETS = 4


@dataclasses.dataclass(frozen=True)
class Sobol(SizedRule):
    r"""Scrambled Sobol' points, mapped by the inverse normal distribution function.

    Sobol' points fill the unit cube more evenly than independent ones, and all have the weight 1/n.
    The scrambling is a random linear map of their bits and a digital shift, both drawn from the key
    for each component. It makes each point uniformly distributed and keeps the points even, so the
    mean is unbiased. For smooth integrands in few effective dimensions the variance falls nearly as
    1/n^3, and it is rarely above that of `MonteCarlo`.

    Args:
      n: the total number of points, at least 1, rounded up to a power of two. It is split over the
        components of the sampled mixture by their weights. Each gets at least about a quarter of an
        even share. In up to 4 dimensions each gets a power of two, so that its points are even.
      variance_reduction: whether a divergence may subtract a control variate, which is a function
        with a known mean, and rotate the normals towards the directions in which its integrand
        varies most. Neither biases the result. A program without them compiles faster.

    Raises:
      TypeError: n is not an integer, or variance_reduction is not a bool.
      ValueError: n is less than 1, or more than 2**32.

    Example:
      >>> Sobol(2**14)
      Sobol(n=16384, variance_reduction=True)

    References:
      Joe and Kuo, Constructing Sobol' sequences with better two-dimensional projections (2008).
      Matousek, On the L2-discrepancy for anchored boxes (1998), for the scrambling.
    """

    variance_reduction: bool = True
    favours_first_coordinates = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checked_int("n", self.n, at_most=2**64))
        check_flag("variance_reduction", self.variance_reduction)
        if self.n > 2**32:
            problem = f"n must be at most 2**32 for Sobol' points, got {self.n}"
            raise ValueError(f"{problem}; use MonteCarlo")

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        root = required_key(self, key)
        num_bits = max(ceil_log2(self.n), ceil_log2(len(weights)))
        # In few dimensions the balance of a whole net is worth more than the exact share.
        whole = num_dims <= MAX_DIMS_OF_WHOLE_NETS
        strata = Allocation.of(weights, self.n, length, in_powers_of_two=whole)
        # A point is the exclusive or of a part by the low bits of its index, which all strata
        # share, and a part by the high bits, which is one for each stratum.
        low = num_bits - ceil_log2(strata.num_strata)
        directions, shift = scrambled(root, num_bits, len(weights), num_dims)
        nets = net(directions[:low], jnp.arange(2**low, dtype=np.uint32)[None]) ^ shift[:, :, None]

        def batch(index: Array) -> Batch:
            component, rank, counts = strata.batch(index)
            offset = net(take(directions[low:], component, 1), rank[:, None])
            nodes = normal_from_bits(take(nets, component) ^ offset, weights.dtype)
            return Batch(component, nodes, even_weights(counts, nodes))

        return strata.num_batches, batch


DEFAULT_RULE = Sobol(2**14)


TOO_MANY = "Sobol' sequences have at most {} dimensions, got {}; use MonteCarlo"


@functools.cache
def directions_of(num_dims: int, num_bits: int) -> np.ndarray:
    """Direction numbers (num_bits, D) of the Sobol' sequence, the most significant bit first."""
    # SciPy's file of them is read, as the import of scipy.stats would delay the first call.
    table = Path(scipy.__file__).parent / "stats" / "_sobol_direction_numbers.npz"
    if table.is_file():
        return directions_from_table(table, num_dims)[:num_bits]
    return directions_from_points(num_dims, num_bits)


def directions_from_table(table: Path, num_dims: int) -> np.ndarray:
    r"""Direction numbers (32, D) from the primitive polynomials and the first numbers in a file.

    For a polynomial of degree d with coefficients a, the first d numbers determine the others:

    .. math:: m_i = 2 a_1 m_{i-1} \oplus \dots \oplus 2^d a_d m_{i-d} \oplus m_{i-d}

    References:
      Bratley and Fox, Algorithm 659, ACM Trans. Math. Softw. 14 (1988), eq. 2.
    """
    with np.load(table) as arrays:
        polynomials = arrays["poly"]
        first = arrays["vinit"].T.astype(np.uint64)
    if num_dims > len(polynomials):
        raise ValueError(TOO_MANY.format(len(polynomials), num_dims))
    polynomials = polynomials[:num_dims]
    degree = np.floor(np.log2(polynomials)).astype(int)
    numbers = np.zeros((32, num_dims), np.uint64)
    numbers[: len(first)] = first[:, :num_dims]
    numbers[:, 0] = 1
    for i in range(1, 32):
        unknown = np.flatnonzero((degree <= i) & (degree > 0))
        d = degree[unknown]
        total = numbers[i - d, unknown]
        for k in range(1, min(i, degree.max()) + 1):
            has_term = (polynomials[unknown] >> np.maximum(d - k, 0) & 1 == 1) & (d >= k)
            total ^= np.where(has_term, numbers[i - k, unknown] << np.uint64(k), np.uint64(0))
        numbers[i, unknown] = total
    return (numbers << np.arange(31, -1, -1, dtype=np.uint64)[:, None]).astype(np.uint32)


def directions_from_points(num_dims: int, num_bits: int) -> np.ndarray:
    """Direction numbers (num_bits, D) from SciPy's public generator of points."""
    from scipy.stats import qmc

    if num_dims > qmc.Sobol.MAXDIM:
        raise ValueError(TOO_MANY.format(qmc.Sobol.MAXDIM, num_dims))
    table = np.zeros((num_bits, num_dims), np.uint32)
    for bit in range(num_bits):
        engine = qmc.Sobol(num_dims, scramble=False, bits=32)
        if bit:
            engine.fast_forward(2**bit - 1)
        # The points come in Gray code order: 2**bit - 1 and 2**bit differ by this direction.
        last, this = (engine.random(2) * 2.0**32).astype(np.uint32)
        table[bit] = last ^ this
    return table


def scrambled(key: Array, num_bits: int, num_components: int, num_dims: int) -> tuple[Array, Array]:
    """Directions (num_bits, K, D), scrambled for each component, and random digital shifts (K, D).

    The scrambling is a product with a random lower unitriangular matrix over GF(2).
    """
    # The matrix and the shift come from one draw, as each draw is slow to compile.
    random = jax.random.bits(key, (num_bits + 1, num_components, num_dims), np.uint32)
    top = np.uint32(1 << 31) >> np.arange(num_bits, dtype=np.uint32)
    columns = (random[:-1] & (top - np.uint32(1))[:, None, None]) | top[:, None, None]
    entries = (directions_of(num_dims, num_bits)[:, :, None] & top) != 0
    terms = jnp.where(entries.transpose(0, 2, 1)[:, :, None, :], columns[None], np.uint32(0))
    scrambling = jax.lax.reduce_xor(terms, (1,))
    return scrambling, random[-1]


def net(directions: Array, indices: Array) -> Array:
    """The points (s, D, b) of s nets at indices (s or 1, b), from their directions (m, s, D)."""
    places = np.arange(directions.shape[0], dtype=np.uint32)[:, None, None]
    bits = (indices[None] >> places) & np.uint32(1)
    return jax.lax.reduce_xor(directions[..., None] * bits[:, :, None, :], (0,))


def normal_from_bits(bits: Array, dtype: DTypeLike) -> Array:
    """Standard normals from words of bits, as quantiles at the midpoints of cells of (0, 1)."""
    # A midpoint is never 0 or 1, so no normal is infinite. Half precision is computed in float32.
    wide, kept = (np.float64, 32) if dtype == np.float64 else (np.float32, 23)
    cells = (bits >> np.uint32(32 - kept)).astype(wide)
    uniform = cells * 2.0 ** (1 - kept) + (2.0**-kept - 1)
    return (math.sqrt(2) * jax.lax.erf_inv(uniform)).astype(dtype)
