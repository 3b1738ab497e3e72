"""Sobol' nets in unsigned integers of 32 bits: direction numbers, scrambling, and normals from bits."""

import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array
from jax.typing import DTypeLike


@functools.cache
def directions_of(num_dims: int, num_bits: int) -> np.ndarray:
    """Direction numbers (num_bits, D) of the Sobol' sequence, the most significant bit first."""
    table = Path(scipy.__file__).parent / "stats" / "_sobol_direction_numbers.npz"
    # SciPy's own file, as importing scipy.stats takes half a second that a user would wait for.
    return (
        directions_from_table(table, num_dims)[:num_bits]
        if table.is_file()
        else directions_from_points(num_dims, num_bits)
    )


def directions_from_table(table: Path, num_dims: int) -> np.ndarray:
    r"""Direction numbers (32, D) from the primitive polynomials, of degree d with coefficients a, and the first d numbers.

    .. math:: m_i = 2 a_1 m_{i-1} \oplus \dots \oplus 2^d a_d m_{i-d} \oplus m_{i-d}

    References:
      Bratley and Fox, Algorithm 659: implementing Sobol's quasirandom sequence generator, ACM TOMS 14 (1988), eq. 2.
    """
    with np.load(table) as arrays:
        polynomials, first = arrays["poly"], arrays["vinit"].T.astype(np.uint64)
    if num_dims > len(polynomials):
        raise ValueError(
            f"Sobol' sequences have at most {len(polynomials)} dimensions, got {num_dims}; use MonteCarlo"
        )
    polynomials = polynomials[:num_dims]
    degree = np.floor(np.log2(polynomials)).astype(int)
    numbers = np.zeros((32, num_dims), np.uint64)
    numbers[: len(first)] = first[:, :num_dims]
    numbers[:, 0] = 1
    for i in range(1, 32):
        unknown = np.flatnonzero((degree <= i) & (degree > 0))
        total = numbers[i - degree[unknown], unknown]
        for k in range(1, min(i, degree.max()) + 1):
            has_term = (polynomials[unknown] >> np.maximum(degree[unknown] - k, 0) & 1 == 1) & (
                degree[unknown] >= k
            )
            total ^= np.where(has_term, numbers[i - k, unknown] << np.uint64(k), np.uint64(0))
        numbers[i, unknown] = total
    return (numbers << np.arange(31, -1, -1, dtype=np.uint64)[:, None]).astype(np.uint32)


def directions_from_points(num_dims: int, num_bits: int) -> np.ndarray:
    """The same from SciPy's public generator: in Gray code order, points 2**b - 1 and 2**b differ by direction b."""
    from scipy.stats import qmc

    if num_dims > qmc.Sobol.MAXDIM:
        raise ValueError(
            f"Sobol' sequences have at most {qmc.Sobol.MAXDIM} dimensions, got {num_dims}; use MonteCarlo"
        )
    table = np.zeros((num_bits, num_dims), np.uint32)
    for bit in range(num_bits):
        engine = qmc.Sobol(num_dims, scramble=False, bits=32)
        if bit:
            engine.fast_forward(2**bit - 1)
        last, this = (engine.random(2) * 2.0**32).astype(np.uint32)
        table[bit] = last ^ this
    return table


def scrambled(key: Array, num_bits: int, num_components: int, num_dims: int) -> tuple[Array, Array]:
    """Directions (num_bits, K, D) times a random lower unitriangular matrix over GF(2), and a random shift (K, D)."""
    random = jax.random.bits(
        key, (num_bits + 1, num_components, num_dims), np.uint32
    )  # one draw: each is slow to compile
    top = np.uint32(1 << 31) >> np.arange(num_bits, dtype=np.uint32)
    columns = (random[:-1] & (top - np.uint32(1))[:, None, None]) | top[:, None, None]
    entries = (directions_of(num_dims, num_bits)[:, :, None] & top) != 0
    terms = jnp.where(entries.transpose(0, 2, 1)[:, :, None, :], columns[None], np.uint32(0))
    return _xor(terms, 1), random[-1]


def net(directions: Array, indices: Array) -> Array:
    """Directions (m, s, D) of s nets -> their points (s, D, b) of those indices (s or 1, b)."""
    places = np.arange(directions.shape[0], dtype=np.uint32)[:, None, None]
    bits = (indices[None] >> places) & np.uint32(1)
    return _xor(directions[..., None] * bits[:, :, None, :], 0)


def _xor(words: Array, axis: int) -> Array:
    return jax.lax.reduce(words, np.uint32(0), jax.lax.bitwise_xor, (axis,))


def normal_from_bits(bits: Array, dtype: DTypeLike) -> Array:
    """Normals at the midpoints of the cells of a uniform grid, so that neither end is infinite."""
    wide, kept = (np.float64, 32) if dtype == np.float64 else (np.float32, 23)
    cells = (bits >> np.uint32(32 - kept)).astype(wide)
    uniform = cells * 2.0 ** (1 - kept) + (2.0**-kept - 1)
    return (math.sqrt(2) * jax.lax.erf_inv(uniform)).astype(dtype)
