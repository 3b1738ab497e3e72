"""Results in files, in JSON and in words, by one mechanism for all of them."""

import dataclasses
import datetime
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgmm
from jaxgmm._cli import parser
from support.mixtures import PAIRS, gmm
from support.trees import assert_same

P, Q = (gmm(mixture) for mixture in PAIRS["plane"])
MAY = datetime.date(2024, 5, 1)
COLUMN = jaxgmm.Column(0.1, 0.2, 0.3, 0.4, (0.05, 0.2), (3.0, 4.0))
EM = jaxgmm.EMResult(P, jnp.asarray(-2.5), jnp.asarray(12.0), jnp.asarray(7), jnp.asarray(True))
NOT_FINITE = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), P)
RESULTS = {
    "two samples": jaxgmm.TwoSampleResult(
        *(0.1, 1e-300, np.array([0.1, 0.2]), 0.05, -0.0, (0.0, 0.1), P, Q, True, (3, 4), "JS"),
        *({"a b": COLUMN, "it's": COLUMN}, {"c": "constant"}),
    ),
    "no chance": jaxgmm.TwoSampleResult(
        *(math.inf, math.nan, np.zeros(0), None, None, None, P, Q, False, (3, 4), "KL", None, {}),
    ),
    "drift": jaxgmm.DriftResult(
        ("a", MAY), np.ones((2, 2)), 0.1, 0.2, {MAY: 0.03, np.int64(3): 0.5}, MAY, {"x": (0.1, 0.2)}
    ),
    "em": EM,
    "two of em": jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), EM),
    "em that diverged": dataclasses.replace(EM, params=NOT_FINITE),
    "components": jaxgmm.ComponentTable(np.arange(2), np.ones(2), np.ones(2), 1, EM),
    "estimate": jaxgmm.Estimate({"a": jnp.ones(2)}, {"a": np.ones(2, np.float32)}, 4, None, None),
    "fit without a state": jaxgmm.FitResult(
        P, jnp.arange(3.0), jnp.asarray(False), jnp.asarray(True), None, Q
    ),
}


