"""Exact operations on mixtures: marginals, conditionals, affine maps, sums, products and moments."""

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxgmm._mixture.components import component_overlaps
from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.gmm import GMM, factor_rows
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import einsum, inv_tril, matmul, pack_tril, tril_of
from jaxgmm._validation.checks import finite_array
from jaxgmm._validation.validated_jit import Check, validated_jit


def moment_matched(gmm: GMM) -> GMM:
    """One Gaussian with the mean and the covariance of a mixture."""
    mean = matmul(gmm.weights, gmm.loc)
    # The covariance, sum_k pi_k (L_k L_k^T + (mu_k - mean) (mu_k - mean)^T), has these roots side by side.
    root_weights = jnp.exp(0.5 * gmm.log_weights)
    between = (root_weights[:, None] * (gmm.loc - mean[None])).T
    if gmm.off_diag is None:
        variances = matmul(gmm.weights, jnp.broadcast_to(jnp.exp(2 * gmm.log_diag), gmm.loc.shape))
        within = jnp.diag(jnp.sqrt(variances))
    else:
        within = (
            (root_weights[:, None, None] * gmm.scale_tril)
            .transpose(1, 0, 2)
            .reshape(gmm.num_dims, -1)
        )
    log_diag, off_diag = pack_tril(tril_of(jnp.concatenate([within, between], axis=1)[None])[0])
    return GMM(jnp.zeros_like(gmm.logits[:1]), mean[None], log_diag, off_diag)


def _coordinates(name: str, dims: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(dim) for dim in dims)
    except TypeError:
        raise TypeError(
            f"{name} must be a sequence of integers, such as (0, 2), got {dims!r}"
        ) from None


Coordinates = Annotated[Sequence[int], Check(_coordinates, static=True)]


def coordinates_of_mixture(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, dims), with dims counted from 0 on."""
    dims, num_dims = arguments["dims"], arguments["gmm"].num_dims
    if not dims or any(not -num_dims <= dim < num_dims for dim in dims):
        raise ValueError(
            f"dims must be at least one coordinate from {-num_dims} to {num_dims - 1}, got {dims!r}"
        )
    positive = tuple(dim % num_dims for dim in dims)
    if len(set(positive)) < len(positive):
        raise ValueError(
            f"dims must be distinct, got {dims!r}, which name the coordinates {positive}"
        )
    return {**arguments, "dims": positive}


def values_of_coordinates(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, dims, values), with a value for each of dims."""
    arguments = coordinates_of_mixture(arguments)
    gmm, dims = arguments["gmm"], arguments["dims"]
    if len(dims) == gmm.num_dims:
        raise ValueError(
            f"dims are all {gmm.num_dims} coordinates of gmm, so none is left; leave some out"
        )
    values = _checked_array("values", arguments["values"], (len(dims),), gmm)
    return {**arguments, "values": values}


