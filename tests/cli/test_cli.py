"""The command line: right numbers, and one line for what is wrong."""

import functools
import json
import os
import pathlib
import re
import sys
import warnings

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm._cli import fitting, parser, report
from jaxgmm._cli.divergences import MEASURES, function_of
from jaxgmm._validation.validated_jit import declared_by
from oracles import dense, quadrature
from support.mixtures import PAIRS, gmm

A, B = PAIRS["overlapping"]
pytestmark = pytest.mark.usefixtures("saved_files")


def command(*arguments: str) -> int:
    """Its exit status."""
    try:
        return parser.main(list(arguments))
    except SystemExit as stop:
        return stop.code


def results(capsys, *arguments: str) -> dict[str, dict]:
    """The results of a command by their labels."""
    assert command(*arguments, "--json") == 0
    return {result["label"]: result for result in json.loads(capsys.readouterr().out)["results"]}


def assert_right(result: dict, exact: float, rtol: float = 1e-3) -> None:
    assert result["converged"] is True
    assert result["n"] >= 16 * 2**10
    assert result["standard_error"] <= rtol * abs(result["value"]) + 1e-2 * rtol
    assert (
        abs(result["value"] - exact) <= 5 * result["standard_error"] + 1e-7
    )  # which float32 in the file is good for


def test_compare_saved_mixtures(capsys):
    found = results(capsys, "compare", "a.npz", "b.npz")
    assert list(found) == ["KL(A || B)", "KL(B || A)", "JS(A, B)"]
    for result, exact in zip(
        found.values(), (quadrature.kl(A, B), quadrature.kl(B, A), quadrature.js(A, B)), strict=True
    ):
        assert_right(result, exact)
    assert command("compare", "a.npz", "b.npz") == 0
    output = capsys.readouterr().out
    assert output.startswith(
        "A:   a.npz: 2 components (full) in 1 dimension\n"
        "B:   b.npz: 2 components (full) in 1 dimension\n"
    )
    errors = "+- is the standard error of the integration alone."
    chance = "Chance cannot be told without the data: compare tables for that."
    assert output.splitlines()[-2:] == [errors, chance]
    for label, result in found.items():
        assert re.search(
            rf"^{re.escape(label)} +{result['value']:.6g} \+- {result['standard_error']:.2g} nats$",
            output,
            re.M,
        )


FOUND_BESIDE = ("MW2(A, B)", "KL variational(B || A)", "KL product(A || B)", "KL matched(A || B)")


@pytest.mark.long
def test_every_measure(capsys):
    found = results(capsys, "compare", "a.npz", "b.npz", "-d", ",".join(MEASURES))
    kl, back, js = quadrature.kl(A, B), quadrature.kl(B, A), quadrature.js(A, B)

    def densities(x):
        return np.stack([np.exp(A.log_prob(x)), np.exp(B.log_prob(x))])

    affinity = quadrature.integral(lambda x: np.sqrt(densities(x).prod(0)), A, B)
    squared = quadrature.integral(lambda x: (densities(x)[0] - densities(x)[1]) ** 2, A, B)
    overlap = quadrature.integral(lambda x: densities(x).prod(0), A, B)
    squares = [quadrature.integral(lambda x, i=i: densities(x)[i] ** 2, A, B) for i in (0, 1)]
    assert_right(found["Jeffreys(A, B)"], kl + back)
    assert_right(found["Hellinger(A, B)"], np.sqrt(1 - affinity))
    assert_right(
        found["TV(A, B)"],
        0.5 * quadrature.integral(lambda x: np.abs(np.subtract(*densities(x))), A, B, refine=9),
    )
    assert found["L2(A, B)"]["value"] == pytest.approx(np.sqrt(squared), rel=1e-6)
    assert found["Cauchy-Schwarz(A, B)"]["value"] == pytest.approx(
        -np.log(overlap / np.sqrt(np.prod(squares))), rel=1e-6
    )
    for label, exact in [
        ("KL bounds(A || B)", kl),
        ("KL bounds(B || A)", back),
        ("JS bounds(A, B)", js),
    ]:
        assert found[label]["lower"] < exact < found[label]["upper"]
    assert set(FOUND_BESIDE) < set(found)


@pytest.mark.parametrize("name", MEASURES)
def test_labels_tell_if_the_order_matters(name):
    is_symmetric = declared_by(function_of(name)).symmetric
    assert ("||" in MEASURES[name].label) == (not is_symmetric)


def test_reduce(capsys):
    """One component of the same moments."""
    mean = A.weights @ A.means[:, 0]
    variance = A.weights @ (A.covariances[:, 0, 0] + (A.means[:, 0] - mean) ** 2)
    merged = dense.mixture([1.0], [mean], [variance])
    assert_right(
        results(capsys, "reduce", "a.npz", "1", "-o", "one.npz")["KL(A || OUT)"],
        quadrature.kl(A, merged),
    )
    assert jaxgmm.load("one.npz").covariances[0, 0, 0] == pytest.approx(variance)


