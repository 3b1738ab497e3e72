"""Which columns of two samples differ: each alone, and each beyond the others."""

import functools
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from jaxgmm._mixture.gmm import GMM
from jaxgmm._quadrature.sobol import Sobol
from jaxgmm._samples.comparison import Compared, Measure, Settings, compared, middle_of, pair_of
from jaxgmm._samples.table import Table

RULE = Sobol(2**14, variance_reduction=False)


class Column(NamedTuple):
    """How two samples differ in one column.

    Attributes:
      alone: the divergence of fits to this column alone.
      p_value: that of its test, raised by Holm's method for the number of columns. Whatever the
        others do, it is right.
      beyond: what the column adds to the divergence beyond all other columns.
      p_value_if_nothing_differs: that of this addition, right only if no column differs at all.
      chance_range: the range that holds 95 % of ``alone`` for permuted rows.
    """

    alone: float
    p_value: float
    beyond: float
    p_value_if_nothing_differs: float
    chance_range: tuple[float, float]


def holm(p_values: np.ndarray) -> np.ndarray:
    """The p values adjusted by Holm's method, so that their least is right for all of them."""
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    return np.minimum(adjusted, 1)[np.argsort(order)]


def columns_compared(
    key: Array,
    table: Table,
    sample: np.ndarray,
    groups: np.ndarray | None,
    settings: Settings,
    found: Compared,
) -> dict[str, Column]:
    """Each column alone, by a test of its own, and what it adds to the fits to all columns."""
    values, p_values, ranges = columns_alone(key, table.rows, sample, groups, settings)
    measure = Measure(settings.divergence, RULE, by_column=True)
    beyond = np.asarray(_value(measure, key, found.fits))[1:]
    numbers = [np.asarray(of).tolist() for of in (values, p_values, beyond, found.p_values[1:])]
    columns = map(Column, *numbers, ranges)
    return dict(zip(table.names or (), columns, strict=True))


def columns_alone(
    key: Array, rows: np.ndarray, sample: np.ndarray, groups: np.ndarray | None, settings: Settings
) -> tuple[list[float], np.ndarray, list[tuple[float, float]]]:
    """The divergence in each column, its p value by Holm's method, and its range by chance."""
    num_columns = rows.shape[1]
    # The more columns there are, the more permutations Holm's method needs.
    number = max(settings.num_permutations, 25 * num_columns)
    settings = settings._replace(num_permutations=number, num_bootstrap=0, by_column=False)
    alone = [
        compared(of_column, rows[:, [d]], sample, groups, settings)
        for d, of_column in enumerate(jax.random.split(key, num_columns))
    ]
    measure = Measure(settings.divergence, RULE, by_column=False)
    values = [float(_value(measure, key, one.fits)[0]) for one in alone]
    ranges = [middle_of(one.chance[:, 0]) for one in alone]
    return values, holm(np.array([one.p_values[0] for one in alone])), ranges


@functools.partial(jax.jit, static_argnums=0)
def _value(measure: Measure, key: Array, fits: GMM) -> Array:
    return measure(key, *pair_of(fits))
