"""Sobol' nets in unsigned integers of 32 bits: direction numbers, scrambling, and normals from bits."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike


@functools.cache
def directions_of(num_dims: int, num_bits: int) -> np.ndarray:
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


def scrambled(key: Array, num_bits: int, num_components: int, num_dims: int) -> tuple[Array, Array]:
    """Directions (num_bits, K, D) times a random lower unitriangular matrix over GF(2), and a random shift (K, D)."""
    random = jax.random.bits(key, (num_bits + 1, num_components, num_dims), np.uint32)  # one draw: each is slow to compile
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
