"""Maximum likelihood fits of mixtures to data, by the EM algorithm."""

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import ArrayLike

from jaxgmm._fit.em_steps import column_scales, em_step
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.initialization import kmeans_plus_plus, pooled_scales, residuals
from jaxgmm._mixture.moments import CovarianceType, checked_data
from jaxgmm._mixture.read_out import moments_of
from jaxgmm._mixture.validation import Mixture
from jaxgmm._validation.arguments import PositiveFloat, PositiveInt, RequiredKey
from jaxgmm._validation.checks import checked_int, finite_array
from jaxgmm._validation.validated_jit import Check, validated

ROUGH_TOL = 1e-3  # to which all starts are fitted; the best of them goes on
OPERATIONS = 10**9  # between two answers to the keyboard


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EMResult:
    """The result of `fit_em`, a pytree of arrays.

    Attributes:
      params: the mixture.
      log_likelihood: its weighted mean log-likelihood, in nats per row.
      bic: the Bayesian information criterion, which is least for the best model.
      num_steps: the number of steps from the start to params.
      converged: whether the last step gained at most the tolerance.
    """

    params: GMM
    log_likelihood: Array
    bic: Array
    num_steps: Array
    converged: Array

    def to_dict(self) -> dict[str, Any]:
        """The result in plain numbers and lists, as `json` writes them."""
        moments = {
            name: value if isinstance(value, str) else value.tolist()
            for name, value in moments_of(self.params)._asdict().items()
        }
        fields = [field.name for field in dataclasses.fields(self)][1:]
        return {**moments, **{name: np.asarray(getattr(self, name)).item() for name in fields}}


class _Run(NamedTuple):
    """The state of a run of EM from one start."""

    params: GMM
    log_likelihood: Array  # of params
    next: GMM  # params after one more step
    num_steps: Array
    converged: Array


class _Problem(NamedTuple):
    """The data of a fit, in units in which each column has mean 0 and standard deviation 1."""

    z: Array  # (n, D)
    weights: Array  # (n,)
    floor: Array  # (D,)
    centre: Array  # (D,)
    factor: Array  # (D,), with x = centre + factor * z


def _rows(name: str, x: Any) -> Array:
    if isinstance(x, np.ma.MaskedArray):
        mend = "drop or impute these rows, and pass a plain array"
        raise TypeError(f"{name} is a masked array with {np.ma.count_masked(x)} masks: {mend}")
    if isinstance(x, np.ndarray | Array) and not isinstance(x, Tracer) and x.ndim == 2:
        is_floating = jnp.issubdtype(x.dtype, jnp.floating)
        bad = np.flatnonzero(~np.isfinite(np.asarray(x)).all(1)) if is_floating else ()
        if len(bad):
            rows = f"in {len(bad)} of {len(x)} rows, first in row {bad[0]}"
            raise ValueError(f"{name} holds NaN or infinity {rows}: drop or impute these rows")
    return checked_data(name, x)


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
    if not isinstance(counts, Sequence) or isinstance(counts, str) or not len(counts):
        raise TypeError(f"{name} must be a sequence such as range(1, 9), got {counts!r}")
    return tuple(checked_int(f"{name}[{i}]", count) for i, count in enumerate(counts))


Rows = Annotated[ArrayLike, Check(_rows)]
SampleWeight = Annotated[ArrayLike, Check(_sample_weight)]
Counts = Annotated[Sequence[int], Check(_counts, static=True)]


