"""Scrambled Sobol' points."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._numerics.sharding import take
from jaxgmm._quadrature.allocation import Allocation, ceil_log2
from jaxgmm._quadrature.digital_nets import net, normal_from_bits, scrambled
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
