"""Marginals, conditionals, affine maps and moments of mixtures, which are exact."""

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.gmm import GMM, is_diagonal, scale_of
from jaxgmm._mixture.validation import Mixture, checked_array
from jaxgmm._numerics.linalg import gram, matmul, norm, pack_tril, tril_of
from jaxgmm._validation.checks import quoted
from jaxgmm._validation.validated_jit import Check, validated_jit


def _coordinates(name: str, dims: Any) -> tuple[int, ...]:
    """The coordinates as a tuple, or an error if they are not a sequence of integers."""
    try:
        return tuple(operator.index(dim) for dim in dims)
    except TypeError:
        needed = "a sequence of integers, such as (0, 2)"
        raise TypeError(f"{name} must be {needed}, got {quoted(dims)}") from None


Coordinates = Annotated[Sequence[int], Check(_coordinates, static=True)]


def coordinates_of_mixture(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments gmm and dims, where negative dims are replaced by those from 0 to D - 1."""
    dims = arguments["dims"]
    d = arguments["gmm"].num_dims
    if not dims or any(not -d <= dim < d for dim in dims):
        needed = f"at least one coordinate from {-d} to {d - 1}"
        raise ValueError(f"dims must be {needed}, got {quoted(dims)}")
    positive = tuple(dim % d for dim in dims)
    if len(set(positive)) < len(positive):
        got = f"{quoted(dims)}, which are coordinates {positive}"
        raise ValueError(f"dims must be distinct, got {got}")
    return {**arguments, "dims": positive}


def values_of_coordinates(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, dims, values), with one value for each of dims."""
    arguments = coordinates_of_mixture(arguments)
    gmm, dims = arguments["gmm"], arguments["dims"]
    if len(dims) == gmm.num_dims:
        raise ValueError(f"dims are all {gmm.num_dims} coordinates of gmm; leave some out")
    values = checked_array("values", arguments["values"], (len(dims),), gmm)
    return {**arguments, "values": values}


def affine_map_of_mixture(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, matrix, shift), as arrays that fit together."""
    gmm = arguments["gmm"]
    matrix = checked_array("matrix", arguments["matrix"], (None, gmm.num_dims), gmm)
    traced = isinstance(matrix, Tracer)
    rows = len(matrix)
    if rows > gmm.num_dims or (not traced and np.linalg.matrix_rank(matrix) < rows):
        mend = "so A x has no density; leave some out"
        raise ValueError(f"the {rows} rows of matrix are linearly dependent, {mend}")
    shift = arguments.get("shift")
    shift = None if shift is None else checked_array("shift", shift, (rows,), gmm)
    return {**arguments, "matrix": matrix, "shift": shift}


@validated_jit(coordinates_of_mixture)
def marginal(gmm: Mixture, dims: Coordinates) -> GMM:
    r"""The marginal distribution :math:`p(x_{dims})` of some coordinates, in the order of dims.

    Args:
      gmm: the mixture.
      dims: distinct integers from -D to D - 1. All D of them permute the coordinates.

    Returns:
      The mixture in len(dims) dimensions, with the same weights and covariance type.

    Raises:
      TypeError: gmm is not a GMM, or dims is not a sequence of integers.
      ValueError: gmm is not finite, or dims are not distinct coordinates of gmm.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]], "diag")
      >>> print(marginal(p, (2, 0)).means)
      [[2. 0.]]
    """
    return selected(gmm, np.asarray(dims))


@validated_jit(values_of_coordinates)
def condition(gmm: Mixture, dims: Coordinates, values: ArrayLike) -> GMM:
    r"""The mixture :math:`p(x_a | x_b = v)` of coordinates given the values v of the other ones.

    .. math:: \pi_k' \propto \pi_k N(v; \mu_{k,b}, \Sigma_{k,bb}), \quad
              \mu_k' = \mu_{k,a} + \Sigma_{k,ab} \Sigma_{k,bb}^{-1} (v - \mu_{k,b}), \quad
              \Sigma_k' = \Sigma_{k,aa} - \Sigma_{k,ab} \Sigma_{k,bb}^{-1} \Sigma_{k,ba}

    An orthogonalisation gives the covariances without the last difference. The weights lose
    digits far from a component: at 1e4 standard deviations their error in float64 is 1e-8.

    Args:
      gmm: the mixture.
      dims: b, distinct integers from -D to D - 1, not all coordinates.
      values: v, (len(dims),). Use `jax.vmap` for several.

    Returns:
      The mixture of the coordinates not in dims, in their order, of the same covariance type.

    Raises:
      TypeError: an argument has the wrong type.
      ValueError: gmm or values is not finite, or values has another shape.
      ValueError: dims are not distinct coordinates of gmm, or are all of them.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 1.0]], [[[1.0, 0.5], [0.5, 1.0]]])
      >>> q = condition(p, (1,), [3.0])
      >>> print(q.means.round(4), q.covariances.round(4))
      [[1.]] [[[0.75]]]

    References:
      Bishop, Pattern Recognition and Machine Learning (2006), eq. 2.81 and 2.82.
    """
    seen, others = np.asarray(dims), np.setdiff1d(np.arange(gmm.num_dims), dims)
    given = jnp.asarray(values).astype(gmm.loc.dtype)
    log_evidence = component_log_densities(selected(gmm, seen))(given[:, None])[:, 0]
    logits = jax.nn.log_softmax(gmm.log_weights + log_evidence)
    if is_diagonal(gmm):
        return selected(gmm, others).replace(logits=logits)
    lower, inverse = tril_of(scale_of(gmm).rows()[:, np.concatenate([seen, others])])
    # In blocks, the triangle of (x_b, x_a) is [[B, 0], [C, A]], with normals eps_b and eps_a. Then
    # x_a = mu_a + C eps_b + A eps_a, and eps_b = B^-1 (v - mu_b) is known.
    m = len(seen)
    whitened = matmul(inverse[:, :m, :m], (given[None] - gmm.loc[:, seen])[:, :, None])
    loc = gmm.loc[:, others] + matmul(lower[:, m:, :m], whitened)[:, :, 0]
    return GMM(logits, loc, *pack_tril(lower[:, m:, m:]))


@validated_jit(affine_map_of_mixture)
def affine(gmm: Mixture, matrix: ArrayLike, shift: ArrayLike | None = None) -> GMM:
    r"""The mixture that :math:`A x + b` follows if x follows gmm.

    .. math:: \sum_k \pi_k N(A \mu_k + b, A \Sigma_k A^T)

    Args:
      gmm: the mixture.
      matrix: A, (D', D) with linearly independent rows, so D' <= D. Dependent rows are an error
        where the matrix is concrete. Under a transformation of JAX they give meaningless numbers.
      shift: b, (D',), or None for 0.

    Returns:
      The mixture in D' dimensions. It is "tied" if all components share a covariance, else "full".

    Raises:
      TypeError: an argument has the wrong type.
      ValueError: gmm, matrix or shift is not finite, or matrix or shift has another shape.
      ValueError: the rows of matrix are linearly dependent.

    Example:
      >>> p = GMM.from_moments([1.0], [[1.0, 2.0]], [[1.0, 4.0]], "diag")
      >>> q = affine(p, [[1.0, 1.0]], [10.0])
      >>> print(q.means, q.covariances)
      [[13.]] [[[5.]]]
    """
    dtype = gmm.loc.dtype
    a = jnp.asarray(matrix).astype(dtype)
    b = jnp.zeros(len(a), dtype) if shift is None else jnp.asarray(shift).astype(dtype)
    roots = matmul(a[None], scale_of(gmm).rows())
    return GMM(gmm.logits, matmul(gmm.loc, a.T) + b[None], *pack_tril(tril_of(roots)[0]))


def selected(gmm: GMM, dims: np.ndarray | Array) -> GMM:
    """The marginal of these coordinates."""
    leaves = gmm.log_diag if gmm.log_diag.shape[1] == 1 else gmm.log_diag[:, dims], None
    if not is_diagonal(gmm):
        leaves = pack_tril(tril_of(scale_of(gmm).rows()[:, dims])[0])
    return GMM(gmm.logits, gmm.loc[:, dims], *leaves)


def moment_matched(gmm: GMM) -> GMM:
    """The Gaussian with the mean and the covariance of a mixture."""
    mean = matmul(gmm.weights, gmm.loc)
    log_diag, off_diag = pack_tril(tril_of(_root_of_covariance(gmm, mean)[None])[0])
    return GMM(jnp.zeros_like(gmm.logits[:1]), mean[None], log_diag, off_diag)


def _root_of_covariance(gmm: GMM, mean: Array) -> Array:
    """R with R R^T the covariance of a mixture. R gives its triangle in more digits."""
    roots, scale = jnp.exp(0.5 * gmm.log_weights), scale_of(gmm)
    between = (roots[:, None] * (gmm.loc - mean[None])).T
    if is_diagonal(gmm):
        within = jnp.diag(norm(roots[:, None] * jnp.exp(scale.log_sigma), 0))
    else:
        factors = roots[:, None, None] * scale.factors()
        within = factors.transpose(1, 0, 2).reshape(gmm.num_dims, -1)
    return jnp.concatenate([within, between], axis=1)


@validated_jit()
def mixture_mean(gmm: Mixture) -> Array:
    r"""The mean of a whole mixture; its components have the means ``gmm.means``.

    .. math:: \bar\mu = \sum_k \pi_k \mu_k

    Args:
      gmm: the mixture.

    Returns:
      The mean (D,).

    Raises:
      TypeError: gmm is not a GMM.
      ValueError: a parameter of gmm is not finite.

    Example:
      >>> p = GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(mixture_mean(p).round(4))
      [3.]
    """
    return matmul(gmm.weights, gmm.loc)


@validated_jit()
def mixture_covariance(gmm: Mixture) -> Array:
    r"""The covariance of a whole mixture; its components have ``gmm.covariances``.

    .. math:: \sum_k \pi_k \left(\Sigma_k + (\mu_k - \bar\mu) (\mu_k - \bar\mu)^T\right)

    Args:
      gmm: the mixture.

    Returns:
      The covariance (D, D), whatever the covariance type of gmm is.

    Raises:
      TypeError, ValueError: as in `mixture_mean`.

    Example:
      >>> p = GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(mixture_covariance(p).round(4))
      [[4.]]
    """
    return gram(_root_of_covariance(gmm, mixture_mean(gmm))[None])[0]
