"""The tables that the command line reads: of text in many forms, of NumPy, and of parquet."""

import argparse
import pathlib
import sys
import time

import numpy as np
import pytest

from jaxgmm._cli import parser, samples, tables, text
from support.mixtures import POINTS

pytestmark = pytest.mark.usefixtures("saved_files")


def lines(x=POINTS, mark=",", decimal=".", begin="", end=""):
    return "".join(
        f"{begin.format(i + 1)}{a}{mark}{b}{end}\n".replace(".", decimal)
        for i, (a, b) in enumerate(x)
    )


ROW_NAMES = "its first column has no name: it is left out, as row names"
NO_NUMBERS = "left out, as they hold no numbers: "
HW = ["h", "w"]

# The text of POINTS in a file, the names that are found, and the note.
RIGHT = {
    "plain": (lines(), ["1", "2"], None),
    "names": ("h, w\n" + lines(), HW, None),
    "quoted": ('"h","w"\n' + lines(begin='"', mark='","', end='"'), HW, None),
    "from Excel": (("h;w\n" + lines(mark=";")).replace("\n", "\r\n") + ";\r\n", HW, None),
    "of an old Macintosh": (("h,w\n" + lines()).replace("\n", "\r"), HW, None),
    "decimal commas": ("h;w\n" + lines(mark=";", decimal=","), HW, None),
    "decimal commas alone": (lines(mark=";", decimal=","), ["1", "2"], None),
    "decimal commas and tabs": ("h\tw\n" + lines(mark="\t", decimal=","), HW, None),
    "tabs": ("h\tw\n" + lines(mark="\t"), HW, None),
    "bars": ("h|w\n" + lines(mark="|"), HW, None),
    "spaces": (lines(mark="  ", begin=" ", end="  ") + "\n", ["1", "2"], None),
    "from savetxt": ("# h w\n" + lines(mark=" "), HW, None),
    "a comma at the end": ("h,w\n" + lines(end=","), HW, NO_NUMBERS + "column 3"),
    "two commas at the end": ("h,w,\n" + lines(end=","), HW, NO_NUMBERS + "column 3"),
    "a name of two lines": ('"h\n(cm)",w\n' + lines(), ["h (cm)", "w"], None),
    "umlauts": ("größe,w\n" + lines(), ["größe", "w"], None),
    "write.table": ('"h" "w"\n' + lines(mark=" ", begin='"{}" '), HW, ROW_NAMES),
    "write.table of cars": ('"h" "w"\n' + lines(mark=" ", begin='"Mazda RX{}" '), HW, ROW_NAMES),
    "write.csv": ('"","h","w"\n' + lines(begin='"{}",'), HW, ROW_NAMES),
    "to_csv": (",0,1\n" + lines(begin="{},"), ["0", "1"], ROW_NAMES),
    "words": ("who,h,w\n" + lines(begin="bob{},"), HW, NO_NUMBERS + "who"),
    "words without names": (lines(begin="bob{},"), ["2", "3"], NO_NUMBERS + "1"),
    "dates": ("day,h,w\n" + lines(begin="2024-01-01,"), HW, NO_NUMBERS + "day"),
    "booleans": ("h,w,ok\n" + lines(end=",TRUE"), HW, NO_NUMBERS + "ok"),
    "an empty column": ("h,w,x\n" + lines(end=",NA"), HW, NO_NUMBERS + "x"),
}


def used(path, columns=None, drop=(), dropna=False):
    """The sample of one table, as `compare` uses it."""
    arguments = argparse.Namespace(columns=columns, drop=list(drop), dropna=dropna)
    return samples.varying(samples.samples_of({"A": tables.read_table(path)}, arguments))


