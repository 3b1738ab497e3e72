"""Maximum likelihood fits of mixtures to data, by the EM algorithm."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import ArrayLike

from jaxgmm._fit.em_runs import EMResult, fitted, problem_of, starts_of
from jaxgmm._mixture.initialization import pooled_scales
from jaxgmm._mixture.moments import CovarianceType, Data
from jaxgmm._mixture.validation import Mixture
from jaxgmm._validation.arguments import (
    PositiveFloat,
    PositiveInt,
    RequiredKey,
    StaticPositiveNumber,
)
from jaxgmm._validation.checks import check_concrete, checked_int, finite_array
from jaxgmm._validation.validated_jit import Check, validated


def _sample_weight(name: str, weights: Any) -> Any:
    if isinstance(weights, Tracer):
        return weights
    weights = finite_array(name, weights)
    if weights.min(initial=0) < 0:
        raise ValueError(f"{name} must not be negative, but {name}[{weights.argmin()}] is")
    if not weights.any():
        raise ValueError(f"{name} must not be all zero")
    return weights


def _counts(name: str, counts: Any) -> tuple[int, ...]:
    if not isinstance(counts, range | list | tuple) or not counts:
        raise TypeError(f"{name} must be a range or a list such as range(1, 9), got {counts!r}")
    return tuple(checked_int(f"{name}[{i}]", count) for i, count in enumerate(counts))


SampleWeight = Annotated[ArrayLike, Check(_sample_weight)]
Counts = Annotated[Sequence[int], Check(_counts, static=True)]


def _weighted_rows(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, with weights as an array like x, or an error if no fit has these rows."""
    x, weights = arguments["x"], arguments.get("sample_weight")
    weights = np.ones(len(x), x.dtype) if weights is None else weights
    if weights.shape != x.shape[:1]:
        needed = f"shape {x.shape[:1]}, one weight for each row of x, got {weights.shape}"
        raise ValueError(f"sample_weight must have {needed}")
    if not isinstance(x, Tracer) and not isinstance(weights, Tracer):
        has_weight = np.asarray(weights) > 0
        rows = np.asarray(x) if has_weight.all() else np.asarray(x)[has_weight]
        check_that_columns_vary("x", rows)
        _check_distinct(rows, max(arguments.get("counts") or (arguments["num_components"],)))
    return {**arguments, "sample_weight": jnp.asarray(weights).astype(x.dtype)}


def check_that_columns_vary(
    name: str, rows: np.ndarray, names: Sequence[str] | None = None
) -> None:
    for d in np.flatnonzero(rows.min(0) == rows.max(0)).tolist():
        problem = f"column {names[d] if names else d} of {name} is constant, {rows[0, d]:g}"
        raise ValueError(f"{problem}: leave it out")


def _check_distinct(rows: np.ndarray, num_components: int) -> None:
    # The first rows nearly always suffice, and all of them take long to sort.
    for some in (rows[: 10 * num_components], rows):
        distinct = len(np.unique(some, axis=0))
        if distinct >= num_components:
            return
    problem = f"x has {distinct} distinct rows, too few for {num_components} components"
    raise ValueError(f"{problem}: reduce num_components")


