"""Split a budget of points over the components of a mixture."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Allocation(NamedTuple):
    """Equal lots of points, dealt to the components.

    Attributes:
      component: (num_slots,), the component that each lot belongs to, in order.
      place: (num_slots,), the place of each among the lots of its component.
      counts: (K,), how many lots each component has.
      num_batches: in how many equal batches the lots are handled.
    """

    component: Array
    place: Array
    counts: Array
    num_batches: int

    @classmethod
    def deal(cls, weights: Array, n: int, length: int, in_powers_of_two: bool) -> "Allocation":
        """Lots for n points in batches of about that length; the weights are held constant in derivatives."""
        k = len(weights)
        for_components = ceil_log2(min(max(n, k), 8 * k))
        for_batches = ceil_log2(max(1, math.ceil(n / length)))
        num_slots = 2 ** max(for_components, for_batches)
        counts = _apportioned(_shares(jax.lax.stop_gradient(weights)), num_slots, in_powers_of_two)
        ends = jnp.cumsum(counts, dtype=np.int32)
        index = jnp.arange(num_slots, dtype=np.int32)
        component = jnp.searchsorted(ends, index, side="right", method="compare_all").astype(
            np.int32
        )
        return cls(
            component,
            (index - (ends - counts)[component]).astype(np.uint32),
            counts,
            2**for_batches,
        )

    @property
    def num_slots(self) -> int:
        return len(self.component)

    def batch(self, index: Array) -> tuple[Array, Array, Array]:
        """The components, the places and the counts of the lots of a batch."""
        size = self.num_slots // self.num_batches
        start = index * np.uint32(size)
        component, place = (
            jax.lax.dynamic_slice_in_dim(a, start, size) for a in (self.component, self.place)
        )
        return component, place, self.counts[component]


def ceil_log2(n: int) -> int:
    return (n - 1).bit_length()


def _shares(weights: Array) -> Array:
    """The share of the points that each component should get: its weight, but for a good quarter that is shared evenly.

    Of independent points, the variance of a mean is least with the weights as shares, and at most 1.37 of that with these; the
    standard deviation of a gradient in the weights is at most twice that of even shares. Rounded, so that equal weights stay
    equal.
    """
    k = len(weights)
    shares = 0.27 + 0.73 * jnp.round(64 * k * weights) / 64
    return shares / shares.sum()


def _apportioned(shares: Array, total: int, in_powers_of_two: bool) -> Array:
    """Counts (int32), at least 1 and close to shares * total, with that total, itself a power of two."""
    deserved = jnp.clip(
        shares * (0.9999 * total), 1, None
    )  # short of it, lest rounding deal more than there is
    if total < 4 * len(shares):
        counts = jnp.ones(len(shares), np.int32)
    elif in_powers_of_two:
        counts = np.int32(1) << jnp.floor(jnp.log2(deserved)).astype(np.int32)
    else:
        counts = jnp.floor(deserved).astype(np.int32)

    # Ends with nothing left, as what is left is a multiple of the smallest count where these are powers of two.
    def give_one_more(counts: Array) -> Array:
        step = counts if in_powers_of_two else jnp.ones_like(counts)
        fits = step <= np.int32(total) - counts.sum(dtype=np.int32)
        neediest = jnp.argmax(jnp.where(fits, shares / counts.astype(shares.dtype), -1.0))
        return counts.at[neediest].add(step[neediest])

    return jax.lax.while_loop(
        lambda counts: counts.sum(dtype=np.int32) < total, give_one_more, counts
    )
