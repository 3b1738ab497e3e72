"""Drift from period to period."""

import json

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm import drift

MONTH = np.repeat(np.arange(1, 13), 150)
NAMES = ["a", "b", "c", "d"]


def year(seed: int, planted: float) -> np.ndarray:
    """Two clusters, and from August on a shift of the first column and a wider third one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(MONTH), 4))
    x[rng.random(len(MONTH)) < 0.4] += 3
    x[MONTH >= 8, 0] += planted
    x[MONTH >= 8, 2] *= 1 + planted
    return x


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twelve_months():
    alarms = 0
    for seed in range(20):
        result = drift(jax.random.key(seed), year(seed, 0.0), MONTH, 2, num_permutations=39)
        alarms += result.first is not None
        upper = result.matrix[np.triu_indices(12, 1)]
        # One level: no month stands apart, as one whose EM stopped elsewhere would.
        assert upper.max() < 2 * result.chance_level
        assert 0.7 < upper.mean() / result.chance_mean < 1.4
        assert (result.first is None) == ("No drift" in str(result))
    assert alarms <= 20 * 0.05 + 3 * np.sqrt(20 * 0.05 * 0.95)
    found = drift(jax.random.key(0), year(0, 0.6), MONTH, 2, columns=NAMES)
    assert found.first == 8
    assert found.moved == ("a", "c")
    assert "Drift from 8 on" in str(found)
    assert "in a, c" in str(found)
    numbers = json.loads(json.dumps(found.to_dict()))
    assert numbers["first"] == 8
    assert numbers["p_values"]["8"] == found.p_values[8]
    fixed = drift(jax.random.key(0), year(0, 0.6), MONTH, 2, baseline=[1, 2, 3])
    assert fixed.first == 8
    assert set(fixed.p_values) == set(range(4, 13))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_first_period_and_its_columns():
    """An earlier period is an alarm at a level of 5 %, although later ones differ, and so is an
    unmoved column.
    """
    month, found = np.repeat(np.arange(1, 9), 100), []
    for seed in range(100):
        x = np.random.default_rng(seed).normal(size=(800, 3))
        x[month >= 6, 1] += 1
        options = {"columns": ["a", "b", "c"], "num_permutations": 99}
        result = drift(jax.random.key(seed), x, month, 1, **options)
        found.append((result.first < 6, result.first > 6, set(result.moved) != {"b"}))
    early, late, others = np.mean(found, 0)
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert early <= bound
    assert late == 0
    assert others <= bound


@pytest.mark.parametrize(
    ("period", "options", "message"),
    [
        (MONTH[:5], {}, "period has 5 labels for the 1800 rows of x"),
        (np.ones(1800), {}, "period has no more labels than the baseline"),
        (MONTH, {"baseline": [13]}, "baseline: there is no period 13"),
        (MONTH, {"columns": NAMES[:2]}, "columns: x has no a, b"),
        (None, {}, "period must be a sequence"),
    ],
)
def test_what_is_wrong_is_named(period, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        drift(jax.random.key(0), year(0, 0.0), period, 2, **options)


@pytest.mark.long
def test_the_first_period_is_named():
    rng = np.random.default_rng(0)
    month = np.repeat(["2024-01", "2024-02", "2024-03"], 60)
    x = rng.normal(size=(180, 1)) + 1.5 * (month == "2024-03")[:, None]
    result = drift(jax.random.key(0), x, month, 1, num_permutations=39, columns=["ink"])
    assert isinstance(result, jaxgmm.DriftResult)
    assert result.first == "2024-03"
    assert result.moved == ("ink",)
    assert result.p_values["2024-02"] > 0.05
    assert result.matrix.shape == (3, 3)
