"""The parameters of a Gaussian mixture as a pytree."""

import dataclasses
import operator
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from jaxgmm._mixture import moments
from jaxgmm._mixture.initialization import (
    check_distinct,
    kmeans_plus_plus,
    pooled_scales,
    random_scales,
    residuals,
)
from jaxgmm._mixture.scale import DiagonalScale, Scale, view
from jaxgmm._validation import checks
from jaxgmm._validation.arguments import PositiveFloat, PositiveInt, RequiredKey
from jaxgmm._validation.validated_jit import validated

T = TypeVar("T")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GMM:
    r"""A Gaussian mixture :math:`p(x) = \sum_k \pi_k N(x; \mu_k, L_k L_k^T)` as a pytree of arrays.

    Every finite pytree of these shapes is a valid mixture, so an optimiser needs no projection and
    no bijector. `GMM.from_moments` builds a mixture from weights, means and covariances. Several
    mixtures of equal shapes make one stacked pytree, for `jax.vmap`; see `stack`.

    Attributes:
      logits: (K,), :math:`\pi = \mathrm{softmax}(\mathrm{logits})`. A logit of -inf is weight 0.
      loc: (K, D), the means :math:`\mu_k`.
      log_diag: (K or 1, D or 1), the logarithm of the diagonal of :math:`L_k`.
      off_diag: (K or 1, D (D - 1) / 2), the strict lower triangle of :math:`L_k`, row by row, or
        None for diagonal covariances.

    Example:
      >>> gmm = GMM(jnp.zeros(1), loc=jnp.zeros((1, 2)), log_diag=jnp.zeros((1, 1)), off_diag=None)
      >>> gmm.covariance_type
      'spherical'
    """

    logits: Array
    loc: Array
    log_diag: Array
    off_diag: Array | None

    @classmethod
    @validated()
    def from_moments(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: moments.CovarianceType = "full",
        dtype: DTypeLike | None = None,
    ) -> "GMM":
        """The mixture with these weights, means and covariances, in the shapes of scikit-learn.

        Args:
          weights: (K,), not negative, with sum 1 to within 1e-6.
          means: (K, D).
          covariances: (K, D, D) if "full", (D, D) if "tied", (K, D) if "diag", (K,) if "spherical".
          covariance_type: "full", "tied", "diag" or "spherical".
          dtype: a floating dtype. None is the widest one of the arguments, or else JAX's default.

        Returns:
          The mixture. NumPy computes its Cholesky factors in float64, outside of `jax.jit`.

        Raises:
          TypeError: an argument is traced or holds no real numbers, or dtype is not floating.
          ValueError: the shapes do not fit, a number is not finite, or covariance_type is unknown.
          ValueError: a weight is negative, or the weights do not sum to 1.
          ValueError: a covariance is not symmetric and positive definite.

        Example:
          >>> covariances = [[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 4.0]]]
          >>> p = GMM.from_moments([0.3, 0.7], [[0.0, 0.0], [2.0, 1.0]], covariances)
          >>> p.num_components, p.num_dims, p.covariance_type
          (2, 2, 'full')
        """
        dtype = checks.floating_dtype(dtype, weights, means, covariances)
        weights = moments.checked_weights(checks.finite_array("weights", weights))
        moments.check_dead("the mixture", weights == 0, means, covariances)
        means = moments.checked_means(checks.finite_array("means", means), len(weights))
        covariances = checks.finite_array("covariances", covariances)
        moments.check_covariance_shape(covariances, means.shape, covariance_type)
        with np.errstate(divide="ignore"):  # The logit of a weight of 0 is -inf, as documented.
            logits = np.log(weights)
        leaves = (logits, means, *moments.log_cholesky(covariances, means.shape, covariance_type))
        # NumPy converts the dtype, because JAX would compile a program for each shape.
        return cls(*jax.tree.map(lambda leaf: jnp.asarray(leaf.astype(dtype), dtype), leaves))

    @classmethod
    @validated()
    def from_data(
        cls,
        key: RequiredKey,
        x: moments.Data,
        num_components: PositiveInt,
        covariance_type: moments.CovarianceType = "full",
        *,
        reg_covar: PositiveFloat = 1e-6,
    ) -> "GMM":
        r"""A mixture to start a fit from: means by k-means++, equal weights, one common covariance.

        .. math:: \Sigma = \frac1n \sum_i (x_i - c_i)(x_i - c_i)^T + r I

        Here :math:`c_i` is the mean nearest to the point :math:`x_i`, and r is ``reg_covar``.

        Args:
          key: a random key. `jax.vmap` over keys gives several starts.
          x: points (n, D).
          num_components: K.
          covariance_type: "full", "tied", "diag" or "spherical".
          reg_covar: a number that is added to every variance, in the square of the units of x.

        Returns:
          The mixture, in the dtype of x.

        Raises:
          TypeError: an argument has the wrong type.
          ValueError: x is not a finite array of shape (n, D), or covariance_type is unknown.
          ValueError: num_components or reg_covar is not positive, or x has fewer distinct points.

        Example:
          >>> start = GMM.from_data(jax.random.key(0), [[0.0], [0.2], [9.0], [9.2]], 2)
          >>> print(start.means.min() < 1, start.means.max() > 8)
          True True

        References:
          Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA (2007).
        """
        x = jnp.asarray(x)
        centres = kmeans_plus_plus(key, x, num_components)
        check_distinct(centres)
        r = residuals(x, centres)
        scales = pooled_scales(r, reg_covar, num_components, covariance_type)
        return cls(jnp.zeros(num_components, x.dtype), centres, *scales)

    @classmethod
    @validated()
    def random(
        cls,
        key: RequiredKey,
        num_components: PositiveInt,
        num_dims: PositiveInt,
        covariance_type: moments.CovarianceType = "full",
        *,
        spread: PositiveFloat = 2.0,
        dtype: DTypeLike | None = None,
    ) -> "GMM":
        """A mixture with random parameters, as a start of a fit or as an example.

        The means are normal with standard deviation ``spread`` in each coordinate. The covariances
        have eigenvalues about 1. The logits are normal with standard deviation 1/2.

        Args:
          key: a random key. `jax.vmap` over keys gives several mixtures.
          num_components: K.
          num_dims: D.
          covariance_type: "full", "tied", "diag" or "spherical".
          spread: the standard deviation of the means.
          dtype: a floating dtype, or None for JAX's default.

        Returns:
          The mixture.

        Raises:
          TypeError: an argument has the wrong type.
          ValueError: a number is not positive, or covariance_type is unknown.

        Example:
          >>> GMM.random(jax.random.key(0), 3, 2, "tied").covariances.shape
          (2, 2)
        """
        dtype = checks.floating_dtype(dtype)
        logits_key, loc_key, scale_key = jax.random.split(key, 3)
        logits = 0.5 * jax.random.normal(logits_key, (num_components,), dtype)
        loc = spread * jax.random.normal(loc_key, (num_components, num_dims), dtype)
        return cls(logits, loc, *random_scales(scale_key, loc.shape, covariance_type, dtype))

    @property
    def num_components(self) -> int:
        """K, the number of components."""
        return self.loc.shape[0]

    @property
    def num_dims(self) -> int:
        """D, the dimension of a point."""
        return self.loc.shape[1]

    @property
    def weights(self) -> Array:
        """The weights (K,), which sum to 1."""
        return _softmax(self.logits)

    @property
    def log_weights(self) -> Array:
        """The logarithms of the weights (K,), -inf for a component without weight."""
        return jax.nn.log_softmax(self.logits)

    @property
    def means(self) -> Array:
        """The means (K, D)."""
        return self.loc

    @property
    def covariance_type(self) -> str:
        """The name in scikit-learn of the type that the shapes of log_diag and off_diag imply."""
        if self.off_diag is not None:
            num_rows = max(len(self.log_diag), len(self.off_diag))
            return "full" if num_rows == self.num_components else "tied"
        return "diag" if self.log_diag.shape[1] == self.num_dims else "spherical"

    @property
    def covariances(self) -> Array:
        """The covariances in the shape that `from_moments` takes for this `covariance_type`."""
        return _covariances(self)

    @property
    def scale_tril(self) -> Array:
        """The Cholesky factors L_k (K, D, D)."""
        return _scale_tril(self)


