"""Independent points, and a budget of points split over the components of a mixture."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._numerics.transforms import varying_with
from jaxgmm._quadrature.rule import Batch, Batches, SizedRule, even_weights, required_key
from jaxgmm._validation.checks import check_flag, checked_int


@dataclasses.dataclass(frozen=True)
class MonteCarlo(SizedRule):
    r"""Independent standard normal nodes, :math:`\omega_i = 1/n`.

    The variance falls as 1/n in every dimension and for every integrand of finite variance.

    Args:
      n: the total number of points, at least 1. It is split as in `Sobol`, but not in powers of
        two, and rounded up so that it divides into strata of one size.
      antithetic: whether each node has a mirror image, which integrates odd functions exactly.
      variance_reduction: as for `Sobol`.

    Raises:
      TypeError: n is not an integer, or antithetic or variance_reduction is not a bool.
      ValueError: n is less than 1, or more than 2**31 - 1.

    Example:
      >>> MonteCarlo(10_000, antithetic=True)
      MonteCarlo(n=10000, antithetic=True, variance_reduction=True)

    References:
      Hammersley and Morton, A new Monte Carlo technique: antithetic variates (1956).
    """

    antithetic: bool = False
    variance_reduction: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checked_int("n", self.n))
        check_flag("antithetic", self.antithetic)
        check_flag("variance_reduction", self.variance_reduction)

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        root = required_key(self, key)
        strata = Allocation.of(weights, self.n, length, in_powers_of_two=False)
        size = math.ceil(self.n / strata.num_strata)
        drawn = math.ceil(size / 2) if self.antithetic else size

        def batch(index: Array) -> Batch:
            component, _, counts = strata.batch(index)
            shape = (len(component), num_dims, drawn)
            nodes = jax.random.normal(jax.random.fold_in(root, index), shape, weights.dtype)
            if self.antithetic:
                nodes = jnp.concatenate([nodes, -nodes], -1)
            return Batch(component, nodes, even_weights(counts, nodes))

        return strata.num_batches, batch


class Allocation(NamedTuple):
    """Strata of equal size, allocated to the components."""

    component: Array  # (num_strata,), the component of each stratum, in ascending order
    rank: Array  # (num_strata,), the index of each stratum among those of its component
    counts: Array  # (K,), the number of strata of each component
    num_batches: int  # the number of equal batches that the strata are processed in

    @classmethod
    def of(cls, weights: Array, n: int, length: int, in_powers_of_two: bool) -> "Allocation":
        """The strata for n points, in batches of about ``length`` points.

        A component gets a number of strata by its weight, a power of two if ``in_powers_of_two``.
        """
        k = len(weights)
        for_components = ceil_log2(min(max(n, k), 8 * k))
        for_batches = ceil_log2(max(1, math.ceil(n / length)))
        num_strata = 2 ** max(for_components, for_batches)
        # The number of points has no derivative in the weights.
        counts = _apportioned(_shares(jax.lax.stop_gradient(weights)), num_strata, in_powers_of_two)
        ends = jnp.cumsum(counts, dtype=np.int32)
        index = jnp.arange(num_strata, dtype=np.int32)
        component = jnp.searchsorted(ends, index, side="right", method="compare_all")
        component = component.astype(np.int32)
        rank = (index - (ends - counts)[component]).astype(np.uint32)
        return cls(component, rank, counts, 2**for_batches)

    @property
    def num_strata(self) -> int:
        return len(self.component)

    def batch(self, index: Array) -> tuple[Array, Array, Array]:
        """The component and the rank of each stratum of a batch, and the count of its component."""
        size = self.num_strata // self.num_batches
        start = index * np.uint32(size)
        component = jax.lax.dynamic_slice_in_dim(self.component, start, size)
        rank = jax.lax.dynamic_slice_in_dim(self.rank, start, size)
        return component, rank, self.counts[component]


def ceil_log2(n: int) -> int:
    return (n - 1).bit_length()


def _shares(weights: Array) -> Array:
    """The share of the points for each component: 0.73 of its weight and 0.27 of an even share."""
    # The weights themselves minimise the variance of a mean of independent points. The even part
    # costs it a factor of at most 1.37, and keeps the standard deviation of a gradient in the
    # weights within twice that of even shares. Rounding gives nearly equal weights equal shares.
    k = len(weights)
    shares = 0.27 + 0.73 * jnp.round(64 * k * weights) / 64
    return shares / shares.sum()


def _apportioned(shares: Array, total: int, in_powers_of_two: bool) -> Array:
    """Integer counts, at least 1 and near shares * total, whose sum is the total, a power of two.

    By the rule of highest averages, the component with the largest share per stratum gets the next.
    """
    # The quotas are slightly low, so that rounding cannot make the sum of the counts too large.
    quotas = jnp.clip(shares * (0.9999 * total), 1, None)
    if total < 4 * len(shares):
        counts = varying_with(shares, jnp.ones(len(shares), np.int32))
    elif in_powers_of_two:
        counts = np.int32(1) << jnp.floor(jnp.log2(quotas)).astype(np.int32)
    else:
        counts = jnp.floor(quotas).astype(np.int32)

    # The loop ends, as the smallest of the steps divides what is left of the total.
    def allocate_next(counts: Array) -> Array:
        step = counts if in_powers_of_two else jnp.ones_like(counts)
        fits = step <= np.int32(total) - counts.sum(dtype=np.int32)
        highest = jnp.argmax(jnp.where(fits, shares / counts.astype(shares.dtype), -1.0))
        return counts.at[highest].add(step[highest])

    return jax.lax.while_loop(lambda c: c.sum(dtype=np.int32) < total, allocate_next, counts)
