"""What the command line refuses: one line that says why, at once, and exit status 2."""

import gzip
import io
import pathlib
import time
import zipfile

import numpy as np
import pytest
import scipy.io

from jaxgmm._cli import parser, report
from support.mixtures import POINTS

pytestmark = pytest.mark.usefixtures("saved_files")


def write(name: str, content: bytes | str) -> str:
    pathlib.Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def saved(name: str, *arrays: np.ndarray) -> str:
    np.savez(name, *arrays)
    return name


def half() -> bytes:
    return pathlib.Path("a.npz").read_bytes()[:-50]


def zipped(name: str) -> bytes:
    with zipfile.ZipFile("z", "w") as archive:
        archive.writestr(name, "1,2")
    return pathlib.Path("z").read_bytes()


def of_matlab() -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, {"x": POINTS})
    return file.getvalue()


def objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([None]), allow_pickle=True)
    return file.getvalue()


HW = "h,w\n1,2\n3,4\n5,7\n"
MILLION = ",".join(["x"] + ["1.5"] * (10**6 - 1))

# The content of a table, and what is said of it.
BAD_TABLES = {
    "empty": ("", "t is no table of numbers: it is empty"),
    "blank": ("\n \n\n", "t is no table of numbers: it is empty"),
    "names alone": ("x,y\n", "it has names of columns, but no row of numbers"),
    "one row": ("x,y\n1,2\n", "t has too few rows: 1"),
    "words alone": ("x,y\nred,blue\nblue,red\n", "t has no column of numbers"),
    "a word": (
        "x,y\n1,2\n3,red\n",
        "t: 'y': 1 of its cells are no numbers, the first 'red' in row 2",
    ),
    "a unit": (
        "x\n1.5 kg\n2.5\n",
        "'x': 1 of its cells are no numbers, the first '1.5 kg' in row 1",
    ),
    "an underscore": (
        "x,y\n1_000,2\n3,4\n",
        "'x': 1 of its cells are no numbers, the first '1_000'",
    ),
    "a gap": ("1,\n3,4\n", "t has missing or infinite values in 1 of 2 rows (1 in 2): leave these"),
    "NA": (HW + "NA,1\n,2\n1,nan\n", "in 3 of 6 rows (2 in h, 1 in w): leave these rows out by --"),
    "infinity": (HW + "inf,1\n", "t has missing or infinite values in 1 of 4 rows (1 in h)"),
    "too large": (HW + "1e999,1\n", "t has missing or infinite values in 1 of 4 rows (1 in h)"),
    "gaps alone": ("x,y\nNA,NA\nNA,NA\n", "t has no column of numbers"),
    "constant": ("x,y\n1,2\n1,2\n", "no column varies within each of A, B"),
    "one name twice": ("x,y,x\n1,2,3\n", "it has two columns of the name 'x': rename one"),
    "column numbers": ("0,1\n0.5,2.5\n", "its first line, 0, 1, ..., may be names: give each a"),
    "years": ("2019,2020\n0.5,2.5\n", "its first line, 2019, 2020, ..., may be names"),
    "ragged": ("1,2\n3\n", "t is no table of numbers: row 2 has 1 cell, and not 2"),
    "ragged later": ("h,w\n1,2\n3,4\n5,6,7\n", "row 3 has 3 cells, and not 2"),
    "an open quote": ('x,y\n"1,2\n3,4\n', "row 1 has 1 cell, and not 2"),
    "thousands": ('x,y\n"1,234",2\n"5,678",3\n', "'x': '1,234' in row 1 may have a mark between"),
    "thousands and tabs": (
        "x\ty\n1,234\t2\n5,678\t3\n",
        "'1,234' may have a mark between thousands",
    ),
    "both marks": ("x;y\n1,5;2.5\n2,5;3.5\n", "'1,5' may have a mark between thousands"),
    "points in thousands": (
        "x;y\n1.234,5;0,5\n",
        "'x': '1.234,5' in row 1 may have a mark between",
    ),
    "a point in a late row": (
        "x;y\n" + "1,5;0,5\n2,5;1,5\n" * 600 + "1.234;0,5\n",
        "t is no table of numbers: '1.234' may have a mark between",
    ),
    "a million columns": (f"{MILLION}\n{MILLION}\n", "it has 1,000,000 columns, and at most 1,000"),
    "damaged text": (b"\xff\xfea", "t is no table of numbers: its text is damaged"),
    "binary": (
        bytes(range(256)),
        "it is binary, of a kind that is not known here: write it as csv",
    ),
    "gzip": (gzip.compress(HW.encode()), "it is compressed by gzip: unpack it by gunzip"),
    "zip": (lambda: zipped("x.csv"), "it is a zip file: unpack it by unzip"),
    "Excel": (lambda: zipped("xl/workbook.xml"), "it is of Excel: save it there as CSV"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", "it is of Excel: save it there as CSV"),
    "MATLAB": (of_matlab, "it is of MATLAB: write it there by writematrix(x, 'x.csv')"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "it is HDF5: in Python, numpy.save"),
    "a pickle": (b"\x80\x04\x95", "it is a pickle of Python: write it there by numpy.save"),
    "JSON": ('[{"x": 1}]', "it is JSON: write it as csv"),
    "HTML": ("<table>", "it is HTML or XML: write its table as csv"),
    "half an array": (
        lambda: pathlib.Path("x.npy").read_bytes()[:-50],
        "t is no table of numbers:",
    ),
    "objects": (objects, "t is no table of numbers: Array can't be memory-mapped"),
    "half an archive": (half, "t cannot be loaded: it is damaged"),
}


def refusal(capsys, arguments: list[str]) -> str:
    """The one line of a command that ends with status 2, within two seconds."""
    start = time.process_time()
    with pytest.raises(SystemExit) as stop:
        parser.main(arguments)
    assert time.process_time() - start < 2
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("jaxgmm")
    assert len(line) < 400
    return line


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name, capsys, monkeypatch):
    monkeypatch.setattr(report, "PATIENCE", 1e3)
    content, message = BAD_TABLES[name]
    write("t", content() if callable(content) else content)
    assert message in refusal(capsys, ["compare", "t", "t"])


