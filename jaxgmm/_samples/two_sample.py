"""Whether two samples differ by more than chance, and by how much."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import jax
import numpy as np
from jax import Array

from jaxgmm._divergence.midpoint import js_divergence
from jaxgmm._divergence.pairwise import DivergenceArg, between
from jaxgmm._expectation.estimate import estimate
from jaxgmm._mixture.combine import translate
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import CovarianceType
from jaxgmm._samples.comparison import (
    FINE_RULE,
    Settings,
    columns_compared,
    compared,
    components_of,
    pair_of,
)
from jaxgmm._samples.labellings import Progress, advancing
from jaxgmm._samples.result import TwoSampleResult
from jaxgmm._samples.table import (
    Columns,
    Groups,
    NumComponents,
    Table,
    TableLike,
    two_tables,
)
from jaxgmm._validation.arguments import Flag, RequiredKey
from jaxgmm._validation.checks import checked_int
from jaxgmm._validation.validated_jit import Check, validated

NAMES = {"js_divergence": "JS", "kl_divergence": "KL", "jeffreys_divergence": "Jeffreys"}

Count = Annotated[int, Check(functools.partial(checked_int, at_least=0), static=True)]


@validated(two_tables)
def two_sample_test(
    key: RequiredKey,
    x: TableLike,
    y: TableLike,
    num_components: NumComponents = "auto",
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
    r"""Whether two samples differ by more than chance, by how much, and in which columns.

    It assumes exchangeable rows: if nothing differs, every order of all rows is equally likely.
    With repeated subjects or dependence in time the p value is too small, unless ``groups`` names
    the subjects or spans of time, which are then permuted as wholes.

    .. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{1 + B}

    Both samples are fitted by EM from one start, a fit to all rows. T is the divergence of the fits
    after the first step, as later steps mostly follow noise, and T_b that of permuted rows. The p
    value is exact for any data and any num_components. ``value`` and ``chance`` are of converged
    fits.

    Args:
      key: a random key.
      x, y: rows (n, D) and (m, D), arrays or data frames of pandas or polars. Columns of two
        data frames are matched by their names.
      num_components: the number of components of each fit, chosen without regard to the samples;
        "auto" takes that of 1 to 8 which has the least BIC for all rows.
      divergence: a function of (key, p, q, rule) or of (p, q), such as `js_divergence`.
      covariance_type: "full", "tied", "diag" or "spherical".
      num_permutations: B. The least p value is 1 / (1 + B).
      num_bootstrap: the number of bootstrapped samples for the interval of the excess.
      columns: which columns to compare, by name, or by index in an array; or D names for those of
        an array.
      groups: a pair, with a label for each row of x and for each row of y. No group has rows in
        both.
      by_column: whether to test each column too, alone and beyond the others; see `Column`. It
        takes at least 25 permutations for each column, as Holm's method needs many.
      progress: True for a tqdm bar, or a function of the numbers of fits done and in all.

    Returns:
      A `TwoSampleResult`. A keyboard interrupt gives that of the permutations so far. Warnings tell
      of it, and of what makes a divergence that of the fits: few rows, few distinct values, or
      components at the floor, a millionth of the pooled variance.

    Raises:
      TypeError: an argument has the wrong type, or x or y is traced.
      ValueError: x or y has no rows, or holds NaN or infinity, in a row and column that are named.
      ValueError: the columns of x and y do not agree, or one is constant in both together.
      ValueError: a number is out of its range, or groups do not fit the rows.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> x, y = rng.normal(size=(100, 1)), rng.normal(size=(100, 1)) + 1
      >>> result = two_sample_test(jax.random.key(0), x, y, 1, num_bootstrap=0)
      >>> print(result.p_value)
      0.005

    References:
      Lehmann and Romano, Testing statistical hypotheses (2005), section 15.2.
      Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979).
    """
    table, sample, left_out = pooled_table(x, y)
    of_all, of_value, of_columns, of_number = jax.random.split(key, 4)
    number = components_of(of_number, table.rows, num_components, covariance_type)
    options = number, covariance_type, divergence, num_permutations, num_bootstrap, by_column
    settings = Settings(*options)
    num_fits = 1 + num_permutations + num_bootstrap if num_permutations else 0
    num_fits += settings.num_fits_alone(table.rows.shape[1]) if by_column else 0
    settings = settings._replace(advance=advancing(progress, num_fits))
    found = compared(of_all, table.rows, sample, groups, settings)
    _warn_of_fits(settings, table, sample, found.at_floor)
    value, error = _integrated(divergence, of_value, *pair_of(found.fits))
    chance, resampled = found.chance[:, 0], found.resampled[:, 0]
    excess = value - float(chance.mean()) if len(chance) else None
    interval = None
    if excess is not None and len(resampled):
        low, high = excess + resampled.mean() - np.quantile(resampled, [0.975, 0.025])
        interval = max(float(low), 0.0), max(float(high), 0.0)
    centre: Any = found.centre.astype(found.fits.loc.dtype)
    p, q = (jax.device_put(translate(fit, centre)) for fit in pair_of(found.fits))
    details = of_columns, table, sample, groups, settings, found
    by_name = columns_compared(*details) if by_column else None
    sizes, p_value = (len(x.rows), len(y.rows)), float(found.p_values[0]) if len(chance) else None
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


def _warn_of_fits(
    settings: Settings, table: Table, sample: np.ndarray, at_floor: list[str]
) -> None:
    """Warn if the divergence measures the fits, or the floor of their variances."""
    least, d = np.bincount(sample).min(), table.rows.shape[1]
    is_one = settings.covariance_type in ("tied", "spherical")
    per_component = 2 * d if settings.covariance_type == "diag" else d + d * (d + 1) // 2
    num_parameters = settings.num_components * (d + 1 if is_one else per_component)
    columns = zip(table.names or (), table.rows.T, strict=True)
    discrete = [name for name, values in columns if len(np.unique(values)) < 20]
    notes = [f"fewer than 20 distinct values in {', '.join(discrete)}"] if discrete else []
    if least <= num_parameters:
        notes.append(f"only {least} rows of a sample for about {num_parameters} parameters")
    if at_floor:
        more = f" and {len(at_floor) - 3} more" if len(at_floor) > 3 else ""
        narrow = "no wider than the floor of 1e-6 of the variance"
        notes.append(f"{' and '.join(at_floor[:3])}{more}, {narrow}")
    if notes:
        message = f"the divergence is that of the fits more than of the samples: {'; '.join(notes)}"
        warnings.warn(message, RuntimeWarning, stacklevel=4)


def _integrated(divergence: Callable[..., Any], key: Array, p: GMM, q: GMM) -> tuple[float, float]:
    """The divergence and the standard error of its integration, 0 for an exact divergence."""
    if "rule" not in inspect.signature(divergence).parameters:
        return float(between(divergence, key, FINE_RULE)(p, q)), 0.0
    # Its standard error hardly changes, and it compiles faster.
    result = estimate(divergence, key, p, q, rule=FINE_RULE)
    return float(result.value), float(result.standard_error)


def _name(divergence: Callable[..., Any]) -> str:
    name = getattr(divergence, "__name__", "value")
    return NAMES.get(name, name.replace("_", " "))
