"""Read tables from files of many kinds, told apart by their first bytes."""

import zipfile
from typing import Any, NamedTuple

import numpy as np

from jaxgmm._cli.text import MAX_COLUMNS, Columns, column_of, read_text, too_wide
from jaxgmm.interop._mixtures import imported

ARCHIVE, ARRAY, PARQUET = b"PK\x03\x04", b"\x93NUMPY", b"PAR1"

# The first bytes of files that are not read, and how to convert them.
FOREIGN = {
    b"\x1f\x8b": "it is compressed by gzip: unpack it by gunzip (an .rds of R: write.csv there)",
    b"BZh": "it is compressed: unpack it by bunzip2",
    b"\xfd7zXZ": "it is compressed: unpack it by unxz",
    b"\x28\xb5\x2f\xfd": "it is compressed: unpack it by unzstd",
    b"MATLAB": "it is of MATLAB: write it there by writematrix(x, 'x.csv')",
    b"\x89HDF": "it is HDF5: in Python, numpy.save('x.npy', h5py.File('x.h5')['NAME'][:])",
    b"\xd0\xcf\x11\xe0": "it is of Excel: save it there as CSV",
    b"ARROW1": "it is Feather: in Python, pandas.read_feather('x').to_parquet('x.parquet')",
    b"SQLite format 3": "it is a database: write a query by sqlite3 -csv -header",
    b"\x80": "it is a pickle of Python: write it there by numpy.save or to_csv(index=False)",
    b"$FL2": "it is of SPSS: save it there as CSV",
    b"<stata_dta>": "it is of Stata: write it there by export delimited",
    b"<": "it is HTML or XML: write its table as csv",
    b"{": "it is JSON: write it as csv, in pandas by read_json('x').to_csv('x.csv', index=False)",
    b"[{": "it is JSON: write it as csv, in pandas by read_json('x').to_csv('x.csv', index=False)",
}


class Table(NamedTuple):
    """A table as its file holds it."""

    path: str
    columns: dict[str, np.ndarray]  # by their names or numbers from 1; see `Columns`
    is_named: bool
    notes: list[str]


def is_saved_mixture(path: str) -> bool:
    """Whether a file was written by `jaxgmm.save`, or is an archive too damaged to tell."""
    if not _beginning(path).startswith(ARCHIVE):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "format.npy" in archive.namelist()
    except zipfile.BadZipFile:
        return True


def read_table(path: str) -> Table:
    """The table in a file, or an error that says how to convert the file."""
    try:
        names, columns, notes = _read(path)
        if not columns or not len(columns[0]):
            raise ValueError("it has no row of numbers")
        keys = names or [str(i + 1) for i in range(len(columns))]
        if len(keys) > MAX_COLUMNS:
            raise ValueError(too_wide(len(keys)))
        twice = [name for i, name in enumerate(keys) if name in keys[:i]]
        if twice:
            raise ValueError(f"it has two columns of the name {twice[0]!r}: rename one")
    except ValueError as error:
        raise ValueError(f"{path} is no table of numbers: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{path} does not fit into memory") from error
    return Table(path, dict(zip(keys, columns, strict=True)), names is not None, notes)


def _beginning(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def _read(path: str) -> Columns:
    start = _beginning(path)
    if start.startswith(ARRAY):
        return _of_array(np.load(path, mmap_mode="r", allow_pickle=False))
    if start.startswith(ARCHIVE):
        return _of_archive(path)
    if start.startswith(PARQUET):
        return _of_parquet(path)
    for magic, mend in FOREIGN.items():
        if start.startswith(magic):
            raise ValueError(mend)
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it is binary, of a kind that is not known here: write it as csv or .npy")
    return read_text(path)


def _of_array(array: np.ndarray) -> Columns:
    if array.dtype.names and array.ndim == 1:
        names = list(array.dtype.names)
        return names, [_column(array[name]) for name in names], []
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
        got = f"{array.dtype} {array.shape}"
        raise ValueError(f"it must be an array (n, D) of real numbers, got {got}")
    return None, list(np.asarray(array.reshape(len(array), -1).T, np.float64)), []


def _of_archive(path: str) -> Columns:
    """The one array of an archive of NumPy, or its vectors by their names."""
    with np.load(path, allow_pickle=False) as archive:
        if any(name.startswith("xl/") for name in archive.files):
            raise ValueError("it is of Excel: save it there as CSV")
        arrays = {name: archive[name] for name in archive.files}
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("it is a zip file: unpack it by unzip")
    if len(arrays) == 1:
        return _of_array(*arrays.values())
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        held = ", ".join(list(arrays)[:9]) or "none"
        mend = "the archive must hold one array, or a vector for each column"
        raise ValueError(f"{mend}, but holds {held}")
    return list(arrays), [_column(array) for array in arrays.values()], []


def _of_parquet(path: str) -> Columns:
    parquet = imported("pyarrow.parquet", f"{path}, a file of parquet,", "pyarrow", "tables")
    names = [name for name in parquet.read_schema(path).names if not name.startswith("__index")]
    table = parquet.read_table(path, columns=names[: MAX_COLUMNS + 1])
    return names, [_column(column.to_numpy()) for column in table.columns], []


def _column(values: Any) -> np.ndarray:
    """A column of any type as numbers if all of them are, or else as words."""
    if values.dtype.kind in "iuf":
        return np.asarray(values, np.float64)
    return column_of(["" if value is None else str(value) for value in values])