@pytest.mark.parametrize("name", RIGHT)
def test_tables_of_text(name):
    content, names, note = RIGHT[name]
    pathlib.Path("t").write_bytes(content.encode())
    assert not tables.is_saved_mixture("t")
    sample = used("t")
    np.testing.assert_array_equal(sample.points["A"], POINTS)
    assert sample.names == names
    assert sample.notes == ([] if note is None else [f"t: {note}"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_encodings(encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    pathlib.Path("t").write_bytes((mark + "größe,w\n" + lines()).encode(encoding))
    assert used("t").names == ["größe", "w"]
    pathlib.Path("t").write_bytes((mark + lines()).encode(encoding))
    np.testing.assert_array_equal(used("t").points["A"], POINTS)


@pytest.mark.parametrize("names", ["h,w,who\n", ""])
@pytest.mark.parametrize("is_slow", [False, True])
def test_a_table_in_batches(names, is_slow, monkeypatch):
    """Both readers agree, and words that come late make a column of words."""
    monkeypatch.setattr(text, "NUM_ROWS", 7)
    monkeypatch.setattr(text, "NUM_SAMPLED", 3)
    if is_slow:
        monkeypatch.setattr(text, "_plain_columns", lambda *_: None)
    pathlib.Path("t").write_text(names + lines(end=",1"))
    columns = list(tables.read_table("t").columns.values())
    np.testing.assert_array_equal(np.transpose(columns[:2]), POINTS)
    pathlib.Path("t").write_text(names + lines(end=",1") + lines(end=",red"))
    columns = list(tables.read_table("t").columns.values())
    np.testing.assert_array_equal(np.transpose(columns[:2]), np.tile(POINTS, (2, 1)))
    assert (columns[2][0], columns[2][-1]) == (1.0, "red")


def test_tables_of_numpy():
    np.savez("one.npz", POINTS)
    np.savez_compressed("compressed.npz", points=POINTS)
    for path in ("x.npy", "one.npz", "compressed.npz"):
        assert not tables.is_saved_mixture(path)
        np.testing.assert_array_equal(used(path).points["A"], POINTS)
    np.save("line.npy", np.arange(3))
    np.testing.assert_array_equal(used("line.npy").points["A"], [[0.0], [1.0], [2.0]])
    np.savez("named.npz", h=POINTS[:, 0], w=POINTS[:, 1])
    records = np.rec.fromarrays([POINTS[:, 0], ["x"] * 40, POINTS[:, 1]], names="h,who,w")
    np.save("records.npy", records)
    for path in ("named.npz", "records.npy"):
        assert used(path).names == HW
        np.testing.assert_array_equal(used(path).points["A"], POINTS)


def test_tables_of_parquet():
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    height = [None, *POINTS[1:, 0].tolist()]
    columns = {"h": height, "w": POINTS[:, 1], "who": ["x"] * 40, "__index_level_0__": range(40)}
    parquet.write_table(arrow.table(columns), "t.parquet")
    table = tables.read_table("t.parquet")
    assert list(table.columns) == ["h", "w", "who"]
    np.testing.assert_array_equal(used("t.parquet", dropna=True).points["A"], POINTS[1:])


def test_parquet_without_its_library(monkeypatch, capsys):
    pathlib.Path("t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SystemExit):
        parser.main(["compare", "t.parquet", "x.npy"])
    needs = "t.parquet, a file of parquet, needs pyarrow: pip install 'jaxgmm[tables]'"
    assert needs in capsys.readouterr().err


def test_missing_values():
    cells = ["NA", "", "NaN", "null", "N/A", "#N/A", "None", "."]
    rows = "".join(f"{cell},1.5,red\n" for cell in cells) + "3.5,nan,\n"
    pathlib.Path("t").write_text("h,w,who\n" + lines(end=",x") + rows)
    sample = used("t", dropna=True)
    np.testing.assert_array_equal(sample.points["A"], POINTS)
    said = "t: 9 of 49 rows are left out, as they miss a value"
    assert sample.notes == ["t: " + NO_NUMBERS + "who", said]
    assert len(used("t", columns=["w"], dropna=True).points["A"]) == 48
    assert len(used("t", drop=["h"], dropna=True).points["A"]) == 48


def test_constant_columns():
    """A column that is constant in one sample is left out by name, with both of its values."""
    x, n = np.ones((100, 4)), 100
    x[:, 0], x[:, 1], x[:, 3] = np.arange(n), np.arange(n) % 7, np.arange(n) / 3
    y = x.copy()
    x[:, 2], y[:, 2], y[:, 3] = 3.0, 3.001, 0.1 + 1e-17 * (np.arange(n) % 4)
    both = {"A": table("a", x), "B": table("b", y)}
    arguments = argparse.Namespace(columns=None, drop=[], dropna=False)
    sample = samples.varying(samples.samples_of(both, arguments))
    assert sample.names == ["c0", "c1"]
    np.testing.assert_array_equal(sample.points["B"], y[:, :2])
    assert sample.notes == [
        "c2 is left out, as it is constant: 3 in A against 3.001 in B",
        "c3 is left out, as it is constant: 0 to 33 in A against 0.1 in B",
    ]


def table(path, x):
    return tables.Table(path, {f"c{i}": column for i, column in enumerate(x.T)}, True, [])


def test_columns_are_matched_by_name(capsys):
    """In any order, and by their order where one table has no names."""
    pathlib.Path("s").write_text("h,w\n" + lines())
    pathlib.Path("t").write_text("w,who,h\n" + lines(POINTS[:, ::-1], mark=",red,"))
    np.save("u.npy", POINTS)
    chosen = argparse.Namespace(columns=None, drop=[], dropna=False)
    for path, note in [
        ("t", "t: its columns are in another order, and are matched by name"),
        ("u.npy", "u.npy and s: one has no names, and columns keep their order"),
    ]:
        both = {"A": tables.read_table("s"), "B": tables.read_table(path)}
        sample = samples.samples_of(both, chosen)
        assert sample.names == HW
        np.testing.assert_array_equal(sample.points["B"], POINTS)
        assert sample.notes[-1] == note
        assert f"jaxgmm: {note}" in capsys.readouterr().err


def test_periods():
    """In the order of time: sorted if they are numbers or dates, else as they come."""
    month = np.repeat(["Jan", "Feb", "Mar", "Apr"], 10)
    for labels, order in [
        (month, ["Jan", "Feb", "Mar", "Apr"]),
        (np.repeat([10, 9, 12, 11], 10), ["9", "10", "11", "12"]),
        (
            np.repeat(["2024-02", "2024-01", "2024-03"], [10, 10, 20]),
            ["2024-01", "2024-02", "2024-03"],
        ),
    ]:
        rows = lines().splitlines()
        text = "h,w,m\n" + "".join(f"{a},{b}\n" for a, b in zip(rows, labels, strict=True))
        pathlib.Path("t").write_text(text + f"NA,1,{labels[0]}\n" * 2)
        table = tables.read_table("t")
        arguments = argparse.Namespace(columns=["h", "w"], drop=[], dropna=True)
        parts = samples.by_period(samples.samples_of({"t": table}, arguments), table, "m").points
        assert list(parts) == order
        for name, points in parts.items():
            np.testing.assert_array_equal(points, POINTS[labels.astype(str) == name])


@pytest.mark.long
def test_a_million_rows():
    """In about two seconds where all are numbers."""
    x = np.random.default_rng(0).normal(size=(10**6, 8)).round(7)
    np.savetxt("t", x, delimiter=",", fmt="%.7f")
    start = time.perf_counter()
    found = used("t").points["A"]
    assert time.perf_counter() - start < 10
    np.testing.assert_array_equal(found, x)
