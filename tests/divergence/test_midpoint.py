"""Divergences whose points are drawn from the midpoint of both mixtures."""

import dataclasses
import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxgmm
from jaxgmm._numerics.special import entropy_deficit
from jaxgmm._quadrature.rule import doubled
from oracles import quadrature
from support.estimates import assert_within, estimate
from support.leaves import gradient_of, unconstrained
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, random_mixture, typed

RULES = [
    jaxgmm.Sobol(100),
    jaxgmm.MonteCarlo(100),
    jaxgmm.MonteCarlo(100, antithetic=True),
    jaxgmm.GaussHermite(5),
    jaxgmm.SigmaPoints(),
]
NEAR_KL = functools.partial(jaxgmm.kl_divergence, midpoint=True)
NEAR_JEFFREYS = functools.partial(jaxgmm.jeffreys_divergence, midpoint=True)


def jeffreys(p, q):
    return quadrature.kl(p, q) + quadrature.kl(q, p)


def shifted(p: jaxgmm.GMM, by: float) -> jaxgmm.GMM:
    return dataclasses.replace(p, loc=p.loc + by)


def js_of_shift(shift: float) -> float:
    """JS of the first pair's p and p moved by the shift, by quadrature in 30 digits."""
    weights, means, scales = (0.35, 0.65), (-1.0, 1.25), (0.35**0.5, 0.8**0.5)
    with mpmath.workdps(30):

        def density(x):
            parts = zip(weights, means, scales, strict=True)
            return sum(w * mpmath.npdf(x, m, s) for w, m, s in parts)

        def integrand(x):
            p, q = density(x), density(x - mpmath.mpf(shift))
            m = (p + q) / 2
            return (p * mpmath.log(p / m) + q * mpmath.log(q / m)) / 2

        return float(mpmath.quad(integrand, [-8, -4, -2, -1, 0, 1, 2, 4, 9]))


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_integrand_of_js_for_every_log_ratio(dtype):
    size = np.concatenate([np.logspace(-15, 3, 400), [1 - 1e-6, 1, 1 + 1e-6]]).astype(dtype)
    t = np.concatenate([-size, size])
    values = np.asarray(entropy_deficit(jnp.asarray(t)))
    slopes = np.asarray(jax.vmap(jax.grad(entropy_deficit))(jnp.asarray(t)))
    with mpmath.workdps(900):

        def deficit(t):
            share = 1 / (1 + mpmath.exp(-mpmath.mpf(float(t))))
            return mpmath.log(2) + share * mpmath.log(share) + (1 - share) * mpmath.log(1 - share)

        exact = np.array([float(deficit(x)) for x in t])
        slope = np.array(
            [
                float(mpmath.mpf(float(x)) * mpmath.sech(mpmath.mpf(float(x)) / 2) ** 2 / 4)
                for x in t
            ]
        )
    eps = np.finfo(dtype).eps
    # Far from 0 an error of eps in e^-|t| is multiplied by |t|, up to 40 where e^-|t| becomes 0.
    rtol = np.where(np.abs(t) < 1, 8, 40) * eps
    assert (np.abs(values - exact) <= rtol * exact).all()
    np.testing.assert_allclose(slopes, slope, rtol=8 * eps, atol=50 * eps)
    assert (values >= 0).all()
    ends = np.array([-np.inf, 0, np.inf], dtype)
    np.testing.assert_array_equal(
        entropy_deficit(jnp.asarray(ends)), np.array([math.log(2), 0, math.log(2)], dtype)
    )
    np.testing.assert_array_equal(
        jax.vmap(jax.grad(entropy_deficit))(jnp.asarray(ends)), np.zeros(3, dtype)
    )


@pytest.mark.parametrize("dtype", first_by_default([np.float32, np.float64]))
def test_js_stays_between_0_and_log_2(dtype, key):
    """For every rule, between mixtures that agree, that nearly do, and that are far apart."""
    p = gmm(PAIRS["overlapping"][0], dtype)
    others = [shifted(p, by) for by in (0.0, 1e-7, 1e-3, 1.0, 30.0, 1e6)]
    log_2 = dtype(math.log(2))
    for rule in RULES:
        rule_key = key if rule.is_random else None
        values = np.asarray([jaxgmm.js_divergence(rule_key, p, q, rule) for q in others])
        assert values.dtype == dtype
        assert (values >= 0).all(), rule
        assert (values <= log_2).all(), rule
        assert values[0] == 0, rule
        np.testing.assert_allclose(values[-1], log_2, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "divergence", first_by_default([jaxgmm.js_divergence, NEAR_KL, NEAR_JEFFREYS])
)
def test_gradients_at_equal_mixtures_are_exactly_0(divergence):
    """For every key and in every leaf: also those of the weights."""
    p = gmm(random_mixture(0, 3, 2))
    keys = jax.random.split(jax.random.key(0), 20)
    gradient = jax.vmap(jax.grad(divergence, argnums=(1, 2)), (0, None, None, None))
    for leaf in jax.tree.leaves(gradient(keys, p, p, jaxgmm.Sobol(256))):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-6)])
