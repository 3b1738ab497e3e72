"""Independent standard normal points."""

import dataclasses
import math
from typing import Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._quadrature.allocation import Allocation
from jaxgmm._quadrature.rule import Batch, Batches, Rule, even_weights, required_key
from jaxgmm._validation.checks import check_flag, checked_int


@dataclasses.dataclass(frozen=True)
class MonteCarlo(Rule):
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checked_int("n", self.n))
        check_flag("antithetic", self.antithetic)
        check_flag("variance_reduction", self.variance_reduction)

    @property
    def num_points(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The points that were asked for, n."""
        return self.n

    def resized(self, n: int) -> Self:
        """The same rule with n points."""
        return dataclasses.replace(self, n=n)

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        root = required_key(self, key)
        slots = Allocation.deal(weights, self.n, length, in_powers_of_two=False)
        size = math.ceil(self.n / slots.num_slots)
        drawn = math.ceil(size / 2) if self.antithetic else size

        def batch(index: Array) -> Batch:
            component, _, counts = slots.batch(index)
            nodes = jax.random.normal(
                jax.random.fold_in(root, index), (len(component), num_dims, drawn), weights.dtype
            )
            if self.antithetic:
                nodes = jnp.concatenate([nodes, -nodes], -1)
            return Batch(component, nodes, even_weights(counts, nodes))

        return slots.num_batches, batch
