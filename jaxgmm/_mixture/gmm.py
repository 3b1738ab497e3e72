"""The parameters of a Gaussian mixture as a pytree."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from jaxgmm._mixture import initialization, moments
from jaxgmm._mixture.scale import Scale
from jaxgmm._numerics.transforms import exportable
from jaxgmm._validation import checks
from jaxgmm._validation.arguments import Flag, PositiveFloat, PositiveInt, RequiredKey
from jaxgmm._validation.validated_jit import validated


@exportable
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GMM:
    r"""A Gaussian mixture :math:`p(x) = \sum_k \pi_k N(x; \mu_k, L_k L_k^T)` as a pytree of arrays.

    Every finite pytree of these shapes is a valid mixture, so an optimiser needs no projection.
    `GMM.from_moments` builds one from weights, means and covariances. Several mixtures of equal
    shapes make one stacked pytree, for `jax.vmap`; see `stack`. Parameters in float16 or
    bfloat16 are for storage: functions compute in float32 and round their results.

    Attributes:
      logits: (K,), :math:`\pi = \mathrm{softmax}(\mathrm{logits})`. A logit of -inf is weight 0.
      loc: (K, D), the means :math:`\mu_k`.
      log_diag: (K or 1, D or 1), the logarithm of the diagonal of :math:`L_k`.
      off_diag: (K or 1, D (D - 1) / 2), the strict lower triangle of :math:`L_k`, row by row, or
        None for diagonal covariances.

    Example:
      >>> gmm = GMM(jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros((1, 1)), off_diag=None)
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
        weights: ArrayLike | None,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: moments.CovarianceType = "full",
        dtype: DTypeLike | None = None,
        *,
        log_weights: ArrayLike | None = None,
        normalize: Flag = False,
    ) -> "GMM":
        """The mixture with these weights, means and covariances, in the shapes of scikit-learn.

        Args:
          weights: (K,), not negative, with sum 1 to within 1e-6; None if log_weights are given.
          means: (K, D).
          covariances: (K, D, D) if "full", (D, D) if "tied", (K, D) if "diag", (K,) if "spherical".
          covariance_type: "full", "tied", "diag" or "spherical".
          dtype: a floating dtype. None is the widest one of the arguments, or else JAX's default.
          log_weights: (K,), the logarithms of the weights, -inf for a component without weight.
          normalize: whether to divide the weights by their sum, whatever it is.

        Returns:
          The mixture. NumPy computes its Cholesky factors in float64, outside of `jax.jit`.

        Raises:
          TypeError: an argument is traced or holds no real numbers, or dtype is not floating.
          ValueError: the shapes do not fit, a number is not finite, or covariance_type is unknown.
          ValueError: a weight is negative, or the weights do not sum to 1.
          ValueError: weights and log_weights are both given, or neither is.
          ValueError: a covariance is not symmetric and positive definite.

        Example:
          >>> covariances = [[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 4.0]]]
          >>> p = GMM.from_moments([0.3, 0.7], [[0.0, 0.0], [2.0, 1.0]], covariances)
          >>> p.num_components, p.num_dims, p.covariance_type
          (2, 2, 'full')
        """
        matrices, options = {"covariances": covariances}, (covariance_type, dtype, normalize)
        return cls(*moments.checked_leaves(weights, log_weights, means, matrices, *options))

    @classmethod
    @validated()
    def from_precisions(
        cls,
        weights: ArrayLike | None,
        means: ArrayLike,
        precisions: ArrayLike | None = None,
        precisions_cholesky: ArrayLike | None = None,
        covariance_type: moments.CovarianceType = "full",
        dtype: DTypeLike | None = None,
        *,
        log_weights: ArrayLike | None = None,
        normalize: Flag = False,
    ) -> "GMM":
        """The mixture whose covariances are the inverses of these precisions.

        Args:
          weights, means, covariance_type, dtype, log_weights, normalize: as in `from_moments`.
          precisions: the precisions, in the shapes that `from_moments` has for covariances.
          precisions_cholesky: in place of precisions, the upper triangles U of scikit-learn, with
            the precision U U^T; the roots of the precisions if "diag" or "spherical".

        Returns:
          The mixture. No covariance is formed, and no precision from precisions_cholesky.

        Raises:
          TypeError, ValueError: as in `from_moments`.
          ValueError: precisions and precisions_cholesky are both given, or neither is.

        Example:
          >>> p = GMM.from_precisions([1.0], [[0.0, 0.0]], [[[2.0, 1.0], [1.0, 1.0]]])
          >>> print(p.covariances.round(4))
          [[[ 1. -1.]
            [-1.  2.]]]
        """
        matrices = {"precisions": precisions, "precisions_cholesky": precisions_cholesky}
        options = covariance_type, dtype, normalize
        return cls(*moments.checked_leaves(weights, log_weights, means, matrices, *options))

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
          num_components, covariance_type: K, and as in `from_moments`.
          reg_covar: a number that is added to every variance, in the square of the units of x.

        Returns:
          The mixture, in the dtype of x.

        Raises:
          TypeError, ValueError: as in `from_moments`, or x is not a finite array (n, D).
          ValueError: num_components or reg_covar is not positive, or x has fewer distinct points.

        Example:
          >>> start = GMM.from_data(jax.random.key(0), [[0.0], [0.2], [9.0], [9.2]], 2)
          >>> print(start.means.min() < 1, start.means.max() > 8)
          True True

        References:
          Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA (2007).
        """
        x = jnp.asarray(x)
        centres = initialization.kmeans_plus_plus(key, x, num_components)
        initialization.check_distinct(centres)
        r = initialization.residuals(x, centres)
        scales = initialization.pooled_scales(r, reg_covar, num_components, covariance_type)
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
          num_components, num_dims: K and D.
          covariance_type, dtype: as in `from_moments`.
          spread: the standard deviation of the means.

        Returns:
          The mixture.

        Raises:
          TypeError, ValueError: as in `from_moments`, or a number is not positive.

        Example:
          >>> GMM.random(jax.random.key(0), 3, 2, "tied").covariances.shape
          (2, 2)
        """
        dtype = checks.floating_dtype(dtype)
        logits_key, loc_key, scale_key = jax.random.split(key, 3)
        logits = 0.5 * jax.random.normal(logits_key, (num_components,), dtype)
        loc = spread * jax.random.normal(loc_key, (num_components, num_dims), dtype)
        scales = initialization.random_scales(scale_key, loc.shape, covariance_type, dtype)
        return cls(logits, loc, *scales)

    def replace(self, **leaves: Array | None) -> "GMM":
        """The mixture with other leaves, such as ``gmm.replace(loc=gmm.loc + 1)``, not checked."""
        return dataclasses.replace(self, **leaves)

    @property
    def num_components(self) -> int:
        """K, the number of components."""
        return self.loc.shape[-2]

    @property
    def num_dims(self) -> int:
        """D, the dimension of a point."""
        return self.loc.shape[-1]

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
            num_rows = max(self.log_diag.shape[-2], self.off_diag.shape[-2])
            return "full" if num_rows == self.num_components else "tied"
        return "diag" if self.log_diag.shape[-1] == self.num_dims else "spherical"

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
_covariances = jax.jit(
    lambda gmm: _of_each(lambda one: scale_of(one).covariances(), gmm), inline=True
)
_scale_tril = jax.jit(lambda gmm: _of_each(lambda one: scale_of(one).factors(), gmm), inline=True)


def _of_each(fn: Callable[[GMM], Array], gmm: GMM) -> Array:
    """The function of a mixture, or of each in a stack of any number of axes."""
    for _ in range(gmm.loc.ndim - 2):
        fn = jax.vmap(fn)
    return fn(gmm)


def scale_of(gmm: GMM) -> Scale:
    """The operations of the Cholesky factors of a mixture."""
    return Scale(gmm.log_diag, gmm.off_diag, (gmm.num_components, gmm.num_dims))


def is_diagonal(*gmms: GMM) -> bool:
    return all(gmm.off_diag is None for gmm in gmms)


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
