"""The parameters of a Gaussian mixture as a pytree."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from jaxgmm._mixture.initialization import kmeans_plus_plus, pooled_scales, random_scales, residuals
from jaxgmm._mixture.moments import (
    check_covariance_shape,
    check_covariance_type,
    checked_data,
    checked_means,
    checked_variances,
    checked_weights,
    cholesky,
)
from jaxgmm._numerics.linalg import diagonal_matrices, einsum, unpack_tril
from jaxgmm._validation.checks import (
    check_key,
    check_positive,
    checked_int,
    finite_array,
    floating_dtype,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GMM:
    r"""A Gaussian mixture :math:`p(x) = \sum_k \pi_k N(x; \mu_k, L_k L_k^T)`, as unconstrained arrays.

    Every finite pytree of these shapes is a valid mixture, so an optimiser needs neither projection nor bijector.
    Build one from the usual moments with `GMM.from_moments`. A stack of mixtures is a stacked pytree, under `jax.vmap`.

    Attributes:
      logits: (K,), :math:`\pi = \mathrm{softmax}(\mathrm{logits})`; -inf is a component without weight.
      loc: (K, D), the means :math:`\mu_k`.
      log_diag: (K or 1, D or 1), the logarithm of the diagonal of :math:`L_k`.
      off_diag: (K or 1, D (D - 1) / 2), the strict lower triangle of :math:`L_k` row by row; None: diagonal covariances.

    Example:
      >>> import jax.numpy as jnp
      >>> standard_normal = GMM(logits=jnp.zeros(1), loc=jnp.zeros((1, 2)), log_diag=jnp.zeros((1, 1)), off_diag=None)
      >>> standard_normal.covariance_type
      'spherical'
    """

    logits: Array
    loc: Array
    log_diag: Array
    off_diag: Array | None

    @classmethod
    def from_moments(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str = "full",
        dtype: DTypeLike | None = None,
    ) -> "GMM":
        """The mixture with these weights, means and covariances, in scikit-learn's shapes.

        Args:
          weights: (K,), not negative, with sum 1 to within 1e-6.
          means: (K, D).
          covariances: (K, D, D) if "full", (D, D) if "tied", (K, D) variances if "diag", (K,) variances if "spherical".
          covariance_type: "full", "tied", "diag" or "spherical".
          dtype: a floating dtype; None: that of the floating arrays given, else JAX's default.

        Returns:
          The mixture. The Cholesky factors are computed in NumPy, in float64, so this is not for use under `jax.jit`.

        Raises:
          TypeError: an argument is not made of real numbers, or is traced.
          ValueError: shapes disagree, a number is not finite, weights are negative or do not sum to 1, a covariance is not
            symmetric or not positive definite, or covariance_type is unknown.

        Example:
          >>> p = GMM.from_moments([0.3, 0.7], [[0.0, 0.0], [2.0, 1.0]], [[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 4.0]]])
          >>> p.num_components, p.num_dims, p.covariance_type
          (2, 2, 'full')
        """
        dtype = floating_dtype(dtype, weights, means, covariances)
        weights = checked_weights(finite_array("weights", weights))
        means = checked_means(finite_array("means", means), len(weights))
        covariances = finite_array("covariances", covariances)
        check_covariance_shape(covariances, means.shape, covariance_type)
        if covariance_type in ("full", "tied"):
            factors = cholesky(covariances.reshape(-1, *covariances.shape[-2:]))
            rows, columns = np.tril_indices(means.shape[1], -1)
            log_diag = np.log(np.diagonal(factors, axis1=1, axis2=2))
            off_diag = factors[:, rows, columns]
        else:
            log_diag, off_diag = (
                0.5 * np.log(checked_variances(covariances)).reshape(len(means), -1),
                None,
            )
        with np.errstate(divide="ignore"):  # a weight of 0 is a logit of -inf, as documented
            logits = np.log(weights)

        # NumPy converts them, as JAX would compile a program for each shape.
        logits, means, log_diag = (
            jnp.asarray(array.astype(dtype), dtype) for array in (logits, means, log_diag)
        )
        return cls(
            logits,
            means,
            log_diag,
            off_diag if off_diag is None else jnp.asarray(off_diag.astype(dtype), dtype),
        )

    @classmethod
    def from_data(
        cls,
        key: Array,
        x: ArrayLike,
        num_components: int,
        covariance_type: str = "full",
        *,
        reg_covar: float = 1e-6,
    ) -> "GMM":
        r"""A mixture to start a fit from: means by k-means++, equal weights, and one covariance for all.

        .. math:: \Sigma = \frac1n \sum_i (x_i - c_i)(x_i - c_i)^T + \mathrm{reg} I, \quad c_i \text{ the mean nearest to } x_i

        Args:
          key: a random key; `jax.vmap` over keys gives several starts.
          x: points (n, D).
          num_components: K.
          covariance_type: "full", "tied", "diag" or "spherical".
          reg_covar: what is added to every variance, in the square of the units of x.

        Returns:
          The mixture, of the dtype of x.

        Raises:
          TypeError, ValueError: x is not an array (n, D) of finite numbers, or another argument is not usable.

        Example:
          >>> import jax
          >>> start = GMM.from_data(jax.random.key(0), [[0.0], [0.2], [9.0], [9.2]], 2)
          >>> print(start.means.min() < 1, start.means.max() > 8)
          True True

        References:
          Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA (2007), section 2.2.
        """
        check_key("key", key, required=True)
        x = checked_data(x)
        k = checked_int("num_components", num_components)
        check_covariance_type(covariance_type)
        check_positive("reg_covar", reg_covar)
        centres = kmeans_plus_plus(key, x, k)
        scales = pooled_scales(residuals(x, centres), reg_covar, k, covariance_type)
        return cls(jnp.zeros(k, x.dtype), centres, *scales)

    @classmethod
    def random(
        cls,
        key: Array,
        num_components: int,
        num_dims: int,
        covariance_type: str = "full",
        *,
        spread: float = 2.0,
        dtype: DTypeLike | None = None,
    ) -> "GMM":
        """A mixture at random, to start a fit from or to try things on.

        Its means are normal with standard deviation ``spread`` in each coordinate, its covariances are random with eigenvalues
        about 1, and its logits are normal with standard deviation 1/2.

        Args:
          key: a random key; `jax.vmap` over keys gives several.
          num_components: K.
          num_dims: D.
          covariance_type: "full", "tied", "diag" or "spherical".
          spread: the standard deviation of the means.
          dtype: a floating dtype; None: JAX's default.

        Returns:
          The mixture.

        Raises:
          TypeError, ValueError: an argument is not usable.

        Example:
          >>> import jax
          >>> GMM.random(jax.random.key(0), 3, 2, "tied").covariances.shape
          (2, 2)
        """
        check_key("key", key, required=True)
        k, d = checked_int("num_components", num_components), checked_int("num_dims", num_dims)
        check_covariance_type(covariance_type)
        check_positive("spread", spread)
        dtype = floating_dtype(dtype)
        logits_key, loc_key, scale_key = jax.random.split(key, 3)
        logits = 0.5 * jax.random.normal(logits_key, (k,), dtype)
        loc = spread * jax.random.normal(loc_key, (k, d), dtype)
        return cls(logits, loc, *random_scales(scale_key, k, d, covariance_type, dtype))

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
        """The logarithms of the weights (K,); -inf for a component without weight."""
        return jax.nn.log_softmax(self.logits)

    @property
    def means(self) -> Array:
        """The means (K, D)."""
        return self.loc

    @property
    def covariance_type(self) -> str:
        """Scikit-learn's name for the shapes of log_diag and off_diag; of two that fit, the less restricted one.

        With one component "tied" reads as "full", and with one dimension "spherical" reads as "diag".
        """
        if self.off_diag is not None:
            return "full" if self.off_diag.shape[0] == self.num_components else "tied"
        return "diag" if self.log_diag.shape[1] == self.num_dims else "spherical"

    @property
    def covariances(self) -> Array:
        """The covariances in scikit-learn's shape for the `covariance_type`, as `from_moments` takes them."""
        return _covariances(self)

    @property
    def scale_tril(self) -> Array:
        """The Cholesky factors L_k (K, D, D)."""
        return _scale_tril(self)


