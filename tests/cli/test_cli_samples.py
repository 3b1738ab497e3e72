"""Comparisons of tables by the command line: the traps between two files and an answer."""

import contextlib
import io
import json
import math

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm._cli import parser
from oracles import dense, quadrature
from support.mixtures import PAIRS

pytestmark = pytest.mark.usefixtures("saved_files")

N = 60
FEW = ["-k", "1", "--permutations", "19", "--bootstrap", "19"]  # of one shape, so that few programs
RNG = np.random.default_rng(5)
X, Y, Z = RNG.normal(size=(3, N, 2)) * [1.0, 3.0] + [[[0.0, 0.0]], [[0.0, 0.0]], [[2.0, 0.0]]]


def write(path, x, names=("h", "w"), begin=""):
    rows = [begin.format(i + 1) + ",".join(map(repr, row)) for i, row in enumerate(x.tolist())]
    with open(path, "w") as file:
        file.write("\n".join([",".join(names), *rows]))


def run(*arguments):
    """What the command prints, and what it says beside that."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert parser.main(list(arguments)) == 0
    return out.getvalue(), err.getvalue()


def compared(*arguments):
    output, said = run("compare", *FEW, *arguments, "--json")
    found = json.loads(output, parse_constant=pytest.fail)
    notes = [f"jaxgmm: {note}" for note in found["notes"]]
    assert [
        line for line in said.splitlines() if line[-3:] != "..." and "refits" not in line
    ] == notes
    return found


def moments(x):
    """The fit of one component, which has the moments of the data, as an oracle's."""
    return dense.mixture([1.0], [x.mean(0)], [np.cov(x.T, bias=True)])


def test_two_tables():
    write("x.csv", X)
    write("z.csv", Z)
    found = compared("x.csv", "z.csv", "-d", "js,kl")
    js, kl, back = found["results"]
    p, q = moments(X), moments(Z)
    for result, exact in (
        (js, quadrature.js(p, q)),
        (kl, quadrature.kl(p, q)),
        (back, quadrature.kl(q, p)),
    ):
        error = result["standard_error"]
        assert error < 1e-2 * exact
        assert result["value"] == pytest.approx(exact, abs=5 * error + 1e-5)
    assert [kl["label"], back["label"]] == ["KL(A || B)", "KL(B || A)"]
    assert (js["p_value"], len(js["chance"]), js["fits_converged"]) == (0.05, 19, True)
    assert js["chance_mean"] == pytest.approx(np.mean(js["chance"]))
    assert js["chance_range"][0] < js["chance_mean"] < js["chance_range"][1] < js["value"]
    assert js["excess"] == pytest.approx(js["value"] - js["chance_mean"])
    assert js["excess_interval"][0] < js["excess"] < js["excess_interval"][1]
    assert found["columns"] == ["h", "w"]
    assert found["mixtures"]["A"]["num_rows"] == N
    assert found["settings"]["permutations"] == 19
    assert (found["settings"]["seed"], found["jaxgmm"]) == (0, jaxgmm.__version__)
    assert found["jax"] == jax.__version__


@pytest.mark.long
def test_columns_in_the_results():
    write("x.csv", X)
    write("z.csv", Z)
    columns = compared("x.csv", "z.csv", "--by-column")["results"][0]["columns"]
    assert list(columns) == ["h", "w"]
    assert columns["h"]["p_value"] <= 0.05 < columns["w"]["p_value"]


def test_words():
    """A difference is told from chance, and what the error is."""
    write("x.csv", X)
    write("y.csv", Y)
    write("z.csv", Z)
    output, _ = run("compare", "x.csv", "y.csv", *FEW)
    about, other, words = output.splitlines()
    assert about == "A:   x.csv: 1 component (full) in 2 dimensions, 60 rows"
    assert other.startswith("B:   y.csv")
    assert words.startswith("JS 0.0")
    assert ": no more than chance, p = " in words
    assert "; excess 0 to 0." in words
    assert ". Error of the integration 0.0" in words
    words = run("compare", "x.csv", "z.csv", *FEW)[0].splitlines()[2]
    assert (
        ": more than chance, p = 0.05, the least that 19 permutations can show; excess 0." in words
    )
    words = run("compare", "x.csv", "z.csv", *FEW, "--permutations", "0")[0].splitlines()[2]
    assert "chance" not in words


def value(found):
    return found["results"][0]["value"], found["results"][0]["p_value"]


