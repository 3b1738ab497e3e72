import dataclasses
import functools
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import t

import jaxgmm
from oracles import quadrature
from support.long import first_by_default
from support.mixtures import PAIRS, gmm

P, Q = map(gmm, PAIRS["overlapping"])
TRUTH = quadrature.kl(*PAIRS["overlapping"])


@pytest.mark.parametrize("divergence", [jaxgmm.kl_divergence, jaxgmm.js_divergence])
@pytest.mark.parametrize("rule", first_by_default([jaxgmm.Sobol(1024), jaxgmm.MonteCarlo(1024)]))
def test_coverage(divergence, rule):
    """The 95% interval holds the truth for 90% to 99% of keys; over 2,000 of them, that share is
    known to half a percent.
    """
    truth = {jaxgmm.kl_divergence: quadrature.kl, jaxgmm.js_divergence: quadrature.js}[divergence](
        *PAIRS["overlapping"]
    )
    keys = jax.random.split(jax.random.key(11), 2000)
    results = jax.jit(jax.vmap(lambda key: jaxgmm.estimate(divergence, key, P, Q, rule=rule)))(keys)
    low, high = results.interval(0.95)
    assert 0.90 <= np.mean((low <= truth) & (truth <= high)) <= 0.99
    # The mean over all keys is right to 5 of its own standard errors: an interval of the right
    # width is also in the right place.
    assert abs(results.value.mean() - truth) < 5 * results.value.std() / np.sqrt(2000)


def test_it_is_the_mean_of_replicates_and_their_standard_error(key):
    """Of a function with a known law: its 16 values are normal draws, recovered from 400
    estimates.
    """

    def draw(key, p, rule):
        return 3 + 2 * jax.random.normal(key, dtype=p.loc.dtype)

    keys = jax.random.split(key, 400)
    results = jax.vmap(lambda key: jaxgmm.estimate(draw, key, P))(keys)
    assert abs(results.value.mean() - 3) < 5 * 0.5 / np.sqrt(400)
    assert abs(results.value.var() / 0.25 - 1) < 5 * np.sqrt(2 / 400)
    assert abs((results.standard_error**2).mean() / 0.25 - 1) < 5 * np.sqrt(2 / (400 * 15))


@pytest.mark.smoke
def test_interval_is_students():
    result = jaxgmm.Estimate(
        jnp.array([1.0, 2.0]), jnp.array([0.1, 0.0]), num_replicates=8, num_points=8, converged=None
    )
    low, high = result.interval(0.99)
    np.testing.assert_allclose(high, [1 + 0.1 * t.ppf(0.995, 7), 2])
    np.testing.assert_allclose(low + high, [2, 4])
    for level in (0, 1, 95):
        with pytest.raises(ValueError, match="level must lie between 0 and 1"):
            result.interval(level)


def test_number_of_points(key):
    result = jaxgmm.estimate(
        jaxgmm.kl_divergence, key, P, Q, rule=jaxgmm.Sobol(256), num_replicates=4
    )
    assert (result.num_points, result.num_replicates, result.converged) == (1024, 4, None)


@pytest.mark.parametrize(
    "tolerance", [{"atol": 1e-4}, {"rtol": 1e-3}, {"atol": 1e-4, "rtol": 1e-9}]
)
def test_run_to_a_tolerance(tolerance, key):
    result = jaxgmm.estimate(jaxgmm.kl_divergence, key, P, Q, rule=jaxgmm.Sobol(64), **tolerance)
    assert result.converged
    assert result.standard_error <= max(
        tolerance.get("atol", 0), tolerance.get("rtol", 0) * result.value
    )
    assert result.num_points > 64 * 16
    assert abs(result.value - TRUTH) < 5 * result.standard_error


def test_a_tolerance_just_below_what_is_there(key):
    """It does not stop at three times the tolerance."""
    run = functools.partial(jaxgmm.estimate, jaxgmm.kl_divergence, key, P, Q, rule=jaxgmm.Sobol(64))
    atol = float(run().standard_error) / 3
    assert run(atol=atol).standard_error <= atol


def test_the_first_look_is_small_and_without_variance_reduction(key):
    rules = []

    def kl(key, p, q, rule):
        rules.append(rule)
        return jaxgmm.kl_divergence(key, p, q, rule)

    assert jaxgmm.estimate(kl, key, P, Q, rtol=0.5).num_points == 16 * 2**12
    first = jaxgmm.Sobol(2**12, variance_reduction=False)
    assert rules == [first]
    jaxgmm.estimate(kl, key, P, Q, rtol=1e-4)
    assert (
        set(rules) - {first}
        == {jaxgmm.Sobol(n) for n in {rule.n for rule in rules} - {2**12}}
        != set()
    )
    rules.clear()
    given = jaxgmm.MonteCarlo(512, variance_reduction=False)
    jaxgmm.estimate(kl, key, P, Q, rule=given, atol=3e-3)
    assert rules == [dataclasses.replace(given, n=rule.n) for rule in rules]
    assert len(rules) > 1


def test_a_tolerance_that_is_not_reached(key):
    result = jaxgmm.estimate(
        jaxgmm.kl_divergence, key, P, Q, rule=jaxgmm.MonteCarlo(64), atol=1e-9, max_points=2**14
    )
    assert result.converged is False
    assert result.num_points == 2**14
    assert result.standard_error > 1e-9