def test_js_of_near_mixtures(dtype, tolerance):
    """The relative error of one run does not grow as the shift falls; what is left is rounding."""
    p = gmm(PAIRS["overlapping"][0], dtype)
    keys = jax.random.split(jax.random.key(1), 24)
    shifts = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6) if dtype == np.float64 else (1e-1, 1e-2, 1e-3)
    qs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(shifted(p, dtype(s)) for s in shifts))
    of_keys = jax.vmap(jaxgmm.js_divergence, (0, None, None, None))
    values = jax.jit(
        lambda p, qs: jax.lax.map(lambda q: of_keys(keys, p, q, jaxgmm.Sobol(2**14)), qs)
    )(p, qs)
    values = np.asarray(values, float)
    errors = values.std(1, ddof=1)
    for value, error, q in zip(values.mean(1), errors, np.asarray(qs.loc), strict=True):
        # The shift of the stored means, which float32 rounds.
        truth = js_of_shift(float(q[0, 0]) - float(p.loc[0, 0]))
        rounding = tolerance * truth if dtype == np.float64 else 2e-7 * math.sqrt(truth)
        assert error < 2e-3 * truth
        assert abs(value - truth) < 5 * math.hypot(error / math.sqrt(24), rounding)


@pytest.mark.parametrize(
    "divergence",
    first_by_default(["js", "kl", "jeffreys"]),
)
def test_near_mixtures_in_16_dimensions(divergence):
    p = gmm(random_mixture(3, 10, 16, spread=1.0))
    rng = np.random.default_rng(0)
    q = jax.tree.map(lambda leaf: leaf + 0.006 * rng.normal(size=leaf.shape), p)
    plain, near = {
        "js": (None, jaxgmm.js_divergence),
        "kl": (jaxgmm.kl_divergence, NEAR_KL),
        "jeffreys": (jaxgmm.jeffreys_divergence, NEAR_JEFFREYS),
    }[divergence]
    result = estimate(near, jax.random.key(0), p, q)
    one_run = 4 * result.standard_error  # of 16 replicates
    assert 1e-4 < result.value < 2e-2
    assert one_run < 2e-2 * result.value
    if plain is not None:
        other = estimate(plain, jax.random.key(1), p, q)
        assert abs(result.value - other.value) < 5 * math.hypot(
            result.standard_error, other.standard_error
        )


CASES = {
    jaxgmm.js_divergence: quadrature.js,
    NEAR_KL: quadrature.kl,
    NEAR_JEFFREYS: jeffreys,
}
TYPES = list(itertools.product(["full", "tied", "diag", "spherical"], repeat=2))
FAST = [(jaxgmm.js_divergence, ("full", "diag")), (NEAR_KL, ("spherical", "diag"))]


COMBINATIONS = [
    pytest.param(divergence, types, marks=[] if (divergence, types) in FAST else pytest.mark.long)
    for divergence, types in itertools.product(CASES, TYPES)
]


@pytest.mark.parametrize(("divergence", "types"), COMBINATIONS)
def test_values_and_gradients_for_every_covariance_type(divergence, types, key):
    """In every leaf of both, with mixtures of 2 and 3 components, against quadrature."""
    (p, p_gmm), (q, q_gmm) = (
        typed(seed, seed, 2, kind) for seed, kind in zip((2, 3), types, strict=True)
    )
    both = estimate(
        jax.value_and_grad(divergence, argnums=(1, 2)), key, p_gmm, q_gmm, rule=jaxgmm.Sobol(2**12)
    )
    truth = CASES[divergence](p, q)
    result = dataclasses.replace(both, value=both.value[0], standard_error=both.standard_error[0])
    assert_within(result, truth, catches=0.01)
    for side in (0, 1):
        exact = gradient_of(CASES[divergence], unconstrained(p_gmm), unconstrained(q_gmm), side)
        for name, derivative in exact.items():
            part = dataclasses.replace(
                both,
                value=getattr(both.value[1][side], name),
                standard_error=getattr(both.standard_error[1][side], name),
            )
            assert_within(
                part, derivative, catches=0.05 * max(1, np.abs(derivative).max(initial=0))
            )


def test_a_diagonal_mixture_stays_diagonal_beside_a_full_one():
    """No array of the program has K D^2 elements, for K diagonal components."""
    k, d = 1000, 64
    diagonal = jaxgmm.GMM.random(jax.random.key(0), k, d, "diag")
    full = jaxgmm.GMM.random(jax.random.key(1), 2, d)
    for divergence in (jaxgmm.js_divergence, jaxgmm.total_variation, NEAR_KL):
        program = jax.jit(divergence, static_argnums=3).lower(
            jax.random.key(0), diagonal, full, jaxgmm.Sobol(2**11, variance_reduction=False)
        )
        shapes = set(re.findall(r"tensor<((?:\d+x)+)", program.as_text()))
        assert f"{k}x{d}x" in shapes
        assert not {f"{k}x{d}x{d}x", f"{k + 2}x{d}x{d}x"} & shapes


def test_both_mixtures_get_the_points_of_the_rule():
    assert doubled(jaxgmm.Sobol(100)) == jaxgmm.Sobol(200)
    assert doubled(jaxgmm.MonteCarlo(100, antithetic=True)) == jaxgmm.MonteCarlo(
        200, antithetic=True
    )
    assert doubled(jaxgmm.GaussHermite(5)) == jaxgmm.GaussHermite(5)
    assert doubled(jaxgmm.Sobol(2**32)) is None


def test_the_path_gradient_excludes_the_form_of_near_mixtures(key):
    p, q = map(gmm, PAIRS["overlapping"])
    for divergence in (NEAR_KL, NEAR_JEFFREYS):
        with pytest.raises(ValueError, match="path_gradient and midpoint must not both be True"):
            divergence(key, p, q, path_gradient=True)
