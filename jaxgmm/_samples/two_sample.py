"""Whether two samples differ by more than chance, and by how much."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._divergence.midpoint import js_divergence
from jaxgmm._divergence.pairwise import DivergenceArg, between
from jaxgmm._expectation.estimate import estimate
from jaxgmm._mixture.combine import translate
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import CovarianceType
from jaxgmm._samples.columns import columns_compared
from jaxgmm._samples.comparison import RULE, Settings, compared, pair_of
from jaxgmm._samples.labellings import Progress
from jaxgmm._samples.result import TwoSampleResult
from jaxgmm._samples.table import Columns, Groups, Table, TableLike, two_tables
from jaxgmm._validation.arguments import Flag, PositiveInt, RequiredKey
from jaxgmm._validation.checks import checked_int
from jaxgmm._validation.validated_jit import Check, validated

NAMES = {"js_divergence": "JS", "kl_divergence": "KL", "jeffreys_divergence": "Jeffreys"}

Count = Annotated[int, Check(functools.partial(checked_int, at_least=0), static=True)]


@validated(two_tables)
def two_sample_test(
    key: RequiredKey,
    x: TableLike,
    y: TableLike,
    num_components: PositiveInt,
    divergence: DivergenceArg = js_divergence,
    *,
    covariance_type: CovarianceType = "full",
    num_permutations: Count = 199,
    num_bootstrap: Count = 199,
    columns: Columns | None = None,
    groups: Groups | None = None,
    by_column: Flag = False,
    progress: Progress = False,
) -> TwoSampleResult:
    """DOC"""
    table, sample, left_out = pooled_table(x, y)
    settings = Settings(
        num_components,
        covariance_type,
        divergence,
        num_permutations,
        num_bootstrap,
        by_column,
        progress,
    )
    of_all, of_value, of_columns = jax.random.split(key, 3)
    found = compared(of_all, table.rows, sample, groups, settings)
    value, error = _integrated(divergence, of_value, *pair_of(found.fits))
    chance, resampled = found.chance[:, 0], found.resampled[:, 0]
    excess = value - float(chance.mean()) if len(chance) else value
    interval = None
    if len(resampled):
        low, high = excess + resampled.mean() - np.quantile(resampled, [0.975, 0.025])
        interval = max(float(low), 0.0), max(float(high), 0.0)
    p, q = (translate(fit, jnp.asarray(found.centre, fit.loc.dtype)) for fit in pair_of(found.fits))
    details = of_columns, table, sample, groups, settings, found
    by_name = columns_compared(*details) if by_column else None
    sizes, p_value = (len(x.rows), len(y.rows)), float(found.p_values[0])
    head = value, error, chance, p_value, excess, interval, p, q
    return TwoSampleResult(*head, found.converged, sizes, _name(divergence), by_name, left_out)


def pooled_table(x: Table, y: Table) -> tuple[Table, np.ndarray, dict[str, str]]:
    """The rows of both, the sample of each, and the columns left out, with the reason."""
    rows = np.concatenate([x.rows, y.rows])
    sample = np.repeat([0, 1], [len(x.rows), len(y.rows)])
    is_left_out = (np.ptp(x.rows, 0) == 0) & (np.ptp(y.rows, 0) == 0)
    names = np.asarray(x.names)
    left_out = {
        str(names[d]): f"constant: {x.rows[0, d]:.10g} against {y.rows[0, d]:.10g}"
        for d in np.flatnonzero(is_left_out)
    }
    if is_left_out.all():
        raise ValueError(f"all columns are constant in x and in y, {left_out}: nothing is left")
    return Table(rows[:, ~is_left_out], tuple(names[~is_left_out].tolist())), sample, left_out


def _integrated(divergence: Callable[..., Any], key: Array, p: GMM, q: GMM) -> tuple[float, float]:
    """The divergence and the standard error of its integration, 0 for an exact divergence."""
    if "rule" not in inspect.signature(divergence).parameters:
        return float(between(divergence, key, RULE)(p, q)), 0.0
    result = estimate(divergence, key, p, q)
    return float(result.value), float(result.standard_error)


def _name(divergence: Callable[..., Any]) -> str:
    name = getattr(divergence, "__name__", "value")
    return NAMES.get(name, name.replace("_", " "))
