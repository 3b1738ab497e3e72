import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy.special import ndtr

import jaxgmm
from oracles import dense, quadrature
from support.estimates import assert_within, estimate
from support.leaves import LEAVES, gradient_of, unconstrained
from support.mixtures import PAIRS, gmm, random_mixture

pytestmark = pytest.mark.long

GAUSS_HERMITE = jaxgmm.GaussHermite(200)


def integral(fn, p, q, refine=1.0):
    return quadrature.integral(lambda x: fn(p.log_prob(x), q.log_prob(x)), p, q, refine=refine)


def renyi(alpha, p, q):
    return math.log(integral(lambda a, b: np.exp(alpha * a + (1 - alpha) * b), p, q)) / (alpha - 1)


def hellinger(p, q):
    return math.sqrt(0.5 * integral(lambda a, b: (np.exp(a / 2) - np.exp(b / 2)) ** 2, p, q))


def total_variation(p, q):
    """On the line from the distribution functions between the roots of p - q; in the plane on a
    fine grid.
    """
    if p.means.shape[1] == 2:
        return 0.5 * integral(lambda a, b: np.abs(np.exp(a) - np.exp(b)), p, q, refine=3)
    x, _ = quadrature.panels((p, q), 4)

    def log_ratio(t):
        return p.log_prob(np.array([[t]]))[0] - q.log_prob(np.array([[t]]))[0]

    sign = p.log_prob(x) > q.log_prob(x)
    roots = [
        scipy.optimize.brentq(log_ratio, x[i, 0], x[i + 1, 0], xtol=1e-14)
        for i in np.flatnonzero(sign[1:] != sign[:-1])
    ]
    ends = np.array([-np.inf, *roots, np.inf])
    mass_p, mass_q = (
        np.diff(ndtr((ends[:, None] - m.means[:, 0]) / np.sqrt(m.covariances[:, 0, 0])) @ m.weights)
        for m in (p, q)
    )
    return 0.5 * np.abs(mass_p - mass_q).sum()


def squared_distance_of_roots(t):
    return (t**0.5 - 1) ** 2


def f_of_roots(key, p, q, rule):
    return jaxgmm.f_divergence(key, p, q, squared_distance_of_roots, rule)


def order(alpha):
    """The Renyi divergence of that order as a function object that is the same each time, and its
    oracle.
    """
    return lambda key, p, q, rule: jaxgmm.renyi_divergence(
        key, p, q, alpha, rule
    ), functools.partial(renyi, alpha)


LINE, NEAR, FAR = (
    ("overlapping", "nested", "unequal"),
    ("overlapping", "nested", "unequal", "plane"),
    ("far", "plane far"),
)
CASES = {
    "renyi 0.2": (*order(0.2), NEAR),
    "renyi 0.9": (*order(0.9), LINE),
    "renyi next to 1": (*order(1 - 1e-6), ("overlapping",)),
    "renyi 1": (
        lambda key, p, q, rule: jaxgmm.renyi_divergence(key, p, q, 1, rule),
        quadrature.kl,
        LINE,
    ),
    "renyi 1.2": (*order(1.2), ("overlapping", "nested")),
    "hellinger": (jaxgmm.hellinger_distance, hellinger, NEAR + FAR),
    "total variation": (jaxgmm.total_variation, total_variation, NEAR + FAR),
    "f": (f_of_roots, lambda p, q: 2 * hellinger(p, q) ** 2, ("overlapping", "nested", "plane")),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name, key):
    divergence, truth, pairs = CASES[name]
    for pair in pairs:
        p, q = PAIRS[pair]
        exact = truth(p, q)
        assert_within(
            estimate(divergence, key, gmm(p), gmm(q)), exact, catches=4e-3 * max(1, exact)
        )


@pytest.mark.parametrize("name", ["renyi 0.2", "renyi 1.2", "hellinger", "total variation", "f"])
def test_gradients_in_every_parameter(name, key):
    divergence, truth, _ = CASES[name]
    p, q = map(gmm, PAIRS["plane" if name == "hellinger" else "overlapping"])
    result = estimate(jax.grad(divergence, argnums=(1, 2)), key, p, q, rule=jaxgmm.Sobol(2**12))
    for side in (0, 1):
        exact = gradient_of(truth, unconstrained(p), unconstrained(q), side)
        for leaf in LEAVES:
            value, error = (
                getattr(result.value[side], leaf),
                getattr(result.standard_error[side], leaf),
            )
            part = dataclasses.replace(result, value=value, standard_error=error)
            assert_within(
                part, exact[leaf], catches=0.02 * max(1, np.abs(exact[leaf]).max(initial=0))
            )


@pytest.mark.parametrize("alpha", [1e-6, 0.1, 1 - 1e-6, 1 + 1e-6, 1.3])
def test_renyi_by_gauss_hermite(alpha):
    """To eight digits at all orders, those next to 1 included, where the formula divides 0 by 0."""
    p, q = PAIRS["overlapping"]
    value = jaxgmm.renyi_divergence(None, gmm(p), gmm(q), alpha, GAUSS_HERMITE)
    exact = renyi(alpha, p, q)
    if abs(alpha - 1) < 1e-5:  # to first order in alpha - 1, as the oracle divides 0 by 0, too
        variance = integral(lambda a, b: np.exp(a) * (a - b) ** 2, p, q) - quadrature.kl(p, q) ** 2
        exact = quadrature.kl(p, q) + (alpha - 1) / 2 * variance
    np.testing.assert_allclose(value, exact, rtol=1e-7 if alpha > 1e-5 else 1e-4)


