"""Read Gaussian mixtures of NumPyro, distrax and TensorFlow Probability by the names of their types, without an import."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._mixture.combine import concatenate
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._numerics.linalg import pack_tril, tril_of
from jaxgmm._validation.checks import floating_dtype, kind

LIBRARIES = ("numpyro.", "distrax.", "tensorflow_probability.substrates.jax.")


def read_distribution(distribution: Any, dtype: DTypeLike | None) -> GMM:
    """The parameters of a mixture, or of one Gaussian."""
    names = _names(distribution)
    if names & {"MixtureGeneral", "Mixture"}:
        return _read_general(distribution, dtype)
    if "MixtureSameFamily" not in names:
        return _read_same_family(np.zeros(1, int), distribution, dtype)
    log_weights = _log_weights(
        _attribute(distribution, "mixing_distribution", "mixture_distribution")
    )
    return _read_same_family(
        log_weights,
        _attribute(distribution, "component_distribution", "components_distribution"),
        dtype,
    )


def _read_general(distribution: Any, dtype: DTypeLike | None) -> GMM:
    """A mixture of distributions that were given one by one."""
    log_weights = _log_weights(_attribute(distribution, "mixing_distribution", "cat"))
    parts = [
        read_distribution(part, dtype)
        for part in _attribute(distribution, "component_distributions", "components")
    ]
    dtype = floating_dtype(dtype, log_weights, *(part.loc for part in parts))
    return concatenate(*jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (parts, log_weights)))


def _read_same_family(log_weights: Any, components: Any, dtype: DTypeLike | None) -> GMM:
    loc, scale, form = _gaussians(components)
    _check_one_mixture(np.shape(log_weights), np.shape(loc), np.shape(scale), form)
    gmm = _packed(log_weights, loc, scale, form, floating_dtype(dtype, log_weights, loc, scale))
    _check_finite(gmm)
    return gmm


def _names(thing: Any) -> set[str]:
    """The names of its type and of the types that this inherits from, in those libraries."""
    return {base.__name__ for base in type(thing).__mro__ if base.__module__.startswith(LIBRARIES)}


def _attribute(thing: Any, *names: str) -> Any:
    """What libraries call by different names."""
    return next(getattr(thing, name) for name in names if hasattr(thing, name))


def _log_weights(categorical: Any) -> Array:
    """Logits as they were given, or the logarithm of probabilities."""
    # Libraries compute whichever was not given, but with a derivative of NaN at 0 (distrax), or 0 for what is negative (NumPyro).
    given = "CategoricalProbs" in _names(categorical)
    probs = categorical.probs if given else getattr(categorical, "_probs", None)
    if probs is None:
        return categorical.logits
    dead = jnp.asarray(probs) == 0
    return jnp.where(dead, -jnp.inf, jnp.log(jnp.where(dead, 1, probs)))


def _gaussians(distribution: Any) -> tuple[Any, Any, str]:
    """The means of the components, their scales, and what these are.

    "scalar" and "diagonal" are standard deviations, of points that are numbers and vectors; "tril" are lower triangles and "root"
    any matrices whose product with their own transpose is the covariance.
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
        return (
            jnp.broadcast_to(loc, distribution.batch_shape + distribution.event_shape),
            scale,
            form,
        )
    if "MultivariateNormal" in names:
        return distribution.loc, distribution.scale_tril, "tril"
    if names & {"MultivariateNormalFromBijector", "MultivariateNormalLinearOperator"}:
        return 0.0 if distribution.loc is None else distribution.loc, *_linear_map(
            distribution.scale
        )
    raise TypeError(
        "distribution must be a Gaussian or a mixture of Gaussians of NumPyro, distrax or TensorFlow Probability on JAX: Normal, "
        "Independent(Normal, 1), MultivariateNormal with any scale, or MixtureSameFamily or a general mixture of these; got "
        f"{kind(distribution, type(distribution).__module__)}"
    )


def _linear_map(scale: Any) -> tuple[Any, str]:
    """The matrix of a bijector of distrax, or of a linear operator of TensorFlow Probability, and its form."""
    names = {base.__name__ for base in type(scale).__mro__}
    if "DiagLinear" in names:
        return jnp.abs(scale.diag), "diagonal"
    if names & {"LinearOperatorDiag", "LinearOperatorIdentity", "LinearOperatorScaledIdentity"}:
        return jnp.abs(scale.diag_part()), "diagonal"
    lower = "LinearOperatorLowerTriangular" in names or getattr(scale, "is_lower", False)
    return scale.to_dense() if hasattr(
        scale, "to_dense"
    ) else scale.matrix, "tril" if lower else "root"


@functools.partial(jax.jit, static_argnames=("form", "dtype"))
def _packed(log_weights: Any, loc: Any, scale: Any, form: str, dtype: DTypeLike) -> GMM:
    """The mixture of Gaussians with these scales, of a form of `_gaussians`, where a scale may have one row for all."""
    log_weights, loc, scale = (
        jnp.asarray(leaf).astype(dtype) for leaf in (log_weights, loc, scale)
    )
    if form == "scalar":
        loc, scale = loc[..., None], scale[..., None]
    if form in ("scalar", "diagonal"):
        scale = jnp.atleast_2d(scale)
        shape = len(log_weights), max(np.shape(loc)[-1:] + scale.shape[-1:])
        return GMM(log_weights, jnp.broadcast_to(jnp.atleast_2d(loc), shape), jnp.log(scale), None)
    rows = scale.reshape(-1, *scale.shape[-2:])
    lower = tril_of(rows)[0] if form == "root" else _with_positive_diagonal(rows)
    return GMM(
        log_weights,
        jnp.broadcast_to(jnp.atleast_2d(loc), (len(log_weights), rows.shape[1])),
        *pack_tril(lower),
    )


def _with_positive_diagonal(lower: Array) -> Array:
    """The triangles (R, D, D) whose columns have such signs, which does not change L L^T."""
    diagonal = jnp.diagonal(lower, axis1=1, axis2=2)
    return lower * jnp.where(diagonal < 0, -jnp.ones_like(diagonal), 1)[:, None, :]


def _check_one_mixture(
    weights: tuple[int, ...], loc: tuple[int, ...], scale: tuple[int, ...], form: str
) -> None:
    event = 0 if form == "scalar" else 1
    batch = np.broadcast_shapes(
        loc[: len(loc) - event], scale[: len(scale) - event - (form in ("tril", "root"))]
    )
    if len(weights) != 1 or batch not in ((), (1,), weights):
        raise ValueError(
            f"distribution is a batch, with weights of shape {weights} and Gaussians in a batch of shape {batch}: build and "
            "convert each under jax.vmap; or, if a vector of Normals is meant to be one point, wrap it in Independent(..., 1)"
        )


def _check_finite(gmm: GMM) -> None:
    try:
        checked_mixture("distribution", gmm)
    except ValueError as error:
        raise ValueError(
            f"{error}\nEvery weight and loc must be finite, no weight negative, and every scale or covariance positive (definite)"
        ) from None
