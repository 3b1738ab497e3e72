"""Read text files of rows, such as csv, as columns of numbers or of words."""

import contextlib
import csv
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

import numpy as np

from jaxgmm._cli.report import counted

Columns = tuple[list[str] | None, list[np.ndarray], list[str]]
"""The names of the columns or None, the columns, and notes on what is left out. A column is an
array of float64, with NaN where a value is missing, or of the words in it."""

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", ".", "?"})
DELIMITERS = "\t;,| "
MAX_COLUMNS = 1000
NUM_SAMPLED = 1000  # the rows from which the layout is told
NUM_ROWS = 100_000  # of text in memory at once
THOUSANDS = re.compile(r"[-+]?\d{1,3}([,.' ]\d{3})+([.,]\d*)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)


class Layout(NamedTuple):
    """How a text file is laid out."""

    delimiter: str
    names: list[str] | None  # in its first line, with "" for a column of row names
    num_columns: int  # with the row names
    decimal: str  # the mark between the whole and the fraction of a number


def read_text(path: str) -> Columns:
    with open(path, "rb") as file:
        is_wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ["utf-16"] if is_wide else ["utf-8-sig", "latin-1"]:
        with contextlib.suppress(UnicodeDecodeError), open(path, encoding=encoding) as file:
            return _read(file)
    raise ValueError("its text is damaged")


def is_missing(cell: str) -> bool:
    return cell.strip().casefold() in MISSING


def is_number(cell: str) -> bool:
    """Whether a cell is a number other than NaN, which stands for a missing value."""
    with contextlib.suppress(ValueError):
        return "_" not in cell and not math.isnan(float(cell))
    return False


def _read(file: TextIO) -> Columns:
    """All columns have a name or none has, but for row names, which are left out."""
    layout = _layout(file)
    names, columns = layout.names, _plain_columns(file, layout) or _columns(file, layout)
    if names is None:
        return None, columns, []
    notes: list[str] = []
    if not names[0] and len(names) > 1:
        notes.append("its first column has no name: it is left out, as row names")
        names, columns = names[1:], columns[1:]
    return [name or f"column {i + 1}" for i, name in enumerate(names)], columns, notes


def _rows(file: TextIO, delimiter: str) -> Iterator[list[str]]:
    """All rows with a value in any cell."""
    file.seek(0)
    lines = (line.strip(" \n").replace("\0", "") + "\n" for line in file)
    first = next(lines, "").lstrip("# ")  # numpy.savetxt puts the mark before names
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, skipinitialspace=True)
    try:
        yield from filter(any, reader)
    except csv.Error as error:
        raise ValueError(f"it is no table of text: {error}") from error


def _layout(file: TextIO) -> Layout:
    """The layout of a file as the first rows show it."""
    delimiter = _delimiter(file)
    first, *rest = itertools.islice(_rows(file, delimiter), NUM_SAMPLED)
    if len(first) > MAX_COLUMNS:
        raise ValueError(too_wide(len(first)))
    decimal = _decimal(delimiter, rest or [first])
    first = [" ".join(cell.split()) for cell in first]
    if rest and len(rest[0]) == len(first) + 1:
        at_end = all(not row[-1] for row in rest)  # each row ends by a delimiter
        names = [*first, ""] if at_end else ["", *first]
    else:
        values = [[cell.replace(decimal, ".") for cell in row] for row in (first, *rest)]
        names = first if _are_names(values[0], values[1:]) else None
    if not rest and names is not None:
        raise ValueError("it has names of columns, but no row of numbers")
    return Layout(delimiter, names, len(names or first), decimal)


def _delimiter(file: TextIO) -> str:
    """The first mark that splits the first two rows alike, or the first row at all."""
    line = next((line for line in file if line.strip()), None)
    if line is None:
        raise ValueError("it is empty")
    marks = [mark for mark in DELIMITERS if mark in line.strip(" \n")]
    for mark in marks:
        lengths = [len(row) for row in itertools.islice(_rows(file, mark), 2)]
        if lengths[0] > 1 and lengths[-1] - lengths[0] in (0, 1):
            return mark
    return next((mark for mark in marks if mark != " "), ",")


