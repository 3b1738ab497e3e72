"""Marginals, conditionals, affine maps, convolutions and products of mixtures, which are exact."""

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
from jaxgmm._mixture.gmm import GMM, by_structure, is_diagonal, scale_of
from jaxgmm._mixture.scale import Leaves
from jaxgmm._mixture.validation import Mixture, checked_array, one_space
from jaxgmm._numerics.linalg import inv_tril, matmul, pack_tril, tril_of
from jaxgmm._validation.validated_jit import Check, validated_jit


def _coordinates(name: str, dims: Any) -> tuple[int, ...]:
    """The coordinates as a tuple, or an error if they are not a sequence of integers."""
    try:
        return tuple(operator.index(dim) for dim in dims)
    except TypeError:
        needed = "a sequence of integers, such as (0, 2)"
        raise TypeError(f"{name} must be {needed}, got {dims!r}") from None


Coordinates = Annotated[Sequence[int], Check(_coordinates, static=True)]


def coordinates_of_mixture(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, dims), with dims from 0 to D - 1."""
    dims, d = arguments["dims"], arguments["gmm"].num_dims
    if not dims or any(not -d <= dim < d for dim in dims):
        raise ValueError(f"dims must be at least one coordinate from {-d} to {d - 1}, got {dims!r}")
    positive = tuple(dim % d for dim in dims)
    if len(set(positive)) < len(positive):
        raise ValueError(f"dims must be distinct, got {dims!r}, which are coordinates {positive}")
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
    traced, rows = isinstance(matrix, Tracer), len(matrix)
    if rows > gmm.num_dims or (not traced and np.linalg.matrix_rank(matrix) < rows):
        mend = "so A x has no density; leave some out"
        raise ValueError(f"the {rows} rows of matrix are linearly dependent, {mend}")
    shift = arguments.get("shift")
    shift = None if shift is None else checked_array("shift", shift, (rows,), gmm)
    return {**arguments, "matrix": matrix, "shift": shift}


@validated_jit(coordinates_of_mixture)
def marginal(gmm: Mixture, dims: Coordinates) -> GMM:
    r"""The mixture of some of the coordinates, in the order given: :math:`p(x_{dims})`.

    Args:
      gmm: the mixture.
      dims: distinct integers from -D to D - 1. All of them, in another order, permute them.

    Returns:
      The mixture in len(dims) dimensions, of the same weights and covariance type.

    Raises:
      TypeError: gmm is not a GMM.
      TypeError: dims is not a sequence of integers.
      ValueError: a parameter of gmm is not finite.
      ValueError: dims are not distinct coordinates of gmm.

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

    The covariances come from an orthogonalisation, without that difference. The weights lose digits
    far from a component: at 1e4 standard deviations their error in float64 is 1e-8.

    Args:
      gmm: the mixture.
      dims: b, distinct integers from -D to D - 1, not all coordinates.
      values: v, (len(dims),). Use `jax.vmap` for several.

    Returns:
      The mixture of the coordinates not in dims, in their order, of the same covariance type.

    Raises:
      TypeError: gmm is not a GMM.
      TypeError: dims is not a sequence of integers.
      TypeError: values does not consist of real numbers.
      ValueError: a parameter of gmm is not finite.
      ValueError: dims are not distinct coordinates of gmm, or are all of them.
      ValueError: values is not finite, or has another shape.

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
    log_evidence = component_log_densities(_selected(gmm, seen))(given[:, None])[:, 0]
    logits = jax.nn.log_softmax(gmm.log_weights + log_evidence)
    if is_diagonal(gmm):
        return dataclasses.replace(_selected(gmm, others), logits=logits)
    lower, inverse = tril_of(scale_of(gmm).rows()[:, np.concatenate([seen, others])])
    # In blocks, the triangle of (x_b, x_a) is [[B, 0], [C, A]], with normals eps_b and eps_a. Then
    # x_a = mu_a + C eps_b + A eps_a, and eps_b = B^-1 (v - mu_b) is known.
    m = len(seen)
    whitened = matmul(inverse[:, :m, :m], (given[None] - gmm.loc[:, seen])[:, :, None])
    loc = gmm.loc[:, others] + matmul(lower[:, m:, :m], whitened)[:, :, 0]
    return GMM(logits, loc, *pack_tril(lower[:, m:, m:]))