BAD = {
    "no such file": (
        lambda: ["compare", "a.npz", "none.npz"],
        "none.npz: No such file or directory",
    ),
    "folder": (lambda: ["compare", ".", "a.npz"], ".: Is a directory"),
    "dimensions": (
        lambda: ["compare", "a.npz", "plane.npz"],
        "they live in spaces of different dimensions: a.npz has 1, plane.npz has 2",
    ),
    "dimensions of a table": (
        lambda: ["compare", "a.npz", write("t", HW)],
        "they live in spaces of different dimensions: a.npz has 1, t has 2 (h, w)",
    ),
    "other columns": (
        lambda: ["compare", write("s", "h,x,y\n" + HW[4:]), write("t", HW)],
        "s is no table of numbers: row 1 has 2 cells, and not 3",
    ),
    "a column more": (
        lambda: ["compare", write("s", "a,h,b,w\n1,2,3,4\n2,1,5,3\n"), write("t", HW)],
        "s has 4 columns of numbers, t 2; only s has a, b: choose by --columns or --drop",
    ),
    "other names": (
        lambda: ["compare", write("s", "h,x\n1,2\n2,1\n"), write("t", HW)],
        "; only s has x; only t has w: choose by --columns or --drop",
    ),
    "fewer columns without names": (
        lambda: ["compare", "x.npy", write("t", "h,v,w\n1,2,3\n3,4,1\n")],
        "x.npy has 2 columns of numbers, t 3: choose by --columns or --drop",
    ),
    "no such column": (
        lambda: ["compare", write("t", HW), "t", "--columns", "h,x"],
        "t has no column 'x', but h, w",
    ),
    "no such column to drop": (
        lambda: ["compare", "x.npy", "x.npy", "--drop", "3"],
        "x.npy has no column '3', but 1, 2",
    ),
    "a column of words": (
        lambda: ["compare", write("t", "who,h\nann,1\nbob,2\n"), "t", "--columns", "who,h"],
        "t: 'who' holds no numbers: leave it out",
    ),
    "no column left": (
        lambda: ["compare", "x.npy", "x.npy", "--drop", "1,2"],
        "x.npy has no column of numbers",
    ),
    "stack": (
        lambda: ["compare", "a.npz", "stack.npz"],
        "stack.npz holds a stack of 2 mixtures, and not one",
    ),
    "tree": (
        lambda: ["compare", "tree.npz", "a.npz"],
        "tree.npz cannot be loaded: it holds no mixture, but another pytree",
    ),
    "cube": (
        lambda: ["compare", saved("c.npz", np.ones((2, 2, 2))), "a.npz"],
        "c.npz is no table of numbers: it must be an array",
    ),
    "text array": (
        lambda: ["compare", saved("c.npz", np.array(["x"])), "a.npz"],
        "c.npz is no table of numbers: it must be",
    ),
    "two arrays": (
        lambda: ["compare", saved("c.npz", POINTS, POINTS), "a.npz"],
        "the archive must hold one array, or a vector for each column, but holds arr_0, arr_1",
    ),
    "a format of pictures": (
        lambda: ["compare", "a.npz", "b.npz", "--plot", "picture.txt"],
        "--plot picture.txt: 'txt' is no format of pictures",
    ),
    "no folder for a picture": (
        lambda: ["compare", "a.npz", "b.npz", "--plot", "none/picture.png"],
        "--plot none/picture.png: there is no such folder",
    ),
    "few points": (
        lambda: ["compare", "x.npy", "x.npy", "-k", "81"],
        "too few for 81 components",
    ),
    "name": (
        lambda: ["compare", "a.npz", "b.npz", "-d", "kl,kk"],
        "argument -d/--divergence: there is no 'kk': the names are",
    ),
    "rtol": (
        lambda: ["compare", "a.npz", "b.npz", "--rtol", "0"],
        "argument --rtol: must be a positive number, got '0'",
    ),
    "K": (
        lambda: ["reduce", "a.npz", "0", "-o", "o"],
        "argument K: must be an integer of at least 1, got '0'",
    ),
    "no K": (lambda: ["reduce", "a.npz", "-o", "o"], "the following arguments are required: K"),
    "points to reduce": (
        lambda: ["reduce", "x.npy", "1", "-o", "o"],
        "x.npy cannot be loaded: it is not a file of jaxgmm",
    ),
    "nowhere": (
        lambda: ["reduce", "a.npz", "1", "-o", "none/o"],
        "none/o: No such file or directory",
    ),
    "no periods": (
        lambda: ["drift", write("t", HW)],
        "give one table and --by COLUMN, or a table for each of several periods",
    ),
    "no column of periods": (
        lambda: ["drift", write("t", HW), "--by", "month"],
        "t has no column 'month', but h, w",
    ),
    "one period": (
        lambda: ["drift", write("t", "h,m\n1,a\n2,a\n"), "--by", "m"],
        "t: 'm' holds 1 value, and misses 0: it must name one of 2 to 100 periods",
    ),
    "a row without a period": (
        lambda: ["drift", write("t", "h,m\n1,a\n2,b\n3,\n"), "--by", "m"],
        "t: 'm' holds 3 values, and misses 1: it must name one of 2 to 100 periods",
    ),
    "no such period": (
        lambda: ["drift", write("s", HW), write("t", HW), "--baseline", "s,Juni"],
        "--baseline: there is no period 'Juni', but s, t",
    ),
    "a number of permutations": (
        lambda: ["compare", "x.npy", "x.npy", "--permutations", "-1"],
        "argument --permutations: must be an integer of at least 1, got '-1'",
    ),
    "command": (lambda: ["foo"], "argument COMMAND: invalid choice: 'foo'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, capsys, monkeypatch):
    monkeypatch.setattr(report, "PATIENCE", 1e3)
    arguments, message = BAD[name]
    assert message in refusal(capsys, arguments())
