"""Samples to compare: the same columns of numbers of several tables, in one order, without gaps."""

import argparse
import dataclasses
from collections.abc import Iterable

import numpy as np

from jaxgmm._cli.report import counted, say
from jaxgmm._cli.tables import Table
from jaxgmm._cli.text import THOUSANDS, is_missing, is_number, thousands

MAX_PERIODS = 100


@dataclasses.dataclass(frozen=True)
class Samples:
    """Points of several tables or periods, all with the same columns."""

    names: list[str]  # of the columns, or their numbers from 1
    points: dict[str, np.ndarray]  # (n, D) of each sample, by the name of the sample
    notes: list[str]  # what is said of them beside the results
    rows: dict[str, np.ndarray]  # (N,) for each sample, which rows of its table the points are

    def note(self, note: str) -> None:
        """Add a note, and print it."""
        say(note)
        self.notes.append(note)


def samples_of(tables: dict[str, Table], arguments: argparse.Namespace) -> Samples:
    """The samples of the tables, or an error that names the columns at fault."""
    samples = Samples([], {}, [], {})
    used = [_numeric(table, arguments, samples) for table in tables.values()]
    for (key, table), names in zip(tables.items(), used, strict=True):
        names = _in_order_of(next(iter(tables.values())), used[0], table, names, samples)
        samples.points[key], samples.rows[key] = _points(table, names, arguments.dropna, samples)
    samples.names.extend(used[0] if used else [])
    return samples


def _numeric(table: Table, arguments: argparse.Namespace, samples: Samples) -> list[str]:
    """The names of the columns to use. Without numbers, a column is left out with a note."""
    for name in [*(arguments.columns or []), *arguments.drop]:
        if name not in table.columns:
            raise ValueError(f"{table.path} has no column {name!r}, but {listed(table.columns)}")
    asked = [n for n in arguments.columns or table.columns if n not in arguments.drop]
    without = [name for name in asked if _has_no_number(table.path, name, table.columns[name])]
    if without and arguments.columns is not None:
        raise ValueError(f"{table.path}: {without[0]!r} holds no numbers: leave it out")
    if len(without) == len(asked):
        raise ValueError(f"{table.path} has no column of numbers")
    left_out = [f"left out, as they hold no numbers: {listed(without)}"] if without else []
    for note in [*table.notes, *left_out]:
        samples.note(f"{table.path}: {note}")
    return [name for name in asked if name not in without]


def _has_no_number(path: str, name: str, column: np.ndarray) -> bool:
    """Whether no cell is a number, or an error if only some are: the rest may be errors."""
    if column.dtype != object:
        return bool(np.isnan(column).all())
    cells = [str(cell) for cell in column]
    wrong = [i for i, cell in enumerate(cells) if not is_number(cell) and not is_missing(cell)]
    first = f"{cells[wrong[0]][:50]!r} in row {wrong[0] + 1}"
    if THOUSANDS.fullmatch(cells[wrong[0]]):
        raise ValueError(f"{path}: {name!r}: {thousands(first)}")
    if any(map(is_number, cells)):
        what = f"{len(wrong)} of its cells are no numbers, the first {first}"
        raise ValueError(f"{path}: {name!r}: {what}: mend them, or leave it out by --drop {name}")
    return True


def _in_order_of(
    first: Table, first_names: list[str], table: Table, names: list[str], samples: Samples
) -> list[str]:
    """The names of the columns of a table in the order of the first table: by name if both can."""
    by_name = first.is_named and table.is_named
    if set(names) != set(first_names) if by_name else len(names) != len(first_names):
        count = f"{first.path} has {len(first_names)} columns of numbers, {table.path} {len(names)}"
        pairs = ((first.path, first_names, names), (table.path, names, first_names))
        only = [(path, [name for name in of if name not in others]) for path, of, others in pairs]
        each = [f"; only {path} has {listed(those)}" for path, those in only if by_name and those]
        raise ValueError(f"{count}{''.join(each)}: choose by --columns or --drop")
    if by_name and names != first_names:
        samples.note(f"{table.path}: its columns are in another order, and are matched by name")
    if first.is_named != table.is_named:
        which = f"{table.path} and {first.path}"
        samples.note(f"{which}: one has no names, and columns keep their order")
    return first_names if by_name else names