def _weighted_rows(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, with weights as an array like x, or an error if the rows make no fit."""
    x, weights = arguments["x"], arguments.get("sample_weight")
    weights = np.ones(len(x)) if weights is None else weights
    if weights.shape != x.shape[:1]:
        needed = f"shape {x.shape[:1]}, one weight for each row of x, got {weights.shape}"
        raise ValueError(f"sample_weight must have {needed}")
    if not isinstance(x, Tracer) and not isinstance(weights, Tracer):
        counts = arguments.get("counts") or (arguments["num_components"],)
        _check_variety(np.asarray(x)[np.asarray(weights) > 0], max(counts))
    return {**arguments, "sample_weight": jnp.asarray(weights).astype(x.dtype)}


def _check_variety(x: np.ndarray, num_components: int) -> None:
    """Raise if a column is constant, or fewer rows are distinct than there are components."""
    constant = np.flatnonzero(x.min(0) == x.max(0))
    if len(constant):
        column = constant[0]
        problem = f"column {column} of x is constant ({x[0, column]:g}), so it has no density"
        raise ValueError(f"{problem}: leave it out")
    # The first rows nearly always suffice, and all of them take long to sort.
    for rows in (x[: 10 * num_components], x):
        distinct = len(np.unique(rows, axis=0))
        if distinct >= num_components:
            return
    problem = f"x has {distinct} distinct rows, too few for {num_components} components"
    raise ValueError(f"{problem}: reduce num_components")


def _alike_start(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of `fit_em`, with the start in the dtype of x, or an error if it is unlike."""
    arguments = _weighted_rows(arguments)
    start, k, d = arguments.get("start"), arguments["num_components"], arguments["x"].shape[1]
    if start is None:
        return arguments
    kind = arguments.get("covariance_type", "full")
    if start.loc.shape != (k, d):
        got = f"has K = {start.num_components} and D = {start.num_dims}"
        raise ValueError(f"start {got}, but num_components is {k} and x has {d} columns")
    rows, columns = 1 if kind == "tied" else k, 1 if kind == "spherical" else d
    off_diag = (rows, d * (d - 1) // 2) if kind in ("full", "tied") else None
    has = None if start.off_diag is None else start.off_diag.shape
    if (start.log_diag.shape, has) != ((rows, columns), off_diag):
        problem = f"start has covariance_type {start.covariance_type!r} (log_diag of shape"
        raise ValueError(f"{problem} {start.log_diag.shape}), but covariance_type is {kind!r}")
    return {**arguments, "start": jax.tree.map(lambda a: a.astype(arguments["x"].dtype), start)}


@validated(_alike_start)
def fit_em(
    key: RequiredKey,
    x: Rows,
    num_components: PositiveInt,
    covariance_type: CovarianceType = "full",
    *,
    sample_weight: SampleWeight | None = None,
    num_starts: PositiveInt = 10,
    start: Mixture | None = None,
    reg_covar: PositiveFloat = 1e-6,
    tol: PositiveFloat = 1e-6,
    max_steps: PositiveInt = 1000,
) -> EMResult:
    r"""The mixture of locally greatest likelihood of data, by EM from several starts.

    .. math:: \max_p \; \frac{1}{\sum_i w_i} \sum_i w_i \log p(x_i)
    """
    problem = _problem(x, sample_weight, reg_covar, covariance_type)
    if start is None:
        options = num_components, num_starts, covariance_type
        starts = _starts(key, problem, *options, num_components)
    else:
        starts = jax.tree.map(lambda leaf: leaf[None], _standardised(start, problem))
    runs = _last_of_runs(problem, starts, tol, max_steps)
    result = _result(problem, runs, num_components)
    if not isinstance(result.converged, Tracer) and not result.converged:
        problem = f"fit_em has not converged in {int(result.num_steps)} steps"
        warnings.warn(f"{problem}; raise max_steps or tol", RuntimeWarning, stacklevel=3)
    return result


@functools.partial(jax.jit, static_argnames="covariance_type")
def _problem(x: Array, weights: Array, reg_covar: Array, covariance_type: str) -> _Problem:
    centre, factor = column_scales(x, weights, covariance_type)
    floor = jnp.full_like(centre, reg_covar)
    return _Problem((x - centre[None]) / factor[None], weights, floor, centre, factor)


def _standardised(gmm: GMM, problem: _Problem) -> GMM:
    """The mixture of z, from one of x = centre + factor * z."""
    loc = (gmm.loc - problem.centre[None]) / problem.factor[None]
    return dataclasses.replace(_stretched(gmm, 1 / problem.factor), loc=loc)


def _stretched(gmm: GMM, factor: Array) -> GMM:
    """The mixture of factor * z."""
    log_diag = gmm.log_diag + jnp.log(factor)[None, : gmm.log_diag.shape[1]]
    rows = np.tril_indices(gmm.num_dims, -1)[0]
    off_diag = None if gmm.off_diag is None else gmm.off_diag * factor[rows][None]
    return GMM(gmm.logits, gmm.loc * factor[None], log_diag, off_diag)


@functools.partial(jax.jit, static_argnames=("num_components", "num_starts", "covariance_type"))
def _starts(
    key: Array,
    problem: _Problem,
    num_components: int,
    num_starts: int,
    covariance_type: str,
    num_used: Array,
) -> GMM:
    """A stack of starts by k-means++, of which ``num_used`` components have weight."""
    n, d = problem.z.shape
    most = max(16 * num_components, 2**18 // d)
    is_used = jnp.arange(num_components) < num_used

    def start(key: Array) -> GMM:
        z, weights = problem.z, problem.weights
        if n > most:  # so many rows, drawn by their weights, suffice to start from
            key, of_rows = jax.random.split(key)
            rows = jax.random.choice(of_rows, n, (most,), p=weights / weights.sum())
            z, weights = z[rows], jnp.ones_like(weights[:most])
        centres = kmeans_plus_plus(key, z, num_components, weights)
        centres = jnp.where(is_used[:, None], centres, centres[:1])
        r = residuals(z, centres) * jnp.sqrt(weights / weights.mean())[:, None]
        scales = pooled_scales(r, problem.floor[0], num_components, covariance_type)
        return GMM(jnp.where(is_used, z.dtype.type(0), z.dtype.type(-np.inf)), centres, *scales)

    return jax.lax.map(start, jax.random.split(key, num_starts))


@jax.jit
def _advanced(problem: _Problem, runs: _Run, tol: Array, max_steps: Array, limit: Array) -> _Run:
    """The runs that have not converged after at most ``limit`` more steps each."""

    def step(now: _Run) -> _Run:
        after, value = em_step(now.next, problem.z, problem.weights, problem.floor)
        gain = value - now.log_likelihood
        better = _Run(now.next, value, after, now.num_steps + np.int32(1), gain <= tol)
        # A step loses by rounding alone, or as the floor acts.
        end = now._replace(converged=jnp.ones((), bool))
        return jax.tree.map(functools.partial(jnp.where, gain >= 0), better, end)

    def advanced(run: _Run) -> _Run:
        last = jnp.minimum(run.num_steps + limit, max_steps)
        return jax.lax.while_loop(lambda now: ~now.converged & (now.num_steps < last), step, run)

    # One after the other, each takes its own number of steps, and a step as long as in a batch.
    return jax.lax.map(advanced, runs)


@jax.jit
def _best_reopened(runs: _Run) -> _Run:
    others = jnp.arange(len(runs.num_steps)) != _best(runs)
    return runs._replace(converged=others)


def _best(runs: _Run) -> Array:
    value = runs.log_likelihood
    return jnp.where(jnp.isnan(value), -jnp.inf, value).argmax()


def _progress(
    problem: _Problem, runs: _Run, tol: ArrayLike, max_steps: int, limit: int
) -> Iterator[_Run]:
    """The runs, time and again, as all go on to a rough tolerance, then the best of them to tol."""
    tol = jnp.asarray(tol, problem.z.dtype)
    for level in (jnp.maximum(tol, ROUGH_TOL), tol):
        over: Any = False
        while not over:
            runs = _advanced(problem, runs, level, max_steps, limit)
            yield runs
            over = (runs.converged | (runs.num_steps >= max_steps)).all()
            over = isinstance(over, Tracer) or over
        runs = _best_reopened(runs)


def _last_of_runs(problem: _Problem, starts: GMM, tol: ArrayLike, max_steps: int) -> _Run:
    (n, d), (num_starts, k, _) = problem.z.shape, starts.loc.shape
    is_traced = isinstance(starts.loc, Tracer)
    limit = max_steps if is_traced else max(1, OPERATIONS // (n * d * k * num_starts))
    start = jnp.full(num_starts, -jnp.inf, starts.loc.dtype), starts
    taken = jnp.full(num_starts, -1, np.int32)  # as the first step only evaluates the start
    runs = _Run(starts, *start, taken, jnp.zeros(num_starts, bool))
    try:
        for now in _progress(problem, runs, tol, max_steps, limit):
            runs = now
    except KeyboardInterrupt:
        message = f"fit_em was interrupted after {int(runs.num_steps.sum())} steps in all"
        warnings.warn(f"{message}; this is the best mixture so far", RuntimeWarning, stacklevel=4)
        runs = runs._replace(converged=jnp.zeros_like(runs.converged))
    return runs


@jax.jit
def _result(problem: _Problem, runs: _Run, num_used: Array) -> EMResult:
    """The best run in the units of x."""
    best = _best(runs)
    run = jax.tree.map(lambda leaf: leaf[best], runs)
    k, d = run.params.loc.shape
    params = _stretched(run.params, problem.factor)
    params = dataclasses.replace(params, loc=params.loc + problem.centre[None])
    per_row = run.params.log_diag.shape[1]
    per_row += 0 if run.params.off_diag is None else run.params.off_diag.shape[1]
    rows = num_used if len(run.params.log_diag) == k else 1
    num_params = (num_used * (d + 1) - 1 + rows * per_row).astype(problem.z.dtype)
    value = run.log_likelihood - jnp.log(problem.factor).sum()
    total = problem.weights.sum()
    bic = num_params * jnp.log(total) - 2 * total * value
    return EMResult(params, value, bic, run.num_steps, run.converged)
