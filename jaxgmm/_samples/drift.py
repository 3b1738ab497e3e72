"""Whether data drift from period to period, since when, and in which columns."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._divergence.midpoint import js_divergence
from jaxgmm._divergence.pairwise import pairwise
from jaxgmm._fit.em import check_that_columns_vary
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import CovarianceType
from jaxgmm._mixture.read_out import Result
from jaxgmm._samples.comparison import (
    RULE,
    Settings,
    columns_alone,
    components_of,
    pooled_start,
)
from jaxgmm._samples.labellings import (
    Pooled,
    Progress,
    advancing,
    converged_fits,
    generator,
    in_batches,
)
from jaxgmm._samples.result import in_digits
from jaxgmm._samples.table import Columns, NumComponents, Table, TableLike, with_columns
from jaxgmm._samples.two_sample import Count
from jaxgmm._validation.arguments import RequiredKey
from jaxgmm._validation.checks import as_array, check_concrete
from jaxgmm._validation.validated_jit import Check, validated


def _labels(name: str, labels: Any) -> np.ndarray:
    check_concrete(name, labels, "a comparison of samples")
    array = as_array(labels)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "biufUSM":
        needed = "a sequence of numbers, dates or strings"
        raise TypeError(f"{name} must be {needed}, got {labels!r:.200}")
    return array


Labels = Annotated[Any, Check(_labels)]


def _rows_of_periods(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments with x as a table, or an error unless it has rows of several periods."""
    check_concrete("key", arguments["key"], "a comparison of samples")
    x, period = with_columns("x", arguments["x"], arguments.get("columns")), arguments["period"]
    if len(period) != len(x.rows):
        raise ValueError(f"period has {len(period)} labels for the {len(x.rows)} rows of x")
    check_that_columns_vary("x", x.rows, x.names)
    known = np.unique(period)
    baseline = arguments.get("baseline")
    missing = [] if baseline is None else [b for b in baseline if b not in known]
    if missing:
        raise ValueError(f"baseline: there is no period {missing[0]}")
    if len(known) == (1 if baseline is None else len(np.unique(baseline))):
        raise ValueError(f"period has no more labels than the baseline: {known!r:.200}")
    return {**arguments, "x": x}


@dataclasses.dataclass(frozen=True)
class DriftResult(Result):
    """The result of `drift`; its `str` says it in words.

    Attributes:
      periods: the P periods, in order.
      matrix: (P, P), the Jensen-Shannon divergences of the fits to the periods, in nats.
      chance_mean: the mean of those of two periods of permuted rows, NaN without permutations.
      chance_level: below it are all of these in 95 % of the permutations.
      p_values: for each period that was compared with its baseline, right for all of them together.
      first: the first period whose p value is at most 0.05, or None.
      columns: for each column, the divergence of the periods from the first on from those before,
        or from the baseline, and its p value by Holm's method. It is empty without drift.
    """

    periods: tuple[Any, ...]
    matrix: np.ndarray
    chance_mean: float
    chance_level: float
    p_values: dict[Any, float]
    first: Any
    columns: dict[str, tuple[float, float]]

    @property
    def moved(self) -> tuple[str, ...]:
        """The columns whose p value is at most 0.05."""
        return tuple(name for name, (_, p_value) in self.columns.items() if p_value <= 0.05)

    def __str__(self) -> str:
        upper = self.matrix[np.triu_indices(len(self.periods), 1)]
        of_matrix = f"Between periods JS {in_digits(upper.mean())} on average"
        if not self.p_values:
            return f"{of_matrix}. Without permutations, chance is not known"
        least = min(self.p_values.values())
        text = f"No drift: no period differs by more than chance, p = {least:.2g}"
        if self.first is not None:
            moved = ", ".join(self.moved) or "no column alone"
            text = f"Drift from {self.first} on, p = {self.p_values[self.first]:.2g}, in {moved}"
        by_chance, level = map(in_digits, (self.chance_mean, self.chance_level))
        return f"{text}. {of_matrix}; by chance {by_chance}, in 95 % below {level}"