# Each of these is one compiled program, which is faster than its operations one by one.
_softmax = jax.jit(jax.nn.softmax, inline=True)
_covariances = jax.jit(lambda gmm: scale_of(gmm).covariances(), inline=True)
_scale_tril = jax.jit(lambda gmm: scale_of(gmm).factors(), inline=True)


def scale_of(gmm: GMM) -> Scale:
    """The view of the Cholesky factors of a mixture."""
    return view(gmm.log_diag, gmm.off_diag, (gmm.num_components, gmm.num_dims))


def is_diagonal(*gmms: GMM) -> bool:
    return all(isinstance(scale_of(gmm), DiagonalScale) for gmm in gmms)


def by_structure(
    diagonal: Callable[[GMM, GMM], T], triangular: Callable[[GMM, GMM], T]
) -> Callable[[GMM, GMM], T]:
    """A function of two mixtures, by an O(K D) form for diagonal factors or a general form."""
    return lambda p, q: (diagonal if is_diagonal(p, q) else triangular)(p, q)


def log_det(gmm: GMM) -> Array:
    """The logarithms of det L_k, (K or 1,)."""
    return jnp.broadcast_to(gmm.log_diag, (gmm.log_diag.shape[0], gmm.num_dims)).sum(-1)


def centre_of(gmm: GMM) -> Array:
    """The mean of the mixture (D,), constant in derivatives, as an origin that saves digits."""
    # A sum keeps full precision on every device, where a product of matrices may not. The barrier
    # keeps XLA on GPUs from computing the sum again beside each use, with other rounding errors,
    # which far from the origin would move two mixtures by different vectors.
    centre = jax.lax.stop_gradient((gmm.weights[:, None] * gmm.loc).sum(0))
    return jax.lax.optimization_barrier(centre)


def unstacked(gmms: GMM) -> list[GMM]:
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(gmms))
    # A slice of a NumPy array is a view, where a slice of a JAX array is a compiled program.
    leaves = gmms if traced else jax.tree.map(np.asarray, gmms)
    return [jax.tree.map(operator.itemgetter(i), leaves) for i in range(len(gmms.loc))]