def test_a_tolerance_met_at_once(key):
    result = jaxgmm.estimate(jaxgmm.kl_divergence, key, P, P, rule=jaxgmm.Sobol(64), rtol=1e-3)
    assert (result.value, result.standard_error, result.converged, result.num_points) == (
        0,
        0,
        True,
        1024,
    )


def test_a_gradient_has_error_bars(key):
    result = jaxgmm.estimate(jax.grad(jaxgmm.kl_divergence, argnums=2), key, P, Q, atol=1e-3)
    assert isinstance(result.value, jaxgmm.GMM)
    assert result.converged
    assert all((leaf <= 1e-3).all() for leaf in jax.tree.leaves(result.standard_error))
    assert (result.standard_error.logits > 0).all()


def test_it_is_a_pytree_under_jit_vmap_and_grad(key):
    run = functools.partial(
        jaxgmm.estimate, jaxgmm.kl_divergence, rule=jaxgmm.Sobol(256), num_replicates=4
    )
    plain = run(key, P, Q)
    jitted = jax.jit(run)(key, P, Q)
    numbers = {"value": 0, "standard_error": 0, "rounding": 0}
    assert dataclasses.replace(jitted, **numbers) == dataclasses.replace(plain, **numbers)
    np.testing.assert_allclose(jitted.value, plain.value, rtol=1e-12)
    mapped = jax.vmap(run, in_axes=(0, None, None))(jax.random.split(key, 3), P, Q)
    assert mapped.standard_error.shape == (3,)
    gradient = jax.grad(lambda q: run(key, P, q).value)(Q)
    assert np.abs(gradient.logits).min() > 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"num_replicates": 1},
            ValueError,
            "num_replicates must be at least 2 for a standard error, got 1",
        ),
        ({"num_replicates": 2.5}, TypeError, "num_replicates must be an integer, got 2.5"),
        ({"atol": 0.0}, ValueError, "atol must be positive and finite, got 0.0"),
        ({"rtol": -1}, ValueError, "rtol must be positive and finite, got -1"),
        ({"rtol": np.nan}, ValueError, "rtol must be positive and finite, got nan"),
        ({"atol": "small"}, TypeError, "atol must be a number, got 'small'"),
        (
            {"atol": 1e-3, "max_points": 0},
            ValueError,
            "max_points must be an integer of at least 1, got 0",
        ),
        ({"rule": 1000}, TypeError, "rule must be a rule such as jaxgmm.Sobol(2**14)"),
        (
            {"rule": jaxgmm.GaussHermite(8)},
            ValueError,
            "rule GaussHermite(order=8) draws nothing, so replicates would not differ",
        ),
        ({"key": None}, ValueError, "key is None, but replicates must differ"),
        (
            {"divergence": "kl"},
            TypeError,
            "divergence must be a function of (key, *mixtures, rule), got 'kl'",
        ),
        (
            {"divergence": jaxgmm.l2_distance},
            TypeError,
            "(key, *mixtures, rule), got one of (p, q); an exact function",
        ),
        (
            {"divergence": lambda key, p, q: p},
            TypeError,
            "got one of (key, p, q); an exact function, such as jaxgmm.l2_distance, has",
        ),
    ],
)
def test_bad_arguments(arguments, error, message, key):
    arguments = {"divergence": jaxgmm.kl_divergence, "key": key, **arguments}
    with pytest.raises(error, match=re.escape(message)):
        jaxgmm.estimate(arguments.pop("divergence"), arguments.pop("key"), P, Q, **arguments)


def test_a_tolerance_needs_concrete_arguments(key):
    with pytest.raises(
        TypeError,
        match=r"key must be concrete, outside jax\.jit, as atol and rtol double the points",
    ):
        jax.jit(lambda key: jaxgmm.estimate(jaxgmm.kl_divergence, key, P, Q, atol=1e-3))(key)


@pytest.mark.usefixtures("nan_is_meant")
def test_nan_is_not_an_answer(key):
    with pytest.raises(FloatingPointError, match="the estimate is not finite"):
        jaxgmm.estimate(lambda key, p, rule: jnp.log(-jnp.ones(())), key, P)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.26943, 1.2e-4, "0.2694 +- 0.0001 (integration)"),
        (0.071112, 6e-5, "0.07111 +- 6e-05 (integration)"),
        (1234.4, 37.0, "1234 +- 4e+01 (integration)"),
        (math.inf, 0.0, "inf +- 0 (integration)"),
        (0.25, 0.0, "0.250000 +- 0 (integration)"),
    ],
)
def test_estimates_as_text_as_numbers_and_for_json(value, error, text):
    e = jaxgmm.Estimate(jnp.asarray(value), jnp.asarray(error), 16, 64, None)
    assert str(e) == text
    assert float(e) == value
    assert json.loads(json.dumps(e.to_dict())) == {
        "value": value,
        "standard_error": error,
        "num_replicates": 16,
        "num_points": 64,
        "converged": None,
        "rounding": None,
    }
    stopped = dataclasses.replace(e, converged=False, rounding=jnp.asarray(1e3))
    assert str(stopped) == text + ", rounding 1e+03, not converged"
    many = jaxgmm.Estimate({"a": jnp.zeros(2)}, {"a": jnp.ones(2)}, 16, 64, None)
    assert str(many).startswith("Estimate(value={")
    assert many.to_dict()["value"] == {"a": [0.0, 0.0]}