# What is read out of a mixture is compiled as a whole, which takes less time than its operations one by one.
_softmax = jax.jit(jax.nn.softmax, inline=True)


@functools.partial(jax.jit, inline=True)
def _covariances(gmm: GMM) -> Array:
    if gmm.off_diag is None:
        variances = jnp.exp(2 * gmm.log_diag)
        if gmm.covariance_type == "diag":
            return jnp.broadcast_to(variances, gmm.loc.shape)
        return jnp.broadcast_to(variances[:, 0], gmm.loc.shape[:1])
    factors = gmm.scale_tril
    products = einsum("kij,klj->kil", factors, factors)
    return products if gmm.covariance_type == "full" else products[0]


@functools.partial(jax.jit, inline=True)
def _scale_tril(gmm: GMM) -> Array:
    shape = (gmm.num_components, gmm.num_dims, gmm.num_dims)
    if gmm.off_diag is None:
        return diagonal_matrices(jnp.broadcast_to(jnp.exp(gmm.log_diag), gmm.loc.shape))
    return jnp.broadcast_to(unpack_tril(gmm.log_diag, gmm.off_diag, gmm.num_dims), shape)


def log_det(gmm: GMM) -> Array:
    """log det L_k, shape (K or 1,)."""
    return jnp.broadcast_to(gmm.log_diag, (gmm.log_diag.shape[0], gmm.num_dims)).sum(-1)


def factor_rows(gmm: GMM) -> Array:
    """The Cholesky factors (R, D, D), where one that all components share stays one."""
    if gmm.off_diag is None:
        return diagonal_matrices(
            jnp.broadcast_to(jnp.exp(gmm.log_diag), (len(gmm.log_diag), gmm.num_dims))
        )
    return unpack_tril(gmm.log_diag, gmm.off_diag, gmm.num_dims)


def centre_of(gmm: GMM) -> Array:
    """The mean of the mixture (D,), constant in derivatives: an origin that saves digits."""
    return jax.lax.stop_gradient(gmm.weights @ gmm.loc)


def unstacked(gmms: GMM) -> list[GMM]:
    """The mixtures of a stack, one by one."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(gmms))
    leaves = gmms if traced else jax.tree.map(np.asarray, gmms)  # whose slices cost nothing
    return [jax.tree.map(lambda leaf, i=i: leaf[i], leaves) for i in range(len(gmms.loc))]