def too_wide(num_columns: int) -> str:
    return f"it has {num_columns:,} columns, and at most {MAX_COLUMNS:,} can be compared"


def _are_names(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first row holds names: none is a number, or one is none above a number."""
    if first[0] == "" and first[1:] == [str(i) for i in range(len(first) - 1)]:
        return True  # as pandas writes a table without names
    if not any(map(is_number, first)):
        return not all(map(is_missing, first))
    if rest and len(first) > 1 and _may_be_numbers_for_names(first, rest):
        mend = "give each a letter if they are, or write 0.0 for 0 if they are values"
        raise ValueError(f"its first line, {', '.join(first[:3])}, ..., may be names: {mend}")
    pairs = zip(first, rest[0] if rest else [], strict=False)
    return any(not is_number(a) and not is_missing(a) and is_number(b) for a, b in pairs)


def _may_be_numbers_for_names(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first row holds integers that grow, each above a column with fractions."""
    if not all(cell.isdecimal() for cell in first):
        return False
    is_growing = all(int(a) < int(b) for a, b in itertools.pairwise(first))
    fractions = {i for row in rest for i, cell in enumerate(row) if "." in cell}
    return is_growing and fractions >= set(range(len(first)))


def _decimal(delimiter: str, rows: list[list[str]]) -> str:
    """The decimal mark: a comma only where another mark stands between the columns."""
    cells = [cell.strip() for row in rows for cell in row]
    with_comma = [cell for cell in cells if "," in cell and DECIMAL_COMMA.fullmatch(cell)]
    if delimiter == "," or not with_comma:
        return "."
    other = [cell for cell in cells if "." in cell and is_number(cell)]
    if other or (delimiter != ";" and all(map(THOUSANDS.fullmatch, with_comma))):
        raise ValueError(thousands(repr(with_comma[0])))
    return ","


def thousands(cell: str) -> str:
    return f"{cell} may have a mark between thousands: write numbers without it"


def _plain_columns(file: TextIO, layout: Layout) -> list[np.ndarray] | None:
    """The columns of a file that holds nothing but numbers, by NumPy's fast reader; or None."""
    if layout.decimal != "." or (layout.names and not layout.names[0]):
        return None
    file.seek(0)
    if layout.names is not None:
        next(_rows(file, layout.delimiter))
    mark = None if layout.delimiter == " " else layout.delimiter
    with contextlib.suppress(ValueError):
        points = np.loadtxt(file, delimiter=mark, ndmin=2, quotechar='"', comments=None)
        return list(points.T) if points.shape[1] == layout.num_columns else None
    return None


def _columns(file: TextIO, layout: Layout) -> list[np.ndarray]:
    rows = itertools.islice(_rows(file, layout.delimiter), int(layout.names is not None), None)
    parts: list[list[np.ndarray]] = []
    while some := list(itertools.islice(rows, NUM_ROWS)):
        for i, row in enumerate(some):
            if len(row) != layout.num_columns:
                where = sum(len(part[0]) for part in parts) + i + 1
                has = f"row {where} has {counted(len(row), 'cell')}"
                raise ValueError(f"{has}, and not {layout.num_columns}")
        parts.append([column_of(cells, layout.decimal) for cells in zip(*some, strict=True)])
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def column_of(cells: Sequence[str], decimal: str = ".") -> np.ndarray:
    """Numbers, with NaN for what is missing; or the cells where any is neither."""
    if decimal == ",":
        with_point = [cell for cell in cells if "." in cell and is_number(cell)]
        if with_point:
            raise ValueError(thousands(repr(with_point[0])))
        is_fraction = DECIMAL_COMMA.fullmatch
        cells = [c.replace(",", ".") if is_fraction(c.strip()) else c for c in cells]
    if not any("_" in cell for cell in cells):  # float() takes 1_000 for 1000
        with contextlib.suppress(ValueError):
            return np.array(cells, float)
        with contextlib.suppress(ValueError):
            return np.array(["nan" if is_missing(cell) else cell for cell in cells], float)
    words = np.empty(len(cells), object)
    words[:] = [cell.strip() for cell in cells]
    return words