def test_inequalities_and_identities(key):
    """Which hold for the points themselves, so to rounding: H^2 <= TV <= H sqrt(2 - H^2), D_1/2 =
    -2 log(1 - H^2), and bounds.
    """
    for name in (*LINE, "far"):
        p, q = map(gmm, PAIRS[name])
        h, tv = jaxgmm.hellinger_distance(key, p, q), jaxgmm.total_variation(key, p, q)
        assert 0 <= h <= 1, name
        assert 0 <= tv <= 1, name
        assert h**2 <= tv + 1e-12, name
        assert tv <= h * math.sqrt(2 - h**2) + 1e-12, name
        if name != "far":
            np.testing.assert_allclose(
                jaxgmm.renyi_divergence(key, p, q, 0.5), -2 * np.log1p(-(h**2)), rtol=1e-10
            )


@pytest.mark.parametrize("divergence", [jaxgmm.hellinger_distance, jaxgmm.total_variation])
def test_symmetry(divergence, key):
    for pair in PAIRS.values():
        p, q = map(gmm, pair)
        there, back = estimate(divergence, key, p, q), estimate(divergence, jax.random.key(1), q, p)
        assert (
            abs(there.value - back.value)
            <= 5 * math.hypot(there.standard_error, back.standard_error) + 1e-12
        )


def test_the_two_halves_are_independent():
    """Over 400 keys, the variance of the mean of both is the sum of a quarter of each."""
    p, q = (dense.mixture([1.0], [mean], [1.0]) for mean in (-1, 1))
    keys = jax.random.split(jax.random.key(2), 400)
    rule = jaxgmm.MonteCarlo(64)
    values = jax.jit(jax.vmap(lambda key: jaxgmm.total_variation(key, gmm(p), gmm(q), rule)))(keys)

    def moment(power):
        return integral(
            lambda a, b: np.exp(a) * np.abs(np.tanh((a - b) / 2)) ** power, p, q, refine=10
        )

    exact = 0.25 * 2 * (moment(2) - moment(1) ** 2) / 64
    assert abs(values.var() / exact - 1) < 5 * math.sqrt(2 / 400)


ALL = {name: case[0] for name, case in CASES.items()}


@pytest.mark.parametrize("name", ["renyi 0.2", "renyi 0.9", "hellinger", "total variation"])
def test_no_digits_are_lost_near_zero(name, key):
    """In float32, for means that differ by a thousandth: squares of it are some 1e-7, all that
    float32 has below 1.
    """
    p = gmm(dense.mixture([0.25, 0.75], [0, 2], [1.0, 2.0]))
    q = dataclasses.replace(p, loc=p.loc + 2.0**-10)
    p32, q32 = (jax.tree.map(lambda a: a.astype(np.float32), m) for m in (p, q))
    narrow = ALL[name](None, p32, q32, jaxgmm.GaussHermite(40))
    wide = ALL[name](None, p, q, jaxgmm.GaussHermite(40))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=2e-2)


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("renyi 1", "renyi next to 1")]
)
def test_at_the_extremes(name, key):
    """In float32: 0 between a mixture and itself, and finite gradients there and between mixtures
    20 and 2,000 standard deviations apart, and of components without weight on either side.
    """
    p, q = (gmm(random_mixture(seed, 2, 2), np.float32) for seed in (0, 1))
    dead_p, dead_q = (dataclasses.replace(m, logits=m.logits.at[0].set(-jnp.inf)) for m in (p, q))
    away = [dataclasses.replace(q, loc=q.loc + a) for a in (20.0, 2000.0)]
    evaluate = jax.jit(
        jax.value_and_grad(lambda p, q: ALL[name](key, p, q, jaxgmm.Sobol(256)), argnums=(0, 1))
    )
    assert evaluate(p, p)[0] == 0
    for pair in [
        (p, p),
        (p, away[0]),
        (p, away[1]),
        (away[1], p),
        (dead_p, q),
        (p, dead_q),
        (dead_p, dead_q),
    ]:
        for leaf in jax.tree.leaves(evaluate(*pair)):
            assert leaf.dtype == np.float32
            assert np.isfinite(leaf).all()


def kl_of_ratio(t):
    return t * jnp.log(t)


def kl_of_log_ratio(s):
    return s * jnp.exp(s)


def reverse_kl_of_log_ratio(s):
    return -s


def test_f_divergence_of_the_ratio_and_of_its_logarithm():
    p, q = PAIRS["overlapping"]
    value = functools.partial(jaxgmm.f_divergence, None, gmm(p), gmm(q), rule=GAUSS_HERMITE)
    np.testing.assert_allclose(value(kl_of_ratio), quadrature.kl(p, q), rtol=1e-8)
    np.testing.assert_allclose(
        value(kl_of_log_ratio, log_ratio=True), quadrature.kl(p, q), rtol=1e-8
    )
    np.testing.assert_allclose(
        value(reverse_kl_of_log_ratio, log_ratio=True), quadrature.kl(q, p), rtol=1e-8
    )


def test_arguments(key):
    p, q = map(gmm, PAIRS["overlapping"])
    for alpha in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="alpha must be positive and finite"):
            jaxgmm.renyi_divergence(key, p, q, alpha)
    for alpha in ("half", None):
        with pytest.raises(TypeError, match="alpha must be a number"):
            jaxgmm.renyi_divergence(key, p, q, alpha)
    with pytest.raises(TypeError, match="f must be a function of the ratio"):
        jaxgmm.f_divergence(key, p, q, "kl")
    for divergence in (
        jaxgmm.hellinger_distance,
        jaxgmm.total_variation,
        f_of_roots,
        ALL["renyi 0.2"],
        ALL["renyi 1.2"],
    ):
        with pytest.raises(ValueError, match="key is None"):
            divergence(None, p, q, jaxgmm.Sobol(16))