def affine_map_of_mixture(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, matrix, shift), which fit together."""
    gmm = arguments["gmm"]
    matrix = _checked_array("matrix", arguments["matrix"], (None, gmm.num_dims), gmm)
    traced = isinstance(matrix, Tracer)
    if len(matrix) > gmm.num_dims or (not traced and np.linalg.matrix_rank(matrix) < len(matrix)):
        raise ValueError(
            f"the {len(matrix)} rows of matrix are linearly dependent, so A x has no density: "
            "leave some out"
        )
    shift = arguments.get("shift")
    shift = None if shift is None else _checked_array("shift", shift, (len(matrix),), gmm)
    return {**arguments, "matrix": matrix, "shift": shift}


def _checked_array(
    name: str, value: Any, shape: tuple[int | None, ...], gmm: GMM
) -> Array | np.ndarray:
    """A finite array of that shape, where None is any length, of the dtype of gmm."""
    traced = isinstance(value, Tracer)
    array = value if traced else finite_array(name, value, jnp.result_type(gmm.loc))
    fits = array.ndim == len(shape) and all(
        expected in (None, got) for got, expected in zip(array.shape, shape, strict=True)
    )
    if not fits or not array.size:
        expected = str(shape).replace("None", "D'")
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    return array


@validated_jit(coordinates_of_mixture)
def marginal(gmm: Mixture, dims: Coordinates) -> GMM:
    r"""The mixture of some of the coordinates, in the order given: :math:`p(x_{dims})`.

    Args:
      gmm: the mixture.
      dims: distinct integers from -D to D - 1; all of them in another order permutes the coordinates.

    Returns:
      The mixture in len(dims) dimensions, of the same weights and covariance type.

    Raises:
      TypeError, ValueError: gmm is not a finite mixture, or dims are not distinct coordinates of it.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]], "diag")
      >>> print(marginal(p, (2, 0)).means)
      [[2. 0.]]
    """
    return _selected(gmm, np.asarray(dims))


@validated_jit(values_of_coordinates)
def condition(gmm: Mixture, dims: Coordinates, values: ArrayLike) -> GMM:
    r"""The mixture of the other coordinates given the values of some: :math:`p(x_a | x_b = v)`.

    .. math:: \pi_k' \propto \pi_k N(v; \mu_{k,b}, \Sigma_{k,bb}), \quad
              \mu_k' = \mu_{k,a} + \Sigma_{k,ab} \Sigma_{k,bb}^{-1} (v - \mu_{k,b}), \quad
              \Sigma_k' = \Sigma_{k,aa} - \Sigma_{k,ab} \Sigma_{k,bb}^{-1} \Sigma_{k,ba}

    The covariances come from an orthogonalisation, without that difference. The weights are those of
    log-densities, and lose digits as these grow: at 1e4 standard deviations in float64, 1e-8 of a weight.

    Args:
      gmm: the mixture.
      dims: b, distinct integers from -D to D - 1; not all coordinates.
      values: v, (len(dims),). Use `jax.vmap` for many.

    Returns:
      The mixture of the coordinates not in dims, in their order, of the same covariance type.

    Raises:
      TypeError, ValueError: gmm is not a finite mixture, dims are not distinct coordinates of it, or values do not fit them.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 1.0]], [[[1.0, 0.5], [0.5, 1.0]]])
      >>> q = condition(p, (1,), [3.0])
      >>> print(q.means.round(4), q.covariances.round(4))
      [[1.]] [[[0.75]]]

    References:
      Bishop, Pattern Recognition and Machine Learning (2006), eq. 2.81 and 2.82.
    """
    seen, rest = np.asarray(dims), np.setdiff1d(np.arange(gmm.num_dims), dims)
    given = jnp.asarray(values).astype(gmm.loc.dtype)
    log_evidence = component_log_densities(_selected(gmm, seen))(given[:, None])[:, 0]
    logits = jax.nn.log_softmax(gmm.log_weights + log_evidence)
    if gmm.off_diag is None:
        return dataclasses.replace(_selected(gmm, rest), logits=logits)
    lower, inverse = tril_of(factor_rows(gmm)[:, np.concatenate([seen, rest])])
    # In blocks, the lower triangle of (x_b, x_a) is [[B, 0], [C, A]], and x_a = mu_a + C B^-1 (x_b - mu_b) + A eps.
    m = len(seen)
    whitened = matmul(inverse[:, :m, :m], (given[None] - gmm.loc[:, seen])[:, :, None])
    loc = gmm.loc[:, rest] + matmul(lower[:, m:, :m], whitened)[:, :, 0]
    return GMM(logits, loc, *pack_tril(lower[:, m:, m:]))


@validated_jit(affine_map_of_mixture)
def affine(gmm: Mixture, matrix: ArrayLike, shift: ArrayLike | None = None) -> GMM:
    r"""The mixture of :math:`A x + b` for x of a mixture: means :math:`A \mu_k + b`, covariances :math:`A \Sigma_k A^T`.

    Args:
      gmm: the mixture.
      matrix: A, (D', D) with linearly independent rows, so D' <= D; otherwise there is no density. That is an error where the
        matrix is concrete; under a transformation such a matrix gives numbers without meaning, or NaN.
      shift: b, (D',); None: 0.

    Returns:
      The mixture in D' dimensions; "tied" if one covariance was shared, else "full", of diagonal ones too.

    Raises:
      TypeError, ValueError: gmm is not a finite mixture, matrix or shift does not fit it, or the rows of matrix are dependent.

    Example:
      >>> p = GMM.from_moments([1.0], [[1.0, 2.0]], [[1.0, 4.0]], "diag")
      >>> q = affine(p, [[1.0, 1.0]], [10.0])
      >>> print(q.means, q.covariances)
      [[13.]] [[[5.]]]
    """
    dtype = gmm.loc.dtype
    a = jnp.asarray(matrix).astype(dtype)
    b = jnp.zeros(len(a), dtype) if shift is None else jnp.asarray(shift).astype(dtype)
    roots = matmul(a[None], factor_rows(gmm))
    return GMM(
        gmm.logits,
        matmul(gmm.loc, a.T) + b[None],
        *pack_tril(tril_of(roots)[0]),
    )


@validated_jit(one_space)
def convolve(p: Mixture, q: Mixture) -> GMM:
    r"""The mixture of x + y for independent x of p and y of q.

    .. math:: (p * q)(z) = \sum_{kj} \pi_k \omega_j N(z; \mu_k + \mu_j, \Sigma_k + \Sigma_j)

    With q one Gaussian around 0 it is p smoothed by q.

    Args:
      p: a mixture.
      q: the other mixture, in the same space.

    Returns:
      The mixture of K_p K_q components, component j of q fastest, of the least restricted covariance type of both.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [5.0]], [1.0, 2.0], "spherical")
      >>> noise = GMM.from_moments([1.0], [[0.0]], [0.25], "spherical")
      >>> print(convolve(p, noise).covariances[:, 0])
      [1.25 2.25]
    """
    loc = (p.loc[:, None] + q.loc[None]).reshape(-1, p.num_dims)
    logits = _log_weights_of_pairs(p, q).ravel()
    if p.off_diag is None and q.off_diag is None:
        a, b = _paired(p, q, p.log_diag, q.log_diag)
        return GMM(logits, loc, 0.5 * jnp.logaddexp(2 * a, 2 * b), None)
    roots = jnp.concatenate(_paired(p, q, factor_rows(p), factor_rows(q)), axis=2)
    return GMM(logits, loc, *pack_tril(tril_of(roots)[0]))


@validated_jit(one_space)
def product(p: Mixture, q: Mixture) -> tuple[GMM, Array]:
    r"""The normalised product of two densities, and the logarithm of its normaliser.

    .. math:: \frac{p(x) q(x)}{Z}, \quad Z = \int p q, \quad
              p_k q_j = N(\mu_k; \mu_j, \Sigma_k + \Sigma_j)
              N\left(x; C (\Sigma_k^{-1} \mu_k + \Sigma_j^{-1} \mu_j), C\right), \quad C = (\Sigma_k^{-1} + \Sigma_j^{-1})^{-1}

    Args:
      p: a mixture.
      q: the other mixture, in the same space.

    Returns:
      The mixture of K_p K_q components, component j of q fastest, of the least restricted covariance type of both; and log Z, a
      scalar, which stays in range where Z does not.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> both, log_normaliser = product(p, q)
      >>> print(both.means, both.covariances, f"{log_normaliser:.4f}")
      [[1.]] [[0.5]] -2.2655

    References:
      Bromiley, Products and convolutions of Gaussian probability density functions, Tina memo 2003-003.
    """
    weighted = (_log_weights_of_pairs(p, q) + component_overlaps(p, q)[1]).ravel()
    log_normaliser = jax.nn.logsumexp(weighted)
    return _products(p, q, weighted - log_normaliser), log_normaliser


@validated_jit()
def mixture_mean(gmm: Mixture) -> Array:
    r"""The mean of the whole mixture, :math:`\bar\mu = \sum_k \pi_k \mu_k`; those of its components are ``gmm.means``.

    Args:
      gmm: the mixture.

    Returns:
      (D,).

    Raises:
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> print(mixture_mean(GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")).round(4))
      [3.]
    """
    return matmul(gmm.weights, gmm.loc)


@validated_jit()
def mixture_covariance(gmm: Mixture) -> Array:
    r"""The covariance of the whole mixture; those of its components are ``gmm.covariances``.

    .. math:: \sum_k \pi_k \left(\Sigma_k + (\mu_k - \bar\mu) (\mu_k - \bar\mu)^T\right)

    Args:
      gmm: the mixture.

    Returns:
      (D, D), of every covariance type.

    Raises:
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> print(mixture_covariance(GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")).round(4))
      [[4.]]
    """
    weights, offsets = gmm.weights, gmm.loc - mixture_mean(gmm)[None]
    between = matmul((weights[:, None] * offsets).T, offsets)
    if gmm.off_diag is None:
        variances = jnp.broadcast_to(jnp.exp(2 * gmm.log_diag), gmm.loc.shape)
        return between + jnp.diag(matmul(weights, variances))
    factors = gmm.scale_tril
    return between + einsum("kij,klj->il", weights[:, None, None] * factors, factors)


def _selected(gmm: GMM, dims: np.ndarray) -> GMM:
    """The mixture of these coordinates."""
    loc = gmm.loc[:, dims]
    if gmm.off_diag is None:
        return GMM(
            gmm.logits,
            loc,
            gmm.log_diag if gmm.log_diag.shape[1] == 1 else gmm.log_diag[:, dims],
            None,
        )
    return GMM(gmm.logits, loc, *pack_tril(tril_of(factor_rows(gmm)[:, dims])[0]))


def _products(p: GMM, q: GMM, logits: Array) -> GMM:
    """The normalised products of all pairs of components, with these logits (K_p K_q,)."""
    start, end = _paired(p, q, p.loc, q.loc)
    if p.off_diag is None and q.off_diag is None:
        a, b = _paired(p, q, p.log_diag, q.log_diag)
        return GMM(
            logits,
            start + jax.nn.sigmoid(2 * (a - b)) * (end - start),
            -0.5 * jnp.logaddexp(-2 * a, -2 * b),
            None,
        )
    a, b = _paired(p, q, *(inv_tril(factor_rows(gmm)) for gmm in (p, q)))
    # [A^T B^T] is a root of the precision. With the coordinates reversed, its triangle's inverse is L^T, reversed as well.
    lower = tril_of(jnp.concatenate([a.mT, b.mT], axis=2)[:, ::-1])[1].mT[:, ::-1, ::-1]
    step = (end - start)[:, :, None]
    for factor in (b, b.mT, lower.mT, lower):  # C B^T B (mu_j - mu_k), as vectors all the way
        step = matmul(factor, step)
    return GMM(logits, start + step[:, :, 0], *pack_tril(lower))


def _log_weights_of_pairs(p: GMM, q: GMM) -> Array:
    """log pi_k + log omega_j, (K_p, K_q)."""
    return p.log_weights[:, None] + q.log_weights[None]


def _paired(p: GMM, q: GMM, a: Array, b: Array) -> tuple[Array, Array]:
    """Rows a of p and b of q, K or 1 each -> K_p K_q rows of both, one for each pair of components; or 1 if all share both."""
    pairs = (1, 1) if len(a) == len(b) == 1 else (p.num_components, q.num_components)
    a, b = (
        jnp.broadcast_to(a[:, None], pairs + a.shape[1:]),
        jnp.broadcast_to(b[None], pairs + b.shape[1:]),
    )
    return a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:])
