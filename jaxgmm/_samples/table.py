"""Rows of data with named columns, from arrays and data frames."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxgmm._fit.em import check_that_columns_vary
from jaxgmm._validation.checks import as_array, check_concrete, check_unmasked, checked_int, kind
from jaxgmm._validation.validated_jit import Check


class Table(NamedTuple):
    """Finite rows (n, D), and the names of the columns, None for those of a plain array."""

    rows: np.ndarray
    names: tuple[str, ...] | None


def _table(name: str, value: Any) -> Table:
    """An array or a data frame of pandas or polars as a table, or an error if it is none."""
    check_concrete(name, value, "a comparison of samples")
    is_frame = hasattr(value, "columns") and hasattr(value, "to_numpy")
    names = tuple(map(str, value.columns)) if is_frame else None
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"{name} has two columns of one name: {', '.join(names)[:200]}")
    check_unmasked(name, value)
    rows = _numbers(name, value.to_numpy() if is_frame else value)
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, d = bad[0]
        where = f"row {row}, column {names[d] if names else d}"
        problem = f"{name} holds {rows[row, d]} in {where}, and {len(bad)} such values in all"
        raise ValueError(f"{problem}: drop or impute these rows")
    return Table(rows + 0.0, names)  # which makes -0.0 equal to 0.0 in every order


def _numbers(name: str, value: Any) -> np.ndarray:
    given = as_array(value)
    if given.dtype.kind not in "biuf" and not jnp.issubdtype(given.dtype, jnp.floating):
        problem = f"{name} must hold real numbers, got {kind(value)} of dtype {given.dtype}"
        mend = "a frame of numbers becomes one by to_numpy(float)"
        if given.dtype.names:
            mend = f"np.column_stack([{name}[n] for n in {name}.dtype.names]) holds its columns"
        raise TypeError(f"{problem}; {mend}")
    if given.ndim != 2 or not given.size:
        mend = f"; write {name}[:, None] for one column" if given.ndim == 1 else ""
        needed = "shape (n, D) with n and D at least 1"
        raise ValueError(f"{name} must have {needed}, got {given.shape}{mend}")
    return given.astype(np.float64)


def _num_components(name: str, value: Any) -> int | str:
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"{name} must be 'auto' or a positive integer, got {value!r:.200}")
    return value if isinstance(value, str) else checked_int(name, value)


def _columns(name: str, columns: Any) -> tuple[str | int, ...] | None:
    are_known = isinstance(columns, Sequence | np.ndarray) and not isinstance(columns, str)
    chosen: tuple[Any, ...] = tuple(columns) if are_known else ()
    if not chosen or not all(isinstance(column, str | int | np.integer) for column in chosen):
        raise TypeError(f"{name} must be a list of names or of integers, got {kind(columns)}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{name} must be distinct, got {chosen!r:.200}")
    return chosen


def _groups(name: str, groups: Any) -> tuple[np.ndarray, np.ndarray]:
    check_concrete(name, groups, "a comparison of samples")
    is_pair = isinstance(groups, list | tuple) and len(groups) == 2
    of_x, of_y = map(as_array, groups if is_pair else (None, None))
    if of_x.ndim != 1 or of_y.ndim != 1 or of_x.dtype.kind != of_y.dtype.kind:
        needed = "a pair of sequences with the group of each row of x and of each row of y"
        raise TypeError(f"{name} must be {needed}, got {groups!r:.200}")
    return of_x, of_y


TableLike = Annotated[Any, Check(_table)]
Groups = Annotated[Any, Check(_groups)]
NumComponents = Annotated[int | str, Check(_num_components, static=True)]
Columns = Annotated[Sequence[str | int], Check(_columns, static=True)]


def with_columns(name: str, table: Table, columns: tuple[str | int, ...] | None) -> Table:
    """The table with these columns: those of these names or indices, or all with new names."""
    num_columns = table.rows.shape[1]
    names = table.names or tuple(map(str, range(num_columns)))
    if columns is None:
        return Table(table.rows, names)
    wanted = tuple(map(str, columns))
    if table.names is None and len(wanted) == num_columns and isinstance(columns[0], str):
        return Table(table.rows, wanted)
    missing = [column for column in wanted if column not in names]
    if missing:
        problem = f"columns: {name} has no {', '.join(missing)}"
        raise ValueError(f"{problem}; its columns are {', '.join(names)}"[:300])
    return Table(table.rows[:, [names.index(column) for column in wanted]], wanted)


def two_tables(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, with x and y as tables of the same columns, matched by their names."""
    x, y, columns = arguments["x"], arguments["y"], arguments.get("columns")
    if arguments.get("by_column") and arguments.get("num_permutations") == 0:
        raise ValueError("by_column tests each column, so num_permutations must not be 0")
    if columns is None and x.names and y.names and set(x.names) != set(y.names):
        only = [
            f"{a} alone has {', '.join(sorted(set(of) - set(other)))}"[:200]
            for a, of, other in (("x", x.names, y.names), ("y", y.names, x.names))
            if set(of) - set(other)
        ]
        raise ValueError(f"{' and '.join(only)}; choose common ones by columns=")
    if columns is None and x.rows.shape[1] != y.rows.shape[1]:
        raise ValueError(f"x has {x.rows.shape[1]} columns, and y has {y.rows.shape[1]}")
    columns = columns or x.names or y.names
    x, y = with_columns("x", x, columns), with_columns("y", y, columns)
    check_that_columns_vary("x and y", np.concatenate([x.rows, y.rows]), x.names)
    groups = arguments.get("groups")
    if groups is not None:
        groups = _group_of_rows(groups, (len(x.rows), len(y.rows)))
    return {**arguments, "x": x, "y": y, "groups": groups}


def _group_of_rows(groups: tuple[np.ndarray, np.ndarray], sizes: tuple[int, int]) -> np.ndarray:
    """The index of the group of each row of x and y; an error if a group is in both."""
    for name, labels, size in zip("xy", groups, sizes, strict=True):
        if len(labels) != size:
            raise ValueError(f"groups has {len(labels)} labels for the {size} rows of {name}")
    common = np.intersect1d(*groups)
    if len(common):
        problem = f"groups: {common[0]} has rows in x and in y"
        raise ValueError(f"{problem}, so it cannot be permuted as a whole")
    return np.unique(np.concatenate(groups), return_inverse=True)[1]