def _points(
    table: Table, names: list[str], dropna: bool, samples: Samples
) -> tuple[np.ndarray, np.ndarray]:
    """The points (n, D) of a table, and which rows they are: those without a gap."""
    points = np.stack([table.columns[name] for name in names], axis=1)
    is_gap = ~np.isfinite(points)
    rows = ~np.any(is_gap, axis=1)
    count = f"{len(rows) - rows.sum()} of {len(rows)} rows"
    if not rows.all() and not dropna:
        gaps = [f"{n} in {name}" for name, n in zip(names, is_gap.sum(0), strict=True) if n]
        what = f"{table.path} has missing or infinite values in {count} ({listed(gaps)})"
        raise ValueError(f"{what}: leave these rows out by --dropna, or the columns by --drop")
    if not rows.all():
        samples.note(f"{table.path}: {count} are left out, as they miss a value")
    if rows.sum() < 2:
        raise ValueError(f"{table.path} has too few rows: {rows.sum()}")
    return points[rows], rows


def by_period(samples: Samples, table: Table, by: str) -> Samples:
    """The sample of one table in parts, for each value in a column in the order of time."""
    (points,), (rows,) = samples.points.values(), samples.rows.values()
    column = table.columns[by][rows]
    labels = np.array([c if isinstance(c, str) else f"{c:.15g}" for c in column.tolist()])
    gaps = sum(map(is_missing, labels.tolist()))
    periods = list(dict.fromkeys(labels.tolist()))
    if column.dtype != object or all(period[:1].isdigit() for period in periods):
        periods = [str(one) for one in labels[np.unique(column, return_index=True)[1]]]
    if gaps or not 1 < len(periods) <= MAX_PERIODS:
        what = f"{by!r} holds {counted(len(periods), 'value')}, and misses {gaps}"
        raise ValueError(f"{table.path}: {what}: it must name one of 2 to {MAX_PERIODS} periods")
    parts = {period: points[labels == period] for period in periods}
    return dataclasses.replace(samples, points=parts, rows={})


def varying(samples: Samples) -> Samples:
    """The samples without each column that is constant in one, of which a note tells."""
    low, high = np.stack([[x.min(0), x.max(0)] for x in samples.points.values()], axis=1)
    # A change of units leaves a constant column constant to rounding alone.
    constant = high - low <= 4 * np.finfo(np.float64).eps * np.maximum(abs(low), abs(high))
    left_out = constant.any(axis=0)
    if left_out.all():
        raise ValueError(f"no column varies within each of {listed(samples.points)}")
    for i in np.flatnonzero(left_out):
        columns = zip(low[:, i], high[:, i], constant[:, i], strict=True)
        ranges = [f"{a:.9g}" if same else f"{a:.9g} to {b:.9g}" for a, b, same in columns]
        texts = [f"{of} in {name}" for of, name in zip(ranges, samples.points, strict=True)]
        against = listed(texts, " against ")
        samples.note(f"{samples.names[i]} is left out, as it is constant: {against}")
    names = [name for name, out in zip(samples.names, left_out, strict=True) if not out]
    points = {name: x[:, ~left_out] for name, x in samples.points.items()}
    return dataclasses.replace(samples, names=names, points=points)


def listed(names: Iterable[object], mark: str = ", ") -> str:
    """A list for a message, of at most nine."""
    names = list(names)
    more = f"{mark}and {len(names) - 9} more" if len(names) > 9 else ""
    return mark.join(map(str, names[:9])) + more