def same(a, b) -> bool:
    """The same types, numbers and arrays to the last bit, however they are nested."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic | jax.Array):
        assert_same(a, b)
        return True
    if isinstance(a, dict):
        return same([*a.items()], [*b.items()])
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return same(vars(a), vars(b)) if hasattr(a, "__dict__") else repr(a) == repr(b)


def test_same_sees_what_differs():
    assert same(EM, EM)
    for other in (Q, jax.tree.map(np.asarray, P)):
        assert not all_same_or_error(P, other)
    assert not same((0.0,), (-0.0,))


def all_same_or_error(a, b) -> bool:
    try:
        return same(a, b)
    except AssertionError:
        return False


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_comes_back_without_like(name, tmp_path):
    jaxgmm.save(tmp_path / "r", RESULTS[name])
    assert same(jaxgmm.load(tmp_path / "r"), RESULTS[name])


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "components"])
def test_a_result_in_json_and_in_words(name):
    result = RESULTS[name]
    numbers = json.loads(json.dumps(result.to_dict()))
    assert str(result) == str(result).strip() != ""
    assert len(str(result)) < 500
    for field in ("value", "bic", "log_likelihood", "first", "converged", "p_value"):
        if hasattr(result, field) and not isinstance(result, jaxgmm.Estimate):
            value = getattr(result, field)
            value = value.tolist() if isinstance(value, jax.Array) else value
            assert numbers[field] == (str(value) if value in (math.inf, MAY) else value)
    if name != "estimate":  # with numbers alone, JSON as others read it
        json.dumps(result.to_dict(), allow_nan=False)


def test_mixtures_in_json_are_read_again():
    of_params = EM.to_dict()["params"]
    again = jaxgmm.GMM.from_moments(**of_params)
    np.testing.assert_allclose(again.covariances, P.covariances, rtol=1e-12)
    assert "params=<2 components, 2 columns, full>" in str(EM)
    assert "bic=12, num_steps=7, converged=True" in str(EM)


def test_a_fit_of_a_pytree(tmp_path):
    start, optimizer = {"a": jnp.ones(3)}, optax.sgd(0.1, momentum=0.9)
    key = jax.random.key(0)
    result = jaxgmm.fit(key, lambda key, x: jnp.square(x["a"]).sum(), start, optimizer, 5)
    assert json.loads(json.dumps(result.to_dict()))["losses"] == result.losses.tolist()
    assert "losses=<3 to" in str(result)
    jaxgmm.save(tmp_path / "fit", result)
    assert_same(jaxgmm.load(tmp_path / "fit", like=result), result)
    with pytest.raises(ValueError, match="pass like="):
        jaxgmm.load(tmp_path / "fit")


def rewritten(path, change, without=()) -> None:
    """The file with another structure or result, as another version would have written it."""
    with np.load(path) as file:
        members = {name: file[name] for name in file if name not in without}
    for name in ("structure", "result"):
        if name in members:
            members[name] = np.array(change(members[name]))
    with open(path, "wb") as file:
        np.savez(file, **members)


def test_a_fit_from_before_the_best_was_kept_goes_on(tmp_path):
    """Its file has no least mean loss, which the fit to go on from has."""
    key, optimizer, path = jax.random.key(0), optax.sgd(1e-2), tmp_path / "run"

    def loss(key, x):
        return jnp.square(x - jax.random.normal(key, x.shape, x.dtype)).sum()

    start = jaxgmm.fit(key, loss, jnp.ones(3), optimizer, 0)
    whole = jaxgmm.fit(key, loss, jnp.ones(3), optimizer, 20)
    jaxgmm.save(path, jaxgmm.fit(key, loss, jnp.ones(3), optimizer, 10))
    lacking = "leaves.state.best_mean"
    rewritten(path, lambda lines: [s for s in lines if lacking not in s], [f"{lacking}"])
    loaded = jaxgmm.load(path, like=start)
    assert loaded.state.best_mean == math.inf
    assert_same(jaxgmm.fit(key, loss, loaded, optimizer, 10).params, whole.params)
    rewritten(path, lambda lines: lines[1:])
    with pytest.raises(ValueError, match=r"like has leaves\.params: float64, where the file has"):
        jaxgmm.load(path, like=start)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"bic"', '"aic"', "its EMResult is of another version of jaxgmm: .*'aic'"),
        ('"EMResult"', '"Sorcery"', "it holds a Sorcery, which this jaxgmm does not know: upgrade"),
        ('"EMResult"', '"save"', "it holds a save, which this jaxgmm does not know"),
        ("leaves.params.loc", "leaves.nothing", "it is damaged"),
        ("}", "", "Expecting"),
        ('{"EMResult"', '{"a": 1, "EMResult"', "too many values"),
    ],
)
def test_a_result_of_another_version_or_a_damaged_one(old, new, message, tmp_path):
    path = tmp_path / "r"
    jaxgmm.save(path, EM)
    rewritten(path, lambda a: str(a).replace(old, new) if a.ndim == 0 else a)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} cannot be loaded: .*({message})"):
        jaxgmm.load(path)


def test_a_field_with_a_default_may_lack(tmp_path):
    """So files of before a new field are never lost."""
    path = tmp_path / "r"
    jaxgmm.save(path, RESULTS["estimate"])
    rewritten(path, lambda a: str(a).replace(', "rounding": null', "") if a.ndim == 0 else a)
    with np.load(path) as file:
        assert "rounding" not in str(file["result"])
    assert same(jaxgmm.load(path), RESULTS["estimate"])


def test_what_a_result_cannot_hold_is_named(tmp_path):
    strange = jaxgmm.DriftResult((1,), np.ones((1, 1)), 0.1, 0.2, {}, object(), {})
    with pytest.raises(TypeError, match="DriftResult"):
        jaxgmm.save(tmp_path / "r", strange)


def test_the_command_asks_for_mixtures(tmp_path, capsys):
    jaxgmm.save(tmp_path / "r", EM)
    with pytest.raises(SystemExit, match="2"):
        parser.main(["compare", str(tmp_path / "r"), str(tmp_path / "r")])
    assert "holds no mixture, but EMResult" in capsys.readouterr().err