@validated_jit(affine_map_of_mixture)
def affine(gmm: Mixture, matrix: ArrayLike, shift: ArrayLike | None = None) -> GMM:
    r"""The mixture of :math:`A x + b` for x of a mixture.

    .. math:: \sum_k \pi_k N(A \mu_k + b, A \Sigma_k A^T)

    Args:
      gmm: the mixture.
      matrix: A, (D', D) with linearly independent rows, so D' <= D. Dependent rows are an error
        where the matrix is concrete. Under a transformation of JAX they give meaningless numbers.
      shift: b, (D',), or None for 0.

    Returns:
      The mixture in D' dimensions. It is "tied" if all components share one, else "full".

    Raises:
      TypeError: gmm is not a GMM.
      TypeError: matrix or shift does not consist of real numbers.
      ValueError: a parameter of gmm, matrix or shift is not finite.
      ValueError: matrix or shift has another shape.
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


@validated_jit(one_space)
def convolve(p: Mixture, q: Mixture) -> GMM:
    r"""The mixture of x + y for independent x of p and y of q.

    .. math:: (p * q)(z) = \sum_{kj} \pi_k \omega_j N(z; \mu_k + \mu_j, \Sigma_k + \Sigma_j)

    If q is one Gaussian with mean 0, the result is p smoothed by q.

    Args:
      p: a mixture.
      q: the other mixture, in the same space.

    Returns:
      The mixture of K_p K_q components, component j of q fastest, in the less restricted of the two
      covariance types.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite.
      ValueError: their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [5.0]], [1.0, 2.0], "spherical")
      >>> noise = GMM.from_moments([1.0], [[0.0]], [0.25], "spherical")
      >>> print(convolve(p, noise).covariances[:, 0])
      [1.25 2.25]
    """
    loc = (p.loc[:, None] + q.loc[None]).reshape(-1, p.num_dims)
    return GMM(_log_weights_of_pairs(p, q).ravel(), loc, *leaves_of_sums(p, q))


@validated_jit(one_space)
def product(p: Mixture, q: Mixture) -> tuple[GMM, Array]:
    r"""The normalised product of two densities, and the logarithm of its normaliser.

    .. math:: \frac{p(x) q(x)}{Z}, \quad Z = \int p q

    A product of components is Gaussian, with :math:`C = (\Sigma_k^{-1} + \Sigma_j^{-1})^{-1}`:

    .. math:: p_k q_j = N(\mu_k; \mu_j, \Sigma_k + \Sigma_j)
              N\left(x; C (\Sigma_k^{-1} \mu_k + \Sigma_j^{-1} \mu_j), C\right)

    Args:
      p: a mixture.
      q: the other mixture, in the same space.

    Returns:
      The mixture, with components as in `convolve`, and the scalar log Z, which does not underflow.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite.
      ValueError: their dimensions differ.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> both, log_normaliser = product(p, q)
      >>> print(both.means, both.covariances, f"{log_normaliser:.4f}")
      [[1.]] [[0.5]] -2.2655

    References:
      Bromiley, Products and convolutions of Gaussian probability density functions, Tina memo
      2003-003.
    """
    weighted = (_log_weights_of_pairs(p, q) + component_overlaps(p, q)[1]).ravel()
    log_normaliser = jax.nn.logsumexp(weighted)
    loc, leaves = _products(p, q)
    return GMM(weighted - log_normaliser, loc, *leaves), log_normaliser


def _selected(gmm: GMM, dims: np.ndarray) -> GMM:
    """The mixture of these coordinates."""
    return GMM(gmm.logits, gmm.loc[:, dims], *scale_of(gmm).select(dims))


def _diagonal_products(p: GMM, q: GMM) -> tuple[Array, Leaves]:
    a, b = _paired(p, q, p.log_diag, q.log_diag)
    start, end = _paired(p, q, p.loc, q.loc)
    loc = start + jax.nn.sigmoid(2 * (a - b)) * (end - start)
    return loc, (-0.5 * jnp.logaddexp(-2 * a, -2 * b), None)


def _triangular_products(p: GMM, q: GMM) -> tuple[Array, Leaves]:
    a, b = _paired(p, q, inv_tril(scale_of(p).rows()), inv_tril(scale_of(q).rows()))
    start, end = _paired(p, q, p.loc, q.loc)
    # [A^T B^T] is a root of the precision. With the coordinates reversed, the inverse of its
    # triangle is L^T, reversed as well.
    lower = tril_of(jnp.concatenate([a.mT, b.mT], axis=2)[:, ::-1])[1].mT[:, ::-1, ::-1]
    step = (end - start)[:, :, None]
    for factor in (b, b.mT, lower.mT, lower):  # C B^T B (mu_j - mu_k), as vectors all the way
        step = matmul(factor, step)
    return start + step[:, :, 0], pack_tril(lower)


def _diagonal_sums(p: GMM, q: GMM) -> Leaves:
    a, b = _paired(p, q, p.log_diag, q.log_diag)
    return 0.5 * jnp.logaddexp(2 * a, 2 * b), None


def _triangular_sums(p: GMM, q: GMM) -> Leaves:
    roots = jnp.concatenate(_paired(p, q, scale_of(p).rows(), scale_of(q).rows()), axis=2)
    return pack_tril(tril_of(roots)[0])


def _log_weights_of_pairs(p: GMM, q: GMM) -> Array:
    """The log-weights log pi_k + log omega_j of all pairs of components, (K_p, K_q)."""
    return p.log_weights[:, None] + q.log_weights[None]


def _paired(p: GMM, q: GMM, a: Array, b: Array) -> tuple[Array, Array]:
    """Rows a of p and b of q, K or 1 each, for all K_p K_q pairs, or 1 row if both have 1."""
    pairs = (1, 1) if len(a) == len(b) == 1 else (p.num_components, q.num_components)
    a = jnp.broadcast_to(a[:, None], pairs + a.shape[1:])
    b = jnp.broadcast_to(b[None], pairs + b.shape[1:])
    return a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:])


leaves_of_sums = by_structure(_diagonal_sums, _triangular_sums)
"""The leaves log_diag and off_diag of Sigma_k + Sigma_j for all pairs of components."""

_products = by_structure(_diagonal_products, _triangular_products)
"""The means and the leaves of the normalised products of all pairs of components."""