def _alike_start(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of `fit_em`, with the start in the dtype of x, or an error if it is unlike."""
    arguments = _weighted_rows(arguments)
    start, x, k = arguments.get("start"), arguments["x"], arguments["num_components"]
    if start is None:
        return arguments
    kind = arguments.get("covariance_type", "full")
    if start.loc.shape != (k, x.shape[1]):
        got = f"has K = {start.num_components} and D = {start.num_dims}"
        raise ValueError(f"start {got}, but num_components is {k} and x has {x.shape[1]} columns")
    scales = jax.eval_shape(lambda x: pooled_scales(x, 1.0, k, kind), x)
    if jax.tree.map(jnp.shape, (start.log_diag, start.off_diag)) != jax.tree.map(jnp.shape, scales):
        problem = f"start has covariance_type {start.covariance_type!r} (log_diag of shape"
        raise ValueError(f"{problem} {start.log_diag.shape}), but covariance_type is {kind!r}")
    return {**arguments, "start": jax.tree.map(lambda a: a.astype(x.dtype), start)}


@validated(_alike_start)
def fit_em(
    key: RequiredKey,
    x: Data,
    num_components: PositiveInt,
    covariance_type: CovarianceType = "full",
    *,
    sample_weight: SampleWeight | None = None,
    num_starts: PositiveInt = 10,
    start: Mixture | None = None,
    reg_covar: PositiveFloat = 1e-6,
    tol: StaticPositiveNumber = 1e-6,
    max_steps: PositiveInt = 1000,
) -> EMResult:
    r"""The mixture of greatest likelihood for data, as far as EM finds it from several starts.

    .. math:: \max_p \frac{1}{\sum_i w_i} \sum_i w_i \log p(x_i)

    A row of weight 2 counts as two equal rows. Inside, each column is divided by its standard
    deviation, so the fit does not depend on units; a spherical fit, which means one common unit,
    divides all columns by one number. The starts, by k-means and by points alone in turns, take
    steps until one gains less than 1e-3 nats per row. The best goes on. The points pass in blocks,
    so beside a copy of the data the memory does not grow with their number.

    Args:
      key: a random key for the starts.
      x: points (n, D).
      num_components: K.
      covariance_type: "full", "tied", "diag" or "spherical".
      sample_weight: (n,), not negative; None weighs all rows alike.
      num_starts: the number of starts.
      start: a mixture to start from instead, such as ``result.params``.
      reg_covar: what each step adds to the variances, as a share of the variance of each column,
        or of their mean for spherical covariances.
      tol: the fit has converged when a step gains at most this, in nats per row.
      max_steps: the most steps from one start.

    Returns:
      An `EMResult` in the dtype of x. A keyboard interrupt ends the fit with a warning and the best
      mixture so far. A fit that has not converged gives a warning, except under `jax.jit`.

    Raises:
      TypeError: an argument has the wrong type, or x is a masked array.
      ValueError: x is not a finite array (n, D), has a constant column, or has fewer distinct rows
        than num_components.
      ValueError: sample_weight has another shape, is negative somewhere or 0 everywhere.
      ValueError: start has another shape or covariance type.
      ValueError: a number is not positive, or covariance_type is unknown.

    Example:
      >>> x = np.array([[0.0], [0.2], [0.4], [9.0], [9.2], [9.4]])
      >>> result = fit_em(jax.random.key(0), x, 2)
      >>> print(np.sort(result.params.means[:, 0]).round(2), result.params.weights)
      [0.2 9.2] [0.5 0.5]

    References:
      Dempster, Laird and Rubin, JRSS B 39 (1977). Biernacki, Celeux and Govaert, CSDA 41 (2003),
      for short runs from several starts.
    """
    problem = problem_of(x, sample_weight, reg_covar, covariance_type)
    if start is None:
        sizes = num_components, num_starts, covariance_type, num_components
        starts = starts_of(key, problem, *sizes)
    else:
        starts = jax.tree.map(lambda leaf: leaf[None], problem.units.inside(start))
    return fitted(problem, starts, tol, max_steps, num_components)


class ComponentTable(NamedTuple):
    """The fits of `select_components`, and the best of them.

    Attributes:
      counts: (M,), the numbers of components.
      bics: (M,), the Bayesian information criterion of each fit.
      log_likelihoods: (M,), in nats per row.
      num_components: the count of the least criterion.
      result: the `EMResult` of that count.
    """

    counts: np.ndarray
    bics: np.ndarray
    log_likelihoods: np.ndarray
    num_components: int
    result: EMResult


def _concrete(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, value in arguments.items():
        check_concrete(name, value, "select_components")
    return _weighted_rows(arguments)


@validated(_concrete)
def select_components(
    key: RequiredKey,
    x: Data,
    counts: Counts,
    covariance_type: CovarianceType = "full",
    *,
    sample_weight: SampleWeight | None = None,
    num_starts: PositiveInt = 10,
    reg_covar: PositiveFloat = 1e-6,
    tol: StaticPositiveNumber = 1e-6,
    max_steps: PositiveInt = 1000,
) -> ComponentTable:
    r"""Fits of several numbers of components, and the best one by the BIC.

    .. math:: \mathrm{BIC} = m \log \sum_i w_i - 2 \sum_i w_i \log p(x_i)

    Here m is the number of parameters. One compiled program serves all counts.

    Args:
      key: a random key.
      x: points (n, D).
      counts: the numbers of components, such as ``range(1, 9)``.
      covariance_type, sample_weight, num_starts, reg_covar, tol, max_steps: as in `fit_em`.

    Returns:
      A `ComponentTable`.

    Raises:
      TypeError, ValueError: as in `fit_em`, or counts are not positive integers, or x is traced.

    Example:
      >>> x = np.random.default_rng(0).normal([[0.0], [9.0]], size=(2, 100)).reshape(200, 1)
      >>> select_components(jax.random.key(0), x, range(1, 4)).num_components
      2

    References:
      Schwarz, Estimating the dimension of a model, Annals of Statistics 6 (1978).
    """
    problem, most = problem_of(x, sample_weight, reg_covar, covariance_type), max(counts)
    results: list[EMResult] = []
    for count in counts:
        starts = starts_of(key, problem, most, num_starts, covariance_type, count)
        results.append(fitted(problem, starts, tol, max_steps, count))
    bics, values = np.array([(result.bic, result.log_likelihood) for result in results]).T
    best = int(bics.argmin())

    def used(leaf: Array) -> Array:
        return leaf[: counts[best]] if len(leaf) == most else leaf

    result = dataclasses.replace(results[best], params=jax.tree.map(used, results[best].params))
    return ComponentTable(np.array(counts), bics, values, counts[best], result)
