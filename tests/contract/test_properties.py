"""What holds for any mixture: Hypothesis looks for one for which it does not, weights near 0 and
far means among them.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxgmm
from jaxgmm import GMM
from oracles import quadrature
from support.mixtures import read
from support.strategies import mixtures, numbers

pytestmark = pytest.mark.long

KEY = jax.random.key(3)
# Values are drawn, and not shapes, so that a property is one program for each of these.
CASES = {"line": (1, 1, "diag"), "plane": (2, 2, "full"), "space": (3, 5, "tied")}
RULES = {1: jaxgmm.GaussHermite(16), 2: jaxgmm.GaussHermite(6), 5: jaxgmm.SigmaPoints()}
SOBOL = jaxgmm.Sobol(64)


def pairs(case: str, dtype=np.float64) -> st.SearchStrategy[tuple[GMM, GMM]]:
    return st.tuples(mixtures(*CASES[case], dtype), mixtures(*CASES[case], dtype))


def exact(p: GMM, q: GMM) -> dict:
    """All that is computed from pairs of components."""
    functions = (
        "kl_bounds",
        "js_bounds",
        "gaussian_kl",
        "bhattacharyya_distance",
        "gaussian_wasserstein_squared",
        "l2_distance",
    )
    approximations = (
        "kl_variational",
        "kl_product",
        "kl_matched",
        "kl_moment_matched",
        "cauchy_schwarz_divergence",
    )
    values = {name: getattr(jaxgmm, name)(p, q) for name in functions + approximations}
    return {**values, "entropy_bounds": jaxgmm.entropy_bounds(p)}


def sampled(key, p: GMM, q: GMM, rule) -> dict:
    """All that is an expectation."""
    names = (
        "kl_divergence",
        "js_divergence",
        "jeffreys_divergence",
        "hellinger_distance",
        "total_variation",
        "cross_entropy",
    )
    values = {name: getattr(jaxgmm, name)(key, p, q, rule) for name in names}
    return {
        **values,
        **{
            name: getattr(jaxgmm, name)(key, p, rule)
            for name in ("entropy", "component_information")
        },
    }


@functools.cache
def program(fn, *static):
    return jax.jit(lambda *args: fn(*args, *static))


def reach(*gmms: GMM) -> float:
    """How many of the smallest standard deviations lie between means: so many roundings of a mean
    are lost.
    """
    places = np.concatenate([gmm.loc for gmm in gmms])
    return 1 + np.ptp(places, axis=0).max() / math.exp(
        min(float(gmm.log_diag.min()) for gmm in gmms)
    )


def assert_close(values: dict, others: dict, rtol: float) -> None:
    for name, value in values.items():
        np.testing.assert_allclose(others[name], value, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_what_is_exact_is_in_its_range(case):
    @given(pairs(case))
    def check(pair):
        values = program(exact)(*pair)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values))
        for name in (
            "gaussian_kl",
            "bhattacharyya_distance",
            "gaussian_wasserstein_squared",
            "l2_distance",
            "kl_moment_matched",
        ):
            assert np.min(values[name]) >= 0, name
        for name, most in (("kl_bounds", math.inf), ("js_bounds", math.log(2))):
            lower, upper = values[name]
            assert 0 <= lower <= upper <= most, name
        assert values["entropy_bounds"][0] <= values["entropy_bounds"][1]

    check()


@pytest.mark.parametrize("case", CASES)
def test_what_is_sampled_is_in_its_range(case):
    """JS is 0 or more but for the error of its estimate, and so has no lower end here."""

    @given(pairs(case))
    def check(pair):
        values = program(sampled, SOBOL)(KEY, *pair)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values))
        assert values["js_divergence"] <= math.log(2)
        assert 0 <= values["hellinger_distance"] <= 1
        assert 0 <= values["total_variation"] <= 1
        assert 0 <= values["component_information"] <= math.log(CASES[case][0]) + 1e-12

    check()


@pytest.mark.parametrize("case", CASES)
def test_nothing_lies_between_a_mixture_and_itself(case):
    @given(mixtures(*CASES[case]))
    def check(p):
        values = program(sampled, SOBOL)(KEY, p, p) | program(exact)(p, p)
        for name in ("kl_divergence", "js_divergence", "hellinger_distance", "total_variation"):
            assert values[name] == 0, name
        for name in ("kl_bounds", "js_bounds"):
            assert 0 <= values[name][0] <= 1e-12, name
        for name in (
            "kl_variational",
            "kl_product",
            "kl_moment_matched",
            "cauchy_schwarz_divergence",
        ):
            np.testing.assert_allclose(values[name], 0, atol=1e-12, err_msg=name)

    check()


@pytest.mark.parametrize("case", ["line", "plane", "space"])
def test_what_is_symmetric(case):
    @given(pairs(case))
    def check(pair):
        there, back = (
            program(sampled, RULES[CASES[case][1]])(None, *both) for both in (pair, pair[::-1])
        )
        names = ("js_divergence", "jeffreys_divergence", "hellinger_distance", "total_variation")
        assert_close({name: there[name] for name in names}, back, 1e-11 * reach(*pair))

    check()


LINE = (3, 1, "diag")


@given(mixtures(*LINE), mixtures(*LINE))
def test_the_truth_is_within_the_bounds(p, q):
    """By quadrature, on the line."""
    mine, other = read(p), read(q)
    truths = {"kl_bounds": quadrature.kl(mine, other), "js_bounds": quadrature.js(mine, other)}
    bounds = program(exact)(p, q)
    for name, truth in (truths | {"entropy_bounds": quadrature.entropy(mine)}).items():
        slack = 1e-9 * (1 + abs(truth))
        assert bounds[name][0] - slack <= truth <= bounds[name][1] + slack, name


def taken(p: GMM, rows: list[int]) -> GMM:
    return jax.tree.map(lambda leaf: leaf[np.array(rows)], p)


def split(p: GMM, share: float) -> GMM:
    """The first of two components twice, with these parts of its weight."""
    again = taken(p, [0, 0, 1])
    return GMM(
        again.logits + jnp.log(jnp.array([share, 1 - share, 1.0])),
        again.loc,
        again.log_diag,
        again.off_diag,
    )


def invariant(p: GMM, q: GMM) -> dict:
    """What depends on the densities alone, by a rule that follows an affine map with a triangular
    matrix.
    """
    names = ("kl_variational", "kl_product", "kl_moment_matched", "cauchy_schwarz_divergence")
    values = {
        **{name: getattr(jaxgmm, name)(p, q) for name in names},
        **sampled(None, p, q, RULES[2]),
    }
    values.pop("component_information")
    values.pop("hellinger_distance")  # whose points depend on the components
    return values


@given(pairs("plane"), st.floats(0.01, 0.99))
def test_the_order_and_the_number_of_components_do_not_matter(pair, share):
    p, q = pair
    values, rtol = program(invariant)(p, q), 1e-11 * reach(p, q)
    assert_close(values, program(invariant)(taken(p, [1, 0]), q), rtol)
    assert_close(values, program(invariant)(split(p, share), split(q, share)), rtol)


@given(pairs("plane"), numbers((2,), -3, 3), st.floats(-2, 2), numbers((2,), -100, 100))
def test_units_do_not_matter(pair, log_units, slope, shift):
    """Under x -> A x + b divergences stay, and entropies gain log det A."""
    matrix = np.diag(np.exp(log_units)) + np.array([[0, 0], [slope, 0]])
    moved = [jaxgmm.affine(gmm, matrix, shift) for gmm in pair]
    values = program(invariant)(*pair)
    for name in ("entropy", "cross_entropy"):
        values[name] = values[name] + log_units.sum()
    # The roundings of the shift and of the map are lost as well.
    lost = max(reach(*pair), reach(*moved)) + max(np.abs(gmm.loc).max() for gmm in moved) / np.exp(
        log_units.min() - 5
    )
    assert_close(values, program(invariant)(*moved), 1e-11 * lost)


def two(p: GMM, q: GMM) -> dict:
    return {
        "js_divergence": jaxgmm.js_divergence(KEY, p, q, SOBOL),
        "kl_variational": jaxgmm.kl_variational(p, q),
    }


MAPPED = jax.jit(jax.vmap(two))


@given(pairs("plane"), pairs("plane"))
def test_jit_and_vmap_change_nothing(first, second):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    mapped = MAPPED(*stacked)
    for i, pair in enumerate((first, second)):
        values, rtol = two(*pair), 1e-11 * reach(*pair)  # each by a program of its own
        assert_close(values, program(two)(*pair), rtol)
        assert_close(values, {name: value[i] for name, value in mapped.items()}, rtol)


@given(pairs("plane", np.float32))
def test_float32_stays_float32(pair):
    for leaf in jax.tree.leaves((program(exact)(*pair), program(sampled, SOBOL)(KEY, *pair))):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()
