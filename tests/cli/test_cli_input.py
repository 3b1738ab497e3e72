"""What the command line reads: tables of many kinds, and one line for what is wrong."""

import pathlib

import numpy as np
import pytest

from jaxgmm._cli import parser, report, tables
from support.mixtures import POINTS

pytestmark = pytest.mark.usefixtures("saved_files")


TABLES = {
    "plain": lambda x: "".join(f"{a},{b}\n" for a, b in x).encode(),
    "names": lambda x: b"height, weight\n" + TABLES["plain"](x),
    "quoted": lambda x: b'"height","weight"\n' + "".join(f'"{a}","{b}"\n' for a, b in x).encode(),
    "from Excel": lambda x: b"\xef\xbb\xbf" + TABLES["names"](x).replace(b"\n", b"\r\n"),
    "semicolons": lambda x: TABLES["names"](x).replace(b",", b";"),
    "tabs": lambda x: TABLES["plain"](x).replace(b",", b"\t"),
    "spaces": lambda x: TABLES["plain"](x).replace(b",", b"  ") + b"\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_text(name):
    pathlib.Path("table").write_bytes(TABLES[name](POINTS))
    assert not tables.is_saved_mixture("table")
    np.testing.assert_array_equal(tables.read_points("table"), POINTS)


def test_a_column_with_the_mark_of_unicode():
    write("column", b"\xef\xbb\xbf1.5\n2.5\n")
    np.testing.assert_array_equal(tables.read_points("column"), [[1.5], [2.5]])


def test_tables_of_numpy():
    np.savez("one.npz", POINTS)
    np.savez_compressed("compressed.npz", points=POINTS)
    for path in ("x.npy", "one.npz", "compressed.npz"):
        assert not tables.is_saved_mixture(path)
        np.testing.assert_array_equal(tables.read_points(path), POINTS)
    np.save("line.npy", np.arange(3))
    np.testing.assert_array_equal(tables.read_points("line.npy"), [[0.0], [1.0], [2.0]])


def write(name: str, content: bytes) -> str:
    pathlib.Path(name).write_bytes(content)
    return name


def saved(name: str, *arrays: np.ndarray) -> str:
    np.savez(name, *arrays)
    return name


def half() -> bytes:
    return pathlib.Path("a.npz").read_bytes()[:-50]


BAD = {
    "no such file": (
        lambda: ["compare", "a.npz", "none.npz"],
        "none.npz: No such file or directory",
    ),
    "folder": (lambda: ["compare", ".", "a.npz"], ".: Is a directory"),
    "no components": (
        lambda: ["compare", "a.npz", "x.npy"],
        "x.npy is a table of 40 points: say by --components how many",
    ),
    "dimensions": (
        lambda: ["compare", "a.npz", "plane.npz"],
        "their dimensions differ: a.npz has 1, plane.npz has 2",
    ),
    "stack": (
        lambda: ["compare", "a.npz", "stack.npz"],
        "stack.npz holds a stack of 2 mixtures, and not one",
    ),
    "tree": (
        lambda: ["compare", "tree.npz", "a.npz"],
        "tree.npz cannot be loaded: it holds no mixture, but another pytree",
    ),
    "half": (lambda: ["compare", write("h", half()), "a.npz"], "h cannot be loaded: it is damaged"),
    "empty": (
        lambda: ["compare", write("e.csv", b""), "a.npz"],
        "e.csv is no table of points: it has no line of numbers",
    ),
    "names alone": (
        lambda: ["compare", write("e", b"x,y\n"), "a.npz"],
        "e is no table of points: it has no line of numbers",
    ),
    "words": (
        lambda: ["compare", write("w", b"x,y\n1,2\n3,red\n"), "a.npz"],
        "w is no table of points: could not convert",
    ),
    "a gap": (
        lambda: ["compare", write("g", b"1,\n3,4\n"), "a.npz"],
        "g is no table of points: could not convert string ''",
    ),
    "row numbers": (
        lambda: ["compare", write("i.csv", b",x,y\n0,1,2\n1,3,4\n"), "a.npz"],
        "i.csv is no table of points: its first column has no name",
    ),
    "column numbers": (
        lambda: ["compare", write("j", b"0,1\n0.5,2\n"), "a.npz"],
        "j is no table of points: its first line may be",
    ),
    "quoted row numbers": (
        lambda: ["compare", write("i", b'"","x"\n"1",2\n'), "a.npz"],
        "i is no table of points: its first",
    ),
    "ragged": (
        lambda: ["compare", write("r", b"1,2\n3\n"), "a.npz"],
        "r is no table of points: the number of columns changed",
    ),
    "binary": (
        lambda: ["compare", write("b", bytes(range(256))), "a.npz"],
        "b is no table of points: 'utf-8' codec",
    ),
    "NaN": (
        lambda: ["compare", write("n", b"1,2\nnan,4\n"), "a.npz"],
        "n is no table of points: row 1 (the first is 0) holds NaN",
    ),
    "cube": (
        lambda: ["compare", saved("c.npz", np.ones((2, 2, 2))), "a.npz"],
        "c.npz is no table of points: it must be an array",
    ),
    "text array": (
        lambda: ["compare", saved("c.npz", np.array(["x"])), "a.npz"],
        "c.npz is no table of points: it must be",
    ),
    "pickles": (
        lambda: ["compare", saved("c.npz", np.array([None])), "a.npz"],
        "c.npz is no table of points: Object arrays",
    ),
    "two arrays": (
        lambda: ["compare", saved("c.npz", POINTS, POINTS), "a.npz"],
        "c.npz is no table of points: the archive must hold one array, but holds arr_0, arr_1",
    ),
    "few points": (
        lambda: ["compare", "x.npy", "x.npy", "-k", "41"],
        "x.npy: Expected n_samples >= n_components",
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
    "command": (lambda: ["foo"], "argument COMMAND: invalid choice: 'foo'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, capsys, monkeypatch):
    """Status 2, nothing among the results, and one line that says why."""
    monkeypatch.setattr(report, "PATIENCE", 1e3)
    arguments, message = BAD[name]
    with pytest.raises(SystemExit) as stop:
        parser.main(arguments())
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("jaxgmm")
    assert message in line
