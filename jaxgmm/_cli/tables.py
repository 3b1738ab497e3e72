"""Read tables of points from files of several kinds, told apart by their first bytes."""

import math
import zipfile

import numpy as np

ARCHIVE, ARRAY = b"PK\x03\x04", b"\x93NUMPY"


def is_saved_mixture(path: str) -> bool:
    """Whether it is, or was before it was damaged, a file of `jaxgmm.save`."""
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
                raise ValueError(
                    f"the archive must hold one array, but holds {', '.join(archive.files) or 'none'}"
                )
            return archive[archive.files[0]]
    return _read_text(path)


def _read_text(path: str) -> np.ndarray:
    """Numbers between commas, semicolons, tabs or spaces, after a line of names if the first has no number in it."""
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline()
    delimiter = next((mark for mark in ",;\t" if mark in first), None)
    cells = [cell.strip(' "\n') for cell in first.split(delimiter)]
    is_header = not any(_is_number(cell) for cell in cells)
    if is_header and len(cells) > 1 and not cells[0]:
        raise ValueError(
            "its first column has no name, as row numbers have none: leave them out, in pandas by index=False"
        )
    with open(path, encoding="utf-8-sig") as file:
        rows = file.readlines()[is_header:]
    if not any(row.strip() for row in rows):
        raise ValueError("it has no line of numbers")
    if len(cells) > 1 and cells == [str(i) for i in range(len(cells))] and "." in "".join(rows[1:]):
        raise ValueError(
            "its first line may be column numbers: leave it out, in pandas by header=False, or write 0.0 for 0"
        )
    return np.loadtxt(rows, delimiter=delimiter, ndmin=2, quotechar='"')


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False


def _checked(points: np.ndarray) -> np.ndarray:
    if points.dtype.kind not in "biuf" or points.ndim not in (1, 2) or not points.size:
        raise ValueError(
            f"it must be an array (n, D) of real numbers, got {points.dtype} {points.shape}"
        )
    if not np.isfinite(points).all():
        row = int(np.argwhere(~np.isfinite(points))[0][0])
        raise ValueError(
            f"row {row} (the first is 0) holds NaN or infinity: remove or impute such points first"
        )
    return np.asarray(points, np.float64).reshape(len(points), -1)
