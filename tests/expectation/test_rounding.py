"""The rounding error of estimates: it covers what rounding does in float32, and says so."""

import dataclasses
import functools
import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree

import jaxgmm
import jaxgmm.extend
from jaxgmm import GMM
from oracles import dense, quadrature
from support.mixtures import PAIRS, gmm

RULE = jaxgmm.Sobol(2**12)
ONE = np.eye(2)
# Weights, means and covariances of p and q in coordinates in which they are round.
ROUND = {
    "overlapping": (
        ([0.4, 0.6], [[-1, 0], [1, 0.5]], [0.5 * ONE, [[1, 0.3], [0.3, 0.8]]]),
        ([0.5, 0.5], [[-0.5, 0.2], [1.2, 0]], [0.7 * ONE, [[1.2, -0.2], [-0.2, 0.9]]]),
    ),
    "apart": (
        ([0.3, 0.7], [[-2, 0], [2, 1]], [ONE, 0.3 * ONE]),
        ([0.5, 0.5], [[-1.5, 0.5], [1.5, 0]], [ONE, ONE]),
    ),
    "one each": (
        ([0.5, 0.5], [[0, 0], [0, 0]], [ONE, ONE]),
        ([0.5, 0.5], [[0.3, -0.4], [0.3, -0.4]], [[[1.3, 0.2], [0.2, 0.7]]] * 2),
    ),
}


def correlating(gap: float) -> np.ndarray:
    """The triangle A for which A y has unit variances and the correlation 1 - gap."""
    return np.array([[1, 0], [1 - gap, np.sqrt(gap * (2 - gap))]])


def correlated(a: np.ndarray, weights, means, covariances) -> GMM:
    """The mixture of A y in float32."""
    factors = a @ np.linalg.cholesky(np.asarray(covariances, float))
    log_diag = np.log(np.diagonal(factors, axis1=1, axis2=2))
    leaves = np.log(weights), np.asarray(means) @ a.T, log_diag, factors[:, 1, :1]
    return GMM(*(jnp.asarray(leaf, np.float32) for leaf in leaves))


def made_round(a: np.ndarray, p: GMM) -> dense.Mixture:
    """The mixture of A^-1 x for x of the mixture in float32, as float64 sees its parameters."""
    logits, loc, log_diag, off_diag = (np.asarray(leaf, float) for leaf in tree.leaves(p))
    factors = np.zeros((len(logits), 2, 2))
    factors[:, [0, 1], [0, 1]] = np.exp(log_diag)
    factors[:, 1, 0] = off_diag[:, 0]
    # The factors are mapped, as the covariances would lose all digits.
    inverse = np.linalg.inv(a)
    roots = inverse @ factors
    weights = np.exp(logits) / np.exp(logits).sum()
    return dense.Mixture(weights, loc @ inverse.T, roots @ roots.transpose(0, 2, 1))


def correlated_pair(name: str, gap: float) -> tuple[tuple[GMM, GMM], tuple[float, float]]:
    """The pair in float32, and its KL and JS by quadrature."""
    a = correlating(gap)
    pair = tuple(correlated(a, *mixture) for mixture in ROUND[name])
    rounded = [made_round(a, mixture) for mixture in pair]
    return pair, (quadrature.kl(*rounded), quadrature.js(*rounded))


DIVERGENCES = (jaxgmm.kl_divergence, jaxgmm.js_divergence)


@pytest.mark.parametrize("index", [0, 1], ids=["KL", "JS"])
def test_nearly_collinear_in_float32(index, key):
    """The standard error alone is blind: the truth is 6 of them away. The interval covers it, and
    a warning names the mend.
    """
    (p, q), truths = correlated_pair("one each", 1e-12)
    with pytest.warns(RuntimeWarning, match="rounding error in float32.*; use float64"):
        result = jaxgmm.estimate(DIVERGENCES[index], key, p, q, rule=RULE)
    off = abs(float(result.value) - truths[index])
    assert off > 6 * result.standard_error
    assert result.rounding > result.standard_error
    assert off < 5 * result.rounding < 2 * truths[index]
    assert "rounding" in str(result)


@pytest.mark.long
def test_rounding_is_of_the_right_size(key):
    """From correlations that cost no digits to those that cost all: of intervals of 99 %, four of
    five hold the truth, and rounding is never five times too small, nor far too large.
    """
    cases = itertools.product(ROUND, (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12))
    pairs, truths = zip(*(correlated_pair(*case) for case in cases), strict=True)
    p, q = tree.map(lambda *leaves: jnp.stack(leaves), *pairs)
    for divergence, truth in zip(DIVERGENCES, np.transpose(truths), strict=True):
        run = functools.partial(jaxgmm.estimate, divergence, key, rule=RULE)
        results = jax.jit(jax.vmap(lambda p, q, run=run: run(p, q)))(p, q)
        low, high = map(np.asarray, results.interval(0.99))
        assert np.mean((low <= truth) & (truth <= high)) >= 0.8
        off = np.abs(np.asarray(results.value) - truth)
        error, rounding = map(np.asarray, (results.standard_error, results.rounding))
        assert np.all(off < 5 * error + 5 * rounding)
        large = rounding > error
        assert np.median(rounding[large] / off[large]) < 5
        assert large.sum() >= 6
        assert np.all(rounding.reshape(3, -1)[:, 0] < 1e-5)