@validated(_rows_of_periods)
def drift(
    key: RequiredKey,
    x: TableLike,
    period: Labels,
    num_components: NumComponents = "auto",
    *,
    baseline: Labels | None = None,
    covariance_type: CovarianceType = "full",
    num_permutations: Count = 199,
    columns: Columns | None = None,
    progress: Progress = False,
) -> DriftResult:
    r"""Whether data drift from period to period, since when, and in which columns.

    It assumes exchangeable rows, as `two_sample_test` does, with the same statistic. Each period is
    compared with its baseline, and the p value is how often the largest of all these divergences
    is as large for permuted rows, each in units of its own standard deviation.

    Args:
      key: a random key.
      x: rows (n, D), an array or a data frame of pandas or polars.
      period: (n,), the period of each row: numbers, dates or strings whose order is that in time.
      num_components: the number of components of each fit, or "auto", as for `two_sample_test`.
      baseline: the periods to compare all others with; None compares each with all before it.
      covariance_type: "full", "tied", "diag" or "spherical".
      num_permutations: the number of permutations; with 0 there is only the matrix.
      columns, progress: as for `two_sample_test`.

    Returns:
      A `DriftResult`.

    Raises:
      TypeError: an argument has the wrong type, or x is traced.
      ValueError: x is not finite, has a constant column, or has not one label of period for each
        row.
      ValueError: there are no periods beside the baseline, or columns names one that x lacks.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> month = np.repeat([1, 2, 3, 4], 100)
      >>> x = rng.normal(size=(400, 1)) + (month >= 3)[:, None]
      >>> print(drift(jax.random.key(0), x, month, 1, columns=["ink"]).first)
      3

    References:
      Westfall and Young, Resampling-based multiple testing (1993), for the largest of many.
    """
    of_start, of_draws, of_points, of_columns, of_number = jax.random.split(key, 5)
    periods, sample = np.unique(period, return_inverse=True)
    tested, is_before = _comparisons(periods, baseline)
    number = components_of(of_number, x.rows, num_components, covariance_type)
    settings = Settings(number, covariance_type, js_divergence, num_permutations, 0, False)
    pooled = Pooled.of(x.rows, sample, None, covariance_type)
    start = pooled_start(of_start, pooled.z, len(periods), settings)

    def packed(weights: np.ndarray) -> tuple[np.ndarray, ...]:
        before = pooled.packed(is_before @ weights, len(x.rows))
        return *pooled.packed(weights, int(pooled.sizes.max())), *before

    fits, _ = converged_fits(start, pooled.z, *packed(pooled.labelled(pooled.sample))[:2])
    matrix = np.asarray(pairwise(js_divergence, of_points, fits), float)
    known = tuple(periods.tolist()), matrix
    if not num_permutations:
        return DriftResult(*known, math.nan, math.nan, {}, None, {})
    labellings = map(packed, pooled.permuted(generator(of_draws), num_permutations))
    arrays = jax.tree.map(lambda a: np.asarray(a, np.float32), (start, pooled.z))
    program = functools.partial(_values, of_points, *arrays, tested)
    total = 1 + num_permutations
    values = in_batches(program, labellings, total, advancing(progress, total))
    p_values, chance = _of_largest(values[:, : len(tested)]), values[1:, len(tested) :]
    first, moved = None, {}
    if p_values.min() <= 0.05:
        t = int((p_values <= 0.05).argmax())
        first, parts = periods[tested[t]].item(), (is_before[t][sample] > 0, sample >= tested[t])
        moved = _columns_moved(of_columns, x, *parts, settings, progress)
    of_periods = dict(zip(periods[tested].tolist(), p_values.tolist(), strict=True))
    return DriftResult(*known, *_levels(chance), of_periods, first, moved)


def _levels(chance: np.ndarray) -> tuple[float, float]:
    """The mean, and what the largest of each permutation exceeds in 5 % of them."""
    return float(chance.mean()), float(np.quantile(chance.max(1), 0.95))


def _columns_moved(
    key: Array, x: Table, before: np.ndarray, after: np.ndarray, settings: Settings, progress: Any
) -> dict[str, tuple[float, float]]:
    """Each column in the baseline and in the periods from the first on, alone."""
    used, number = before | after, settings.num_fits_alone(x.rows.shape[1])
    settings = settings._replace(advance=advancing(progress, number))
    values, p_values, _ = columns_alone(key, x.rows[used], 1 * ~before[used], None, settings)
    columns = zip(values, p_values.tolist(), strict=True)
    return dict(zip(x.names or (), columns, strict=True))


def _comparisons(periods: np.ndarray, baseline: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the periods to test, and for each which periods are its baseline."""
    if baseline is None:
        return np.arange(1, len(periods)), np.tri(len(periods), k=-1)[1:]
    is_fixed = np.isin(periods, baseline)
    return np.flatnonzero(~is_fixed), np.tile(1.0 * is_fixed, ((~is_fixed).sum(), 1))


@jax.jit
def _values(
    key: Array,
    start: GMM,
    z: Array,
    tested: Array,
    rows: Array,
    weights: Array,
    rows_before: Array,
    weights_before: Array,
) -> Array:
    """JS of periods and baselines after one EM step, and of all pairs of periods after the last."""

    def of_labelling(labelling: tuple[Array, ...]) -> Array:
        rows, weights, rows_before, weights_before = labelling
        first, _ = converged_fits(start, z, rows, weights, 1)
        of_tested = jax.tree.map(lambda a: a[tested], start)
        baselines, _ = converged_fits(of_tested, z, rows_before, weights_before, 1)
        pairs = baselines, jax.tree.map(lambda a: a[tested], first)
        ranked = jax.lax.map(lambda pair: js_divergence(key, pair[0], pair[1], RULE), pairs)
        last, _ = converged_fits(start, z, rows, weights)
        matrix = pairwise(js_divergence, key, last, rule=RULE)
        return jnp.concatenate([ranked, matrix[np.triu_indices(len(matrix), 1)]])

    return jax.lax.map(of_labelling, (rows, weights, rows_before, weights_before))


def _of_largest(ranked: np.ndarray) -> np.ndarray:
    """The p values of the first row, each against the largest of every row, in common units."""
    if not len(ranked):  # interrupted before the first
        raise KeyboardInterrupt
    units = ranked.std(0) + np.finfo(np.float32).tiny
    scores = (ranked - ranked.mean(0)) / units
    return (scores.max(1)[:, None] >= scores[0] - 1e-5).mean(0)
