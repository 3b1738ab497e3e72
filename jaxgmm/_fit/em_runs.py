"""Runs of the EM algorithm from several starts, in units in which all columns are alike."""

import dataclasses
import functools
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxgmm._fit.em_steps import Units, column_scales, em_step
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.initialization import kmeans, kmeans_plus_plus, pooled_scales, residuals
from jaxgmm._mixture.read_out import Result
from jaxgmm._numerics.transforms import exportable

ROUGH_TOL = 1e-3  # for all starts, of which the best goes on
LLOYD_STEPS = 30  # of every other start
OPERATIONS = 10**9  # between two answers to the keyboard


@exportable
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EMResult(Result):
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


class Problem(NamedTuple):
    """Weighted points z (n, D), whose columns have mean 0 and standard deviation 1."""

    z: Array
    weights: Array  # (n,)
    floor: Array  # (D,)
    units: Units


class Run(NamedTuple):
    params: GMM
    log_likelihood: Array  # of params
    next: GMM  # one step after params
    num_steps: Array
    converged: Array


@functools.partial(jax.jit, static_argnames="covariance_type")
def problem_of(x: Array, weights: Array, reg_covar: ArrayLike, covariance_type: str) -> Problem:
    units = column_scales(x, weights, covariance_type)
    floor = jnp.full_like(units.centre, reg_covar)
    return Problem((x - units.centre[None]) / units.factor[None], weights, floor, units)


@functools.partial(jax.jit, static_argnames=("num_components", "num_starts", "covariance_type"))
def starts_of(
    key: Array,
    problem: Problem,
    num_components: int,
    num_starts: int,
    covariance_type: str,
    num_used: ArrayLike,
) -> GMM:
    """A stack of starts, in which ``num_used`` of the components have weight."""
    n, d = problem.z.shape
    most = max(16 * num_components, 2**18 // d)
    is_used = jnp.arange(num_components) < num_used
    zero = jnp.zeros(num_components, problem.z.dtype)

    def start(key_and_steps: tuple[Array, Array]) -> GMM:
        (key, num_steps), z, weights = key_and_steps, problem.z, problem.weights
        if n > most:  # so many rows, drawn by their weights, suffice to start from
            key, row_key = jax.random.split(key)
            rows = jax.random.choice(row_key, n, (most,), p=weights / weights.sum())
            z, weights = z[rows], jnp.ones_like(weights[:most])
        centres = kmeans_plus_plus(key, z, num_components, weights)
        centres = jnp.where(is_used[:, None], centres, centres[:1])
        centres = kmeans(z, weights, centres, is_used, num_steps)
        centres = jnp.where(is_used[:, None], centres, centres[:1])
        r = residuals(z, centres) * jnp.sqrt(weights / weights.mean())[:, None]
        scales = pooled_scales(r, problem.floor[0], num_components, covariance_type)
        return GMM(jnp.where(is_used, zero, -jnp.inf), centres, *scales)

    # Compact clusters are found sooner by k-means. Where few columns tell clusters apart, k-means
    # cuts along the others, and points alone are the better start.
    num_steps = jnp.where(jnp.arange(num_starts) % 2 == 0, LLOYD_STEPS, 0)
    return jax.lax.map(start, (jax.random.split(key, num_starts), num_steps))


def progress(problem: Problem, starts: GMM, tol: float, max_steps: int) -> Iterator[Run]:
    """The runs, after a few steps each time: all of them to a rough tolerance, the best to tol."""
    (n, d), (num_starts, k, _) = problem.z.shape, starts.loc.shape
    few = max(1, OPERATIONS // (n * d * k * num_starts))
    is_traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((problem, starts)))
    limit = max_steps if is_traced else few
    # NumPy compiles no programs for what is not traced.
    infinite: Any = np.full(num_starts, -np.inf, starts.loc.dtype)
    taken: Any = np.full(num_starts, -1, np.int32)  # as the first step only evaluates the start
    unfinished: Any = np.zeros(num_starts, bool)
    runs = Run(starts, infinite, starts, taken, unfinished)
    for level in (max(tol, ROUGH_TOL), tol):
        over: Any = False
        while not over:
            runs = _advanced(problem, runs, np.asarray(level, infinite.dtype), max_steps, limit)
            yield runs
            over = (
                is_traced
                or (np.asarray(runs.converged) | (np.asarray(runs.num_steps) >= max_steps)).all()
            )
        runs = _best_reopened(runs)


@jax.jit
def _advanced(
    problem: Problem, runs: Run, tol: ArrayLike, max_steps: ArrayLike, limit: ArrayLike
) -> Run:
    """The runs that have not converged, after at most ``limit`` more steps each."""

    def step(now: Run) -> Run:
        after, value = em_step(now.next, problem.z, problem.weights, problem.floor)
        gain = value - now.log_likelihood
        forward = Run(now.next, value, after, now.num_steps + np.int32(1), gain <= tol)
        # A step loses by rounding alone, or as the floor acts.
        end = now._replace(converged=jnp.ones((), bool))
        return jax.tree.map(functools.partial(jnp.where, gain >= 0), forward, end)

    def advanced(run: Run) -> Run:
        last = jnp.minimum(run.num_steps + limit, max_steps)
        return jax.lax.while_loop(lambda now: ~now.converged & (now.num_steps < last), step, run)

    # One after the other, each takes its own number of steps; a batch is no faster for a step.
    return jax.lax.map(advanced, runs)


@jax.jit
def _best_reopened(runs: Run) -> Run:
    return runs._replace(converged=jnp.arange(len(runs.num_steps)) != _best(runs))


def _best(runs: Run) -> Array:
    value = runs.log_likelihood
    return jnp.where(jnp.isnan(value), -jnp.inf, value).argmax()


@jax.jit
def best_in_units(problem: Problem, runs: Run, num_used: ArrayLike) -> tuple[Run, Array]:
    """The best run, with its mixture and likelihood in the units of x, and its BIC."""
    best = _best(runs)
    run = jax.tree.map(lambda leaf: leaf[best], runs)
    k, d = run.params.loc.shape
    params = problem.units.outside(run.params)
    per_row = sum(leaf.shape[1] for leaf in (params.log_diag, params.off_diag) if leaf is not None)
    num_rows = num_used if len(params.log_diag) == k else 1
    num_params = num_used * (d + 1) - 1 + num_rows * per_row
    value = run.log_likelihood - jnp.log(problem.units.factor).sum()
    total = problem.weights.sum()
    bic = num_params * jnp.log(total) - 2 * total * value
    return run._replace(params=params, log_likelihood=value), bic


def fitted(problem: Problem, starts: GMM, tol: float, max_steps: int, num_used: int) -> EMResult:
    """The result from these starts, or of the steps before a keyboard interrupt."""
    runs: Run | None = None
    end = "has not converged in"
    try:
        for now in progress(problem, starts, tol, max_steps):
            runs = now
    except KeyboardInterrupt:
        if runs is None:
            raise
        runs = runs._replace(converged=jnp.zeros_like(runs.converged))
        end = "was interrupted after"
    assert runs is not None  # as the first steps are always taken
    run, bic = best_in_units(problem, runs, num_used)
    if not isinstance(run.converged, Tracer) and not run.converged:
        message = f"fit_em of {num_used} components {end} {int(run.num_steps)} steps"
        mend = "this is the best mixture so far"
        warnings.warn(f"{message}; {mend}", RuntimeWarning, stacklevel=4)
    return EMResult(run.params, run.log_likelihood, bic, run.num_steps, run.converged)