P, Q = map(gmm, PAIRS["plane"])
A, B = map(gmm, PAIRS["overlapping"])


@pytest.mark.long
def test_every_declared_scaling_is_right(key):
    """In float64 a wrong one makes a rounding of the size of the value."""
    rule = jaxgmm.MonteCarlo(64)
    declared = {
        jaxgmm.kl_divergence: {},
        jaxgmm.js_divergence: {},
        jaxgmm.jeffreys_divergence: {},
        jaxgmm.hellinger_distance: {},
        jaxgmm.total_variation: {},
        jaxgmm.renyi_divergence: {"alpha": 0.7},
        jaxgmm.f_divergence: {"f": jnp.square},
        jaxgmm.cross_entropy: {},
    }
    of_one = (jaxgmm.entropy, jaxgmm.component_information, jaxgmm.classification_entropy)

    @jax.jit
    def roundings(key, p, q):
        run = functools.partial(jaxgmm.estimate, rule=rule, num_replicates=2)
        values = [run(fn, key, p, q, **options) for fn, options in declared.items()]
        values += [run(fn, key, p) for fn in of_one]
        values += [run(jaxgmm.cross_entropy, key, p, q, gradient_of=i) for i in (1, 2)]
        return values

    for result in roundings(key, P, Q):
        for value, rounding in zip(*map(tree.leaves, (result.value, result.rounding)), strict=True):
            assert np.all(rounding < 1e-11 * (1 + np.abs(value)))
            assert np.all(value != 0)


def test_units_that_change_the_value(key):
    """A function that declares falsely that it is invariant: rounding is then the whole change."""

    @jaxgmm.extend.validated_jit(scaling=0)
    def log_width(key, p: jaxgmm.extend.Mixture, rule: jaxgmm.extend.RuleArg = RULE):
        return p.log_diag[0, 0] + 0 * jax.random.uniform(key, dtype=p.loc.dtype)

    with pytest.warns(RuntimeWarning, match="rounding error in float64"):
        result = jaxgmm.estimate(log_width, key, P)
    np.testing.assert_allclose(result.rounding, np.log(1.37 / 0.71))


def test_unknown_without_a_declaration(key):
    """Neither of a function of one's own nor of what `jax.grad` makes of a function that has it."""
    for fn in (
        lambda key, p, q, rule: jaxgmm.kl_divergence(key, p, q, rule),
        jax.grad(jaxgmm.kl_divergence, argnums=2),
    ):
        result = jaxgmm.estimate(fn, key, A, B, rule=jaxgmm.MonteCarlo(64), num_replicates=2)
        assert result.rounding is None
        assert "rounding" not in str(result)


def test_gradient_of_is_the_gradient(key):
    rule = jaxgmm.MonteCarlo(64)
    formed = jaxgmm.estimate(jaxgmm.kl_divergence, key, A, B, rule=rule, gradient_of=2)
    given = jaxgmm.estimate(jax.grad(jaxgmm.kl_divergence, 2), key, A, B, rule=rule)
    leaves = (tree.leaves((r.value, r.standard_error)) for r in (formed, given))
    for mine, other in zip(*leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10)
    with pytest.raises(ValueError, match="gradient_of must be at most 2, the last of the mixtures"):
        jaxgmm.estimate(jaxgmm.kl_divergence, key, A, B, gradient_of=3)


@pytest.mark.smoke
def test_rounding_widens_the_interval():
    result = jaxgmm.Estimate(jnp.ones(2), jnp.zeros(2), 8, 64, None, jnp.array([0.25, 0]))
    np.testing.assert_allclose(result.interval(), [[0.75, 1], [1.25, 1]])
    assert "rounding" in str(result)
    assert "rounding=" not in str(dataclasses.replace(result, rounding=jnp.zeros(2)))


def test_a_tolerance_below_rounding_is_not_reached(key):
    """More points would not help, so none are taken."""
    (p, q), _ = correlated_pair("one each", 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q, rule=RULE, rtol=3e-3)
    assert result.converged is False
    assert result.standard_error <= 3e-3 * result.value < result.rounding
    assert result.num_points == 16 * RULE.n