@pytest.mark.long
def test_reduce_and_refine(capsys):
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):  # as optax needs it
        assert command("reduce", "b.npz", "1", "--refine", "-o", "refined") == 0
    assert re.search(
        r"^OUT: refined: 1 component \(full\) in 1 dimension\nKL", capsys.readouterr().out, re.M
    )
    assert jaxgmm.load("refined").loc.dtype == np.float32


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_a_picture(num_dims, capsys, monkeypatch):
    """Of the right kind, of the first two coordinates if there are more; what is drawn on it is the
    matter of the pictures.
    """
    drawn = []
    for name in ("densities", "contours"):
        monkeypatch.setattr(
            jaxgmm.plot, name, functools.partial(note, drawn, name, getattr(jaxgmm.plot, name))
        )
    for name in ("p$.npz", "q$.npz"):
        means = np.arange(num_dims)[None, :]
        jaxgmm.save(name, jaxgmm.GMM.from_moments([1.0], means, np.ones((1, num_dims)), "diag"))
    assert command("compare", "p$.npz", "q$.npz", "-d", "l2", "--plot", "picture.png") == 0
    assert pathlib.Path("picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert drawn == [
        ("densities" if num_dims == 1 else "contours", min(num_dims, 2), "p: p$.npz, q: q$.npz")
    ]
    said = "jaxgmm: picture.png shows the first two of 3 coordinates"
    assert (said in capsys.readouterr().err.splitlines()) == (num_dims == 3)


def note(drawn, name, picture, a, b, ax, *, dims, columns):
    np.testing.assert_array_equal(a.means, [np.arange(a.num_dims)])
    assert (list(dims), columns) == ([0, 1][: a.num_dims], None)
    drawn.append((name, len(dims), ax.get_title()))
    return picture(a, b, ax=ax, dims=dims, columns=columns)


def test_a_picture_without_matplotlib(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    assert command("compare", "a.npz", "b.npz", "--plot", "picture.png") == 2
    said = "jaxgmm: --plot needs matplotlib: pip install 'jaxgmm[plot]'\n"
    assert capsys.readouterr() == ("", said)


def test_what_is_said_beside_the_results(capsys, monkeypatch):
    monkeypatch.setattr(report, "PATIENCE", 0.0)
    monkeypatch.setattr(jaxgmm, "estimate", functools.partial(slow_estimate, jaxgmm.estimate))
    assert command("compare", "a.npz", "b.npz", "-d", "js_divergence", "--rtol", "1e-9") == 0
    captured = capsys.readouterr()
    said = [
        "jaxgmm: computing JS(A, B) ...",
        "jaxgmm: JS(A, B): the error is above the tolerance even with 65536 points",
    ]
    assert captured.err.splitlines() == said
    assert captured.out.splitlines()[2].startswith("JS(A, B)  ")


def slow_estimate(estimate, *arguments, **options):
    return estimate(*arguments, **{**options, "max_points": 1})


def interrupt(*arguments, **options):
    raise KeyboardInterrupt


def interrupted_fit(*arguments, **options):
    warnings.warn(
        "fit was interrupted after 0 steps, whose result this is", RuntimeWarning, stacklevel=2
    )
    return gmm(A)


@pytest.mark.parametrize(
    ("broken", "by"),
    [
        ("estimate", interrupt),
        ("reduce", interrupt),
        ("reduce", interrupted_fit),
        ("components_of", interrupt),
        ("components_of", interrupted_fit),
    ],
)
def test_interrupts(broken, by, capsys, monkeypatch):
    monkeypatch.setattr(fitting if broken == "components_of" else jaxgmm, broken, by)
    monkeypatch.setattr(report, "PATIENCE", 1e3)
    before = set(os.listdir())
    arguments = {
        "estimate": ["compare", "a.npz", "b.npz"],
        "reduce": ["reduce", "a.npz", "1", "-o", "one.npz"],
        "components_of": ["compare", "x.npy", "x.npy"],
    }
    assert command(*arguments[broken]) == 130
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "jaxgmm: interrupted\n")
    assert set(os.listdir()) == before


@pytest.mark.smoke
def test_help_and_version(capsys):
    for arguments, expected in [
        (["--version"], f"jaxgmm {jaxgmm.__version__}\n"),
        (["--help"], "compare   How far apart"),
        (["compare", "--help"], "--covariance-type {full,tied,diag,spherical}"),
        (["drift", "--help"], "--by COLUMN"),
        (["reduce", "--help"], "--refine"),
    ]:
        assert command(*arguments) == 0
        assert expected in capsys.readouterr().out


def test_an_infinite_divergence_in_json(capsys):
    """JSON has no number for it; text shows it as one."""
    for name, variance in (("wide.npz", 1.0), ("narrow.npz", 0.25)):
        jaxgmm.save(name, gmm(dense.mixture([1.0], [0.0], [variance])))
    found = results(capsys, "compare", "wide.npz", "narrow.npz", "-d", "chi_squared")
    result = found["chi-squared(A || B)"]
    assert (result["value"], result["standard_error"], result["converged"]) == ("inf", 0, True)
