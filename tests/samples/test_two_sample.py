"""Tests of two samples: what they find, and what they do not depend on."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes

import jaxgmm
from jaxgmm import two_sample_test

RNG = np.random.default_rng(0)
# All tests but the long ones share these shapes, and so the compiled programs.
X, SAME = RNG.normal(size=(2, 80, 2))
OTHER = SAME + np.array([0.0, 1.0])
KEY = jax.random.key(0)


def compared(x, y, **options) -> jaxgmm.TwoSampleResult:
    return two_sample_test(KEY, x, y, 2, **{"num_permutations": 39, "num_bootstrap": 39} | options)


@dataclasses.dataclass
class Frame:
    """What two_sample_test knows of a data frame of pandas or polars."""

    columns: list[str]
    values: np.ndarray

    def to_numpy(self) -> np.ndarray:
        return self.values


@pytest.fixture(scope="module")
def same() -> jaxgmm.TwoSampleResult:
    return compared(X, SAME)


@pytest.fixture(scope="module")
def other() -> jaxgmm.TwoSampleResult:
    return compared(X, OTHER)


def test_no_difference_is_no_more_than_chance(same):
    assert same.p_value > 0.05
    assert "no more than chance" in str(same)
    assert same.excess_interval[0] == 0
    assert same.chance_range[0] < same.value < same.chance_range[1]


def test_a_difference_is_found(other):
    assert other.p_value == 1 / 40
    assert ": more than chance" in str(other)
    low, high = other.excess_interval
    assert low < other.excess < high
    # JS of the populations, N(0, I) and N((0, 1), I), by quadrature along the second column.
    t = np.linspace(-9, 10, 20_001)
    p, q = stats.norm.pdf(t), stats.norm.pdf(t - 1)
    m = (p + q) / 2
    js = np.trapezoid(p * np.log(p / m) + q * np.log(q / m), t) / 2
    assert other.excess_interval[0] < js < other.excess_interval[1]
    assert other.value == pytest.approx(float(other), abs=0)


def test_a_component_at_the_floor_is_named():
    """Ten equal rows of x make a component of no width."""
    x = np.concatenate([X[:70], np.full((10, 2), 9.0)])
    with pytest.warns(RuntimeWarning, match=r"component \d of p, of 10 rows, no wider than"):
        result = compared(x, SAME, num_permutations=1, num_bootstrap=0)
    k = int(np.abs(result.p.means - 9.0).sum(1).argmin())
    with pytest.warns(RuntimeWarning, match=rf"component {k} of p, of 10 rows"):
        compared(x, SAME, num_permutations=1, num_bootstrap=0)


def test_value_is_that_of_the_fits(other):
    js = jaxgmm.estimate(jaxgmm.js_divergence, jax.random.key(5), other.p, other.q)
    error = np.hypot(js.standard_error, other.standard_error)
    assert abs(js.value - other.value) < 5 * error
    assert 5 * error < 0.01 * other.value
    np.testing.assert_allclose(jaxgmm.mixture_mean(other.q), OTHER.mean(0), atol=0.02)


def test_order_of_rows_does_not_matter(same):
    shuffled = compared(X[::-1], SAME[RNG.permutation(len(SAME))])
    np.testing.assert_array_equal(shuffled.chance, same.chance)
    assert shuffled.p_value == same.p_value


def test_order_of_samples_does_not_matter():
    for shift in (0.2, 0.3):
        moved = SAME + shift
        there, back = compared(X, moved, num_bootstrap=0), compared(moved, X, num_bootstrap=0)
        assert there.p_value == back.p_value
        np.testing.assert_allclose(there.chance, back.chance, rtol=1e-4)


@pytest.mark.parametrize("units", [(1e-9, 1e12), (0.001, 25.4)])
def test_units_do_not_matter(same, units):
    scaled = compared(X * np.array(units) + 3.0, SAME * np.array(units) + 3.0)
    assert scaled.p_value == same.p_value
    np.testing.assert_allclose(scaled.chance, same.chance, rtol=1e-2)
    assert scaled.value == pytest.approx(same.value, rel=1e-3)


def test_without_permutations_nothing_is_said_of_chance():
    result = compared(X, OTHER, num_permutations=0, num_bootstrap=0)
    assert (result.p_value, result.excess, result.excess_interval) == (None, None, None)
    assert "chance" not in str(result)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["p_value"] is None
    with pytest.raises(ValueError, match="num_permutations must not be 0"):
        compared(X, OTHER, num_permutations=0, by_column=True)


def test_a_result_in_json(other):
    numbers = json.loads(json.dumps(other.to_dict()))
    assert numbers["p_value"] == other.p_value
    assert len(numbers["chance"]) == 39
    assert numbers["excess_interval"] == list(other.excess_interval)


def test_p_values_are_uniform_where_nothing_differs():
    """Also where the law is skewed, and columns are tied."""
    p_values = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = np.round(rng.standard_gamma(1.0, size=(160, 2)), 1)
        p_values.append(compared(x[:80], x[80:], num_permutations=19, num_bootstrap=0).p_value)
    assert stats.kstest(p_values - rng.random(100) / 20, "uniform").pvalue > 0.001


@pytest.mark.filterwarnings("ignore:the divergence is that of the fits")  # of one row alone
def test_whole_groups_are_permuted():
    """Every subject has forty rows near one place: rows alone seem to differ, subjects do not."""
    rng = np.random.default_rng(1)
    rows = np.repeat(3 * rng.normal(size=(4, 2)), 40, axis=0) + 0.3 * rng.normal(size=(160, 2))
    x, y, subjects = rows[:80], rows[80:], np.repeat(np.arange(4), 40)
    assert compared(x, y, num_bootstrap=0).p_value == 1 / 40
    groups = (subjects[:80], subjects[80:])
    # Of the six ways to choose two of four subjects, two at least are as extreme.
    assert compared(x, y, num_bootstrap=0, groups=groups).p_value > 0.15


def test_an_interrupt_returns_what_is_done():
    def interrupt(done: int, total: int) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted after 16 of 40"):
        result = compared(X, OTHER, progress=interrupt)
    assert len(result.chance) == 15
    assert result.p_value == 1 / 16
    assert result.excess_interval is None


def test_progress_counts_all_fits():
    told = []
    compared(X, OTHER, by_column=True, progress=lambda *numbers: told.append(numbers))
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(set(done))
    assert set(totals) == {done[-1]} == {(1 + 39 + 39) + 2 * (1 + 50)}


def test_the_number_of_components_is_chosen_from_all_rows():
    """By the BIC, whatever the samples, so that the test stays exact."""
    options = {"num_permutations": 39, "num_bootstrap": 0}
    x, y = X - 5, SAME + 5
    apart = two_sample_test(KEY, x, y, **options)
    mixed = two_sample_test(KEY, *np.split(RNG.permutation(np.concatenate([x, y])), 2), **options)
    assert apart.p.num_components == mixed.p.num_components == 2
    assert apart.p_value == 1 / 40 < 0.05 < mixed.p_value
    with pytest.raises(ValueError, match="num_components must be 'auto' or a positive integer"):
        two_sample_test(KEY, X, SAME, "bic")


def test_columns_are_matched_by_their_names(same):
    x, y = Frame(["a", "b"], X), Frame(["b", "a"], SAME[:, ::-1])
    assert compared(x, y).value == same.value
    assert compared(x, SAME).value == same.value
    with pytest.raises(ValueError, match="x alone has b and y alone has c; choose"):
        compared(x, Frame(["a", "c"], SAME))
    wider = Frame(["c", "b", "a"], np.column_stack([SAME[:, 0], SAME[:, ::-1]]))
    assert compared(x, wider, columns=["a", "b"]).value == same.value


def test_a_constant_column_is_named():
    with pytest.raises(ValueError, match=r"column b of x and y is constant, 3: leave it out"):
        compared(
            np.column_stack([X[:, 0], np.full(80, 3)]),
            np.column_stack([X[:, 1], np.full(80, 3)]),
            columns=["a", "b"],
        )


def test_a_column_that_is_constant_in_both_samples_is_left_out(same):
    """It adds half a nat if it is fitted."""
    x, y = (np.column_stack([z, np.full(80, c)]) for z, c in ((X, 3.0), (SAME, 3.001)))
    result = compared(x, y, columns=["a", "b", "c"])
    assert result.value == same.value
    assert "c is left out: constant: 3 against 3.001" in str(result)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.where(X > 2, np.nan, X), {}, r"x holds nan in row \d+, column [01]"),
        (X[:, :1], {}, "x has 1 columns, and y has 2"),
        (np.ma.masked_less(X, -2), {}, "x is a masked array"),
        (X.astype(object), {}, r"x must hold real numbers.*to_numpy\(float\)"),
        (Frame(["a", "a"], X), {}, "x has two columns of one name: a, a"),
        (X, {"columns": ["a"]}, "columns: x has no a; its columns are 0, 1"),
        (X, {"groups": (np.zeros(80), np.zeros(80))}, "groups: 0.0 has rows in x and in y"),
        (X, {"groups": (np.zeros(80), np.zeros(2))}, "groups has 2 labels for the 80 rows of y"),
    ],
)
def test_what_is_wrong_is_named(x, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        compared(x, SAME, **options)


@pytest.mark.long
def test_few_rows_and_few_values_are_named():
    with pytest.warns(RuntimeWarning, match=r"in b; only 5 rows of a sample for about 10"):
        two_sample_test(
            KEY,
            np.column_stack([X[:5, 0], np.arange(5) % 2]),
            np.column_stack([SAME[:, 0], np.arange(80) % 2]),
            2,
            columns=["a", "b"],
            num_permutations=7,
            num_bootstrap=0,
        )


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:the divergence is that of the fits")  # to one outlier alone
@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
@pytest.mark.parametrize("divergence", [jaxgmm.kl_divergence, jaxgmm.l2_distance])
def test_other_fits_and_divergences(kind, divergence):
    options = {"covariance_type": kind, "divergence": divergence}
    assert compared(X, OTHER, **options).p_value == 1 / 40
    assert compared(X, SAME, **options).p_value > 0.05


@pytest.mark.long
@pytest.mark.timeout(900)
def test_halves_of_one_data_set():
    """The error of the integration is a thousandth of the value, and says nothing of this."""
    rng = np.random.default_rng(0)
    data = rng.standard_gamma(2.0, size=(4900, 8)) @ rng.normal(size=(8, 8))
    p_values, is_usual = [], []
    for seed in range(100):
        order = np.random.default_rng(seed).permutation(4900)
        x, y = data[order[:2450]], data[order[2450:]]
        options = {"num_permutations": 39, "num_bootstrap": 0}
        result = two_sample_test(jax.random.key(seed), x, y, 3, **options)
        assert result.standard_error < 0.01 * result.value
        p_values.append(result.p_value)
        is_usual.append(result.chance.min() <= result.value <= result.chance.max())
        assert ("no more than chance" in str(result)) == (result.p_value > 0.05)
    assert np.sum(np.array(p_values) < 0.05) <= 12
    assert np.sum(is_usual) >= 85  # of 95 on average


@pytest.mark.long
def test_value_and_chance_are_alike_where_nothing_differs():
    """EM takes many steps to converge on these few rows, and follows noise with each of them."""
    rows = np.delete(load_diabetes(scaled=False).data, [1, 7], axis=1)
    ranks = []
    for seed in range(12):
        x, y = np.array_split(np.random.default_rng(seed).permutation(rows), 2)
        options = {"num_permutations": 39, "num_bootstrap": 0}
        result = two_sample_test(jax.random.key(seed), x, y, 3, **options)
        ranks.append((result.chance < result.value).mean())
    # The mean rank is 1/2 with a standard error of 1/12.
    assert abs(np.mean(ranks) - 0.5) < 5 / 12**0.5 / 12**0.5