def test_traps():
    """One answer, whatever the units, the order of the columns, row names and constant columns."""
    write("x.csv", X)
    write("z.csv", Z)
    js, p_value = value(compared("x.csv", "z.csv"))
    assert (js > 0.2, p_value) == (True, 0.05)
    for unit in (1e3, 1e-6, 1e9):
        write("x1.csv", X * [unit, 1 / unit])
        write("z1.csv", Z * [unit, 1 / unit])
        assert value(compared("x1.csv", "z1.csv")) == (pytest.approx(js, rel=1e-2), 0.05)
    write("other.csv", Z[:, ::-1], ["w", "h"])
    found = compared("x.csv", "other.csv")
    assert value(found) == (js, p_value)
    assert found["columns"] == ["h", "w"]
    assert "matched by name" in found["notes"][0]
    write("r.csv", Z, begin='"{}",')
    assert value(compared("x.csv", "r.csv")) == (js, p_value)
    constant = np.full((N, 1), 3.0)
    write("xc.csv", np.hstack([constant, X]), ["c", "h", "w"])
    write("zc.csv", np.hstack([constant + 0.001, Z]), ["c", "h", "w"])
    found = compared("xc.csv", "zc.csv")
    assert value(found) == (js, p_value)
    assert found["notes"] == ["c is left out, as it is constant: 3 in A against 3.001 in B"]
    for how in (["--columns", "h,w"], ["--drop", "c"]):
        found = compared("xc.csv", "zc.csv", *how)
        assert (value(found), found["notes"]) == ((js, p_value), [])


@pytest.mark.long
def test_doubtful_fits_are_named():
    write("x.csv", X[:5].round())
    write("z.csv", Z[:5])
    (note,) = compared("x.csv", "z.csv")["notes"]
    assert "only 5 rows of a sample for about 5 parameters" in note
    assert "fewer than 20 distinct values in h, w" in note


def test_the_number_of_components_is_chosen():
    for path, x in (("x.csv", X), ("z.csv", X[::-1] + 0.01)):
        write(path, x)
    found = compared("x.csv", "z.csv", "-k", "auto")
    assert found["mixtures"]["A"]["num_components"] == 1
    assert found["settings"]["components"] == "auto"


def test_a_table_against_a_saved_mixture():
    q = PAIRS["plane"][0]
    write("x.csv", X)
    found = compared("x.csv", "plane.npz", "-d", "l2")
    distance = quadrature.integral(
        lambda x: np.square(np.exp(moments(X).log_prob(x)) - np.exp(q.log_prob(x))), moments(X), q
    )
    assert found["results"][0]["value"] == pytest.approx(np.sqrt(distance), rel=1e-4)
    assert "p_value" not in found["results"][0]
    assert "num_rows" not in found["mixtures"]["B"]


@pytest.mark.long
def test_drift():
    """By a column, and by files: the same."""
    parts = [X[:30], X[30:], Y[:30], Z[:30], Z[30:]]
    months = ["Jan", "Feb", "Mar", "Apr", "May"]
    rows = [f"{h!r},{m},{w!r}" for x, m in zip(parts, months, strict=True) for h, w in x.tolist()]
    with open("all.csv", "w") as file:
        file.write("\n".join(["h,month,w", *rows]))
    settings = ["-k", "1", "--permutations", "39"]
    output, _ = run("drift", "all.csv", "--by", "month", *settings)
    assert output.startswith("Drift from Apr on, p = 0.025, in h. Between periods JS ")
    found = json.loads(run("drift", "all.csv", "--by", "month", *settings, "--json")[0])
    assert (found["periods"], found["first"]) == (months, "Apr")
    assert list(found["num_rows"].values()) == [30] * 5
    assert found["columns_used"] == ["h", "w"]
    for month, x in zip(months, parts, strict=True):
        write(month, x)
    by_file = json.loads(run("drift", *months, *settings, "--json")[0])
    assert by_file["matrix"] == found["matrix"]
    assert math.isfinite(found["chance_mean"])


def test_drift_without_permutations():
    """The divergences of the periods alone, and that chance is not known."""
    for path, x in (("s", X), ("t", Y), ("u", Z)):
        write(path, x)
    settings = ["drift", "s", "t", "u", "-k", "1", "--permutations", "0"]
    output, _ = run(*settings)
    assert output.endswith(" on average. Without permutations, chance is not known\n")
    found = json.loads(run(*settings, "--json")[0], parse_constant=pytest.fail)
    assert (found["first"], found["p_values"], found["chance_mean"]) == (None, {}, "nan")
    exact = quadrature.js(moments(X), moments(Z))
    assert found["matrix"][0][2] == pytest.approx(exact, rel=1e-2)
