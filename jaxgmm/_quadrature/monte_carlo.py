"""Independent standard normal points."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._quadrature.allocation import Allocation
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
