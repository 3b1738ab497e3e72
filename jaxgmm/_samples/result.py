"""The result of a comparison of two samples, and its words."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import Result


class Column(NamedTuple):
    """How two samples differ in one column.

    Attributes:
      alone: the divergence of fits to this column alone.
      p_value: that of its test, raised by Holm's method for the number of columns. Whatever the
        others do, it is right.
      beyond: what the column adds to the divergence beyond all other columns.
      p_value_if_nothing_differs: that of this addition, right only if no column differs at all.
      chance_range: the range that holds 95 % of ``alone`` for permuted rows.
      means: those of the column in x and in y, in its unit.
    """

    alone: float
    p_value: float
    beyond: float
    p_value_if_nothing_differs: float
    chance_range: tuple[float, float]
    means: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class TwoSampleResult(Result):
    """The result of `two_sample_test`; its `str` says it in words, `plot.two_samples` in a picture.

    Attributes:
      value: the divergence of fits to the samples.
      standard_error: the standard error of the integration, which says nothing of the samples.
      chance: (num_permutations,), the divergences of fits to permuted rows.
      p_value: how often permuted rows differ as much, None without permutations.
      excess: value less the mean of chance, which estimates the divergence of the populations. None
        without permutations.
      excess_interval: the ends of its 95 % interval by the bootstrap, None without one.
      p: the fit to x, in the units of the data.
      q: the fit to y.
      converged: whether the last EM step of both fits gained less than 0.001 nats per row.
      num_rows: the numbers of rows of x and y.
      divergence: the name of the divergence.
      by_column: a `Column` for each name of a column, None unless asked for.
      left_out: the columns that are constant in x and in y, with both values in words.
    """

    value: float
    standard_error: float
    chance: np.ndarray
    p_value: float | None
    excess: float | None
    excess_interval: tuple[float, float] | None
    p: GMM
    q: GMM
    converged: bool
    num_rows: tuple[int, int]
    divergence: str
    by_column: dict[str, Column] | None
    left_out: dict[str, str]

    @property
    def moved(self) -> tuple[str, ...]:
        """The columns that differ alone, with p at most 0.05 by Holm's method."""
        return tuple(name for name, c in (self.by_column or {}).items() if c.p_value <= 0.05)

    @property
    def chance_mean(self) -> float:
        """The mean of chance, NaN without permutations."""
        return float(self.chance.mean()) if len(self.chance) else float("nan")

    @property
    def chance_range(self) -> tuple[float, float]:
        """The range that holds 95 % of chance."""
        return middle_of(self.chance)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        text = f"{self.divergence} {in_digits(self.value)}{self._of_chance()}"
        text += f". Error of the integration {in_digits(self.standard_error, 1)}"
        lines = [f"{name} is left out: {why}" for name, why in self.left_out.items()]
        if self.by_column is None:
            return "\n".join([text, *lines])
        # The p value of what a column adds holds if nothing differs at all.
        lines += [_words(*column, with_beyond=not self.moved) for column in self.by_column.items()]
        differ = ", ".join(self.moved) or "no column"
        return "\n".join([text, *lines, f"More than chance, each alone: {differ}"])

    def _of_chance(self) -> str:
        if self.p_value is None or self.excess is None:
            return ""
        low, high = map(in_digits, self.chance_range)
        text = f"; by chance {in_digits(self.chance_mean)} on average (95 %: {low} to {high}): "
        is_more, number = self.p_value <= 0.05, len(self.chance)
        text += f"{'more' if is_more else 'no more'} than chance, p = {self.p_value:.2g}"
        is_least = self.p_value <= 1 / (1 + number)
        text += f", the least that {number} permutations can show" if is_least else ""
        low, high = map(in_digits, self.excess_interval or (0.0, 0.0))
        # The test, which is exact, decides whether the excess may be 0.
        if not is_more:
            return f"{text}; excess 0 to {high}" if self.excess_interval else text
        interval = f" (95 %: {low} to {high})" if self.excess_interval else ""
        return f"{text}; excess {in_digits(self.excess)}{interval}"

    def to_dict(self) -> dict[str, Any]:
        """The fields in plain numbers, strings and lists, those of each column as "columns"."""
        fields = super().to_dict()
        fields["columns"] = fields.pop("by_column")
        of_chance = {"chance_mean": self.chance_mean, "chance_range": list(self.chance_range)}
        chance = {"chance": fields.pop("chance")}  # last, as it is long
        return fields | (of_chance if len(self.chance) else {}) | chance


def in_digits(value: float, digits: int = 2) -> str:
    if 0 < abs(value) < 1e-8:
        return f"{value:.{digits}g}"
    return np.format_float_positional(value, digits, unique=False, fractional=False, trim="-")


def _words(name: str, column: Column, with_beyond: bool) -> str:
    before, after = (in_digits(mean, 4) for mean in column.means)
    text = f"{name}: mean {before}, then {after}; alone {in_digits(column.alone)}, "
    text += f"p = {column.p_value:.2g} (Holm); beyond the others {in_digits(column.beyond)}"
    p_value = f", p = {column.p_value_if_nothing_differs:.2g} if nothing differs at all"
    return text + p_value if with_beyond else text


def middle_of(values: np.ndarray) -> tuple[float, float]:
    """The range that holds 95 % of the values, NaN if there are none."""
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
    return float(low), float(high)
