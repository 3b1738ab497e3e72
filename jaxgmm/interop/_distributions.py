"""Mixtures from and to NumPyro, distrax and TensorFlow Probability."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._mixture.combine import concatenate
from jaxgmm._mixture.gmm import GMM, is_diagonal, scale_of
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._numerics.linalg import pack_tril, tril_of
from jaxgmm._validation.checks import floating_dtype, kind
from jaxgmm.interop._mixtures import imported

LIBRARIES = ("numpyro.", "distrax.", "tensorflow_probability.substrates.jax.")


def from_distribution(distribution: Any, dtype: DTypeLike | None = None) -> GMM:
    """A Gaussian or Gaussian mixture of NumPyro, distrax or TensorFlow Probability as a `GMM`.

    The parameters may be traced, and have gradients. A distribution that is built under `jax.jit`
    should get a ``scale_tril``, since libraries factor a covariance matrix by LAPACK, and several
    such calls in one program have made XLA hang on CPU. The derivative in a probability of 0 is 0.

    Args:
      distribution: one Gaussian, which is a ``MultivariateNormal`` with any kind of scale, a
        ``Normal`` made independent over one dimension (by ``Independent`` or ``to_event``), or a
        scalar ``Normal``, which gets D = 1; or a mixture of these: a ``MixtureSameFamily``, a
        ``MixtureGeneral`` of NumPyro or a ``Mixture`` of TensorFlow Probability.
      dtype: a floating dtype, or None for that of the parameters.

    Returns:
      The same mixture, "full" or "tied" if it is given by matrices, else "diag" or "spherical".

    Raises:
      TypeError: distribution is not one of these, or dtype is not a floating dtype.
      ValueError: distribution is a batch, or a parameter is not finite.
      ValueError: a weight is negative, or a covariance is not positive definite.

    Example:
      >>> import numpy as np
      >>> import numpyro.distributions as dist
      >>> components = dist.MultivariateNormal(np.array([[0.0], [2.0]]), scale_tril=np.eye(1))
      >>> weights = dist.Categorical(probs=np.array([0.3, 0.7]))
      >>> p = from_distribution(dist.MixtureSameFamily(weights, components))
      >>> print(p.num_components, p.covariance_type)
      2 tied
    """
    names = _names(distribution)
    if names & {"MixtureGeneral", "Mixture"}:
        return _read_general(distribution, dtype)
    if "MixtureSameFamily" not in names:
        return _read_same_family(np.zeros(1, int), distribution, dtype)
    categorical = _attribute(distribution, "mixing_distribution", "mixture_distribution")
    components = _attribute(distribution, "component_distribution", "components_distribution")
    return _read_same_family(_log_weights(categorical), components, dtype)


def to_numpyro(gmm: GMM) -> Any:
    """A NumPyro ``MixtureSameFamily`` with the parameters of a mixture, which may be traced.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of ``MultivariateNormal``, or of independent ``Normal`` for diagonal covariances.

    Raises:
      ImportError: NumPyro is not installed.
      TypeError: gmm is not a GMM.
      ValueError: gmm is not one mixture with finite parameters.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_numpyro(p).log_prob(jnp.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    dist = imported("numpyro.distributions", "to_numpyro", "NumPyro", "numpyro")
    logits = jnp.maximum(gmm.logits, jnp.finfo(gmm.logits.dtype).min)  # NumPyro refuses -inf
    return _same_family(
        dist, gmm, logits, lambda loc, factors: dist.MultivariateNormal(loc, scale_tril=factors)
    )


def to_distrax(gmm: GMM) -> Any:
    """A distrax ``MixtureSameFamily`` with the parameters of a mixture, which may be traced.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of ``MultivariateNormalTri``, or of independent ``Normal`` for diagonal covariances.

    Raises:
      ImportError: distrax is not installed.
      TypeError, ValueError: as in `to_numpyro`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_distrax(p).log_prob(jnp.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    distrax = imported("distrax", "to_distrax", "distrax", "distrax")
    return _same_family(distrax, gmm, gmm.logits, distrax.MultivariateNormalTri)


def to_tfp(gmm: GMM) -> Any:
    """A TensorFlow Probability ``MixtureSameFamily`` of a mixture, which may be traced.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of ``MultivariateNormalTriL``, or independent ``Normal`` for diagonal covariances.

    Raises:
      ImportError: TensorFlow Probability is not installed.
      TypeError, ValueError: as in `to_numpyro`.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_tfp(p).log_prob(jnp.zeros(1)):.4f}")
      -1.6118
    """
    checked_mixture("gmm", gmm)
    module = "tensorflow_probability.substrates.jax.distributions"
    tfd = imported(module, "to_tfp", "TensorFlow Probability", "tfp")
    return _same_family(tfd, gmm, gmm.logits, tfd.MultivariateNormalTriL)


def _same_family(dist: Any, gmm: GMM, logits: Array, gaussians: Callable[..., Any]) -> Any:
    """The mixture in ``dist``; ``gaussians`` makes its components of means and Cholesky factors."""
    if is_diagonal(gmm):
        components = dist.Independent(dist.Normal(gmm.loc, jnp.exp(gmm.log_diag)), 1)
    else:
        components = gaussians(gmm.loc, scale_of(gmm).rows())
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)


def _read_general(distribution: Any, dtype: DTypeLike | None) -> GMM:
    """The `GMM` of a mixture whose components are distributions of their own."""
    log_weights = _log_weights(_attribute(distribution, "mixing_distribution", "cat"))
    components = _attribute(distribution, "component_distributions", "components")
    parts = [from_distribution(component, dtype) for component in components]
    dtype = floating_dtype(dtype, log_weights, *(part.loc for part in parts))
    return concatenate(*jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (parts, log_weights)))


def _read_same_family(log_weights: Any, components: Any, dtype: DTypeLike | None) -> GMM:
    """The `GMM` of log-weights and of one batch of Gaussians, which are the components."""
    loc, scale, form = _gaussians(components)
    _check_one_mixture(np.shape(log_weights), np.shape(loc), np.shape(scale), form)
    gmm = _packed(log_weights, loc, scale, form, floating_dtype(dtype, log_weights, loc, scale))
    try:
        checked_mixture("distribution", gmm)
    except ValueError as error:  # with the causes in a user's distribution
        needed = "no weight negative, and every scale or covariance positive (definite)"
        raise ValueError(f"{error}\nEvery weight and loc must be finite, {needed}") from None
    return gmm


def _names(thing: Any) -> set[str]:
    """The names of the type of a thing and of its bases, as far as they are of these libraries."""
    return {base.__name__ for base in type(thing).__mro__ if base.__module__.startswith(LIBRARIES)}


def _attribute(thing: Any, *names: str) -> Any:
    """The first of these attributes that a thing has; libraries differ in the name."""
    return next(getattr(thing, name) for name in names if hasattr(thing, name))


def _log_weights(categorical: Any) -> Array:
    """The logits if they were given, or the logarithms of the probabilities."""
    # Libraries compute whichever was not given. At a probability of 0, the logits of distrax have a
    # derivative of NaN. NumPyro clips a negative probability at 0, which would hide the error.
    given = "CategoricalProbs" in _names(categorical)
    probs = categorical.probs if given else getattr(categorical, "_probs", None)
    if probs is None:
        return categorical.logits
    dead = jnp.asarray(probs) == 0
    return jnp.where(dead, -jnp.inf, jnp.log(jnp.where(dead, 1, probs)))


def _gaussians(distribution: Any) -> tuple[Any, Any, str]:
    """The means of the components, their scales, and the form of the scales.

    Scales of the form "scalar" or "diagonal" are standard deviations, of points that are numbers
    or vectors. Scales of the form "tril" are lower triangles, and of the form "root" any matrices.
    The product of either with its own transpose is the covariance.
    """
    names = _names(distribution)
    if "Normal" in names:
        return distribution.loc, distribution.scale, "scalar"
    if "Independent" in names:
        loc, scale, form = _gaussians(_attribute(distribution, "base_dist", "distribution"))
        if form == "scalar" and int(distribution.reinterpreted_batch_ndims) == 1:
            return loc, scale, "diagonal"
    if "ExpandedDistribution" in names:
        loc, scale, form = _gaussians(distribution.base_dist)
        shape = distribution.batch_shape + distribution.event_shape
        return jnp.broadcast_to(loc, shape), scale, form
    if "MultivariateNormal" in names:
        return distribution.loc, distribution.scale_tril, "tril"
    if names & {"MultivariateNormalFromBijector", "MultivariateNormalLinearOperator"}:
        loc = 0.0 if distribution.loc is None else distribution.loc
        return loc, *_linear_map(distribution.scale)
    got = kind(distribution, type(distribution).__module__)
    kinds = "Normal, Independent(Normal, 1), MultivariateNormal, or a mixture of these"
    needed = f"a {kinds} of NumPyro, distrax or TensorFlow Probability on JAX"
    raise TypeError(f"distribution must be {needed}; got {got}")


def _linear_map(scale: Any) -> tuple[Any, str]:
    """The matrix or diagonal of a distrax bijector or a TensorFlow operator, and its form."""
    names = {base.__name__ for base in type(scale).__mro__}
    if "DiagLinear" in names:
        return jnp.abs(scale.diag), "diagonal"
    if names & {"LinearOperatorDiag", "LinearOperatorIdentity", "LinearOperatorScaledIdentity"}:
        return jnp.abs(scale.diag_part()), "diagonal"
    lower = "LinearOperatorLowerTriangular" in names or getattr(scale, "is_lower", False)
    matrix = scale.to_dense() if hasattr(scale, "to_dense") else scale.matrix
    return matrix, "tril" if lower else "root"


@functools.partial(jax.jit, static_argnames=("form", "dtype"))
def _packed(log_weights: Any, loc: Any, scale: Any, form: str, dtype: DTypeLike) -> GMM:
    """The `GMM` of the results of `_gaussians`; all components may share one row of a scale."""
    log_weights, loc, scale = (jnp.asarray(a).astype(dtype) for a in (log_weights, loc, scale))
    if form == "scalar":
        loc, scale = loc[..., None], scale[..., None]
    if form in ("scalar", "diagonal"):
        scale = jnp.atleast_2d(scale)
        shape = len(log_weights), max(np.shape(loc)[-1:] + scale.shape[-1:])
        return GMM(log_weights, jnp.broadcast_to(jnp.atleast_2d(loc), shape), jnp.log(scale), None)
    rows = scale.reshape(-1, *scale.shape[-2:])
    # Negated columns of a triangle keep L L^T.
    signs = jnp.where(jnp.diagonal(rows, axis1=1, axis2=2) < 0, -1, 1).astype(dtype)
    lower = tril_of(rows)[0] if form == "root" else rows * signs[:, None, :]
    loc = jnp.broadcast_to(jnp.atleast_2d(loc), (len(log_weights), rows.shape[1]))
    return GMM(log_weights, loc, *pack_tril(lower))


def _check_one_mixture(
    weights: tuple[int, ...], loc: tuple[int, ...], scale: tuple[int, ...], form: str
) -> None:
    """Raise unless the shapes of the log-weights, means and scales are those of one mixture."""
    event, scale_event = {"scalar": (0, 0), "diagonal": (1, 1)}.get(form, (1, 2))
    batch = np.broadcast_shapes(loc[: len(loc) - event], scale[: len(scale) - scale_event])
    if len(weights) != 1 or batch not in ((), (1,), weights):
        shapes = f"weights of shape {weights} and Gaussians in a batch of shape {batch}"
        mend = "convert each under jax.vmap, or wrap a vector of Normals in Independent(..., 1)"
        raise ValueError(f"distribution is a batch, with {shapes}: {mend}")
