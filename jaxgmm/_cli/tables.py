"""Read tables of points from text files and NumPy files, told apart by their first bytes."""

import math
import zipfile

import numpy as np

ARCHIVE = b"PK\x03\x04"
ARRAY = b"\x93NUMPY"


def is_saved_mixture(path: str) -> bool:
    """Whether a file was written by `jaxgmm.save`, or is an archive too damaged to tell."""
    if _beginning(path, ARCHIVE) != ARCHIVE:
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "format.npy" in archive.namelist()
    except zipfile.BadZipFile:
        return True


def read_points(path: str) -> np.ndarray:
    """The points (n, D) in a file."""
    try:
        return _checked(_read(path))
    except ValueError as error:
        raise ValueError(f"{path} is no table of points: {error}") from error


def _beginning(path: str, magic: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read(len(magic))


def _read(path: str) -> np.ndarray:
    if _beginning(path, ARRAY) == ARRAY:
        return np.load(path, allow_pickle=False)
    if _beginning(path, ARCHIVE) == ARCHIVE:
        with np.load(path, allow_pickle=False) as archive:
            if len(archive.files) != 1:
                held = ", ".join(archive.files) or "none"
                raise ValueError(f"the archive must hold one array, but holds {held}")
            return archive[archive.files[0]]
    return _read_text(path)


def _read_text(path: str) -> np.ndarray:
    """The numbers in a text file. A first line without any number is taken for names."""
    with open(path, encoding="utf-8-sig") as file:
        lines = file.readlines()
    delimiter, cells = _first_cells("".join(lines[:1]))
    has_names = not any(_is_number(cell) for cell in cells)
    rows = lines[has_names:]
    if has_names and len(cells) > 1 and not cells[0]:  # pandas writes row numbers so
        fault = "its first column has no name, as row numbers have none"
        raise ValueError(f"{fault}: leave them out, in pandas by index=False")
    is_count = len(cells) > 1 and cells == [str(i) for i in range(len(cells))]
    if is_count and "." in "".join(rows[1:]):
        mend = "leave it out, in pandas by header=False, or write 0.0 for 0"
        raise ValueError(f"its first line may be column numbers: {mend}")
    if not any(row.strip() for row in rows):
        raise ValueError("it has no line of numbers")
    return np.loadtxt(rows, delimiter=delimiter, ndmin=2, quotechar='"')


def _first_cells(line: str) -> tuple[str | None, list[str]]:
    """The delimiter (a comma, semicolon or tab; None is for spaces) and the cells of a line."""
    delimiter = next((mark for mark in ",;\t" if mark in line), None)
    return delimiter, [cell.strip(' "\n') for cell in line.split(delimiter)]


def _is_number(cell: str) -> bool:
    """Whether a cell is a number other than NaN, which may be the name of a column."""
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False


def _checked(points: np.ndarray) -> np.ndarray:
    """The points (n, D) in float64, or an error if they are not finite real numbers."""
    if points.dtype.kind not in "biuf" or points.ndim not in (1, 2) or not points.size:
        got = f"{points.dtype} {points.shape}"
        raise ValueError(f"it must be an array (n, D) of real numbers, got {got}")
    if not np.isfinite(points).all():
        row = int(np.argwhere(~np.isfinite(points))[0][0])
        mend = "remove or impute such points first"
        raise ValueError(f"row {row} (the first is 0) holds NaN or infinity: {mend}")
    return np.asarray(points, np.float64).reshape(len(points), -1)
