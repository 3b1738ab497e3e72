"""Importance weights, their evidence, and what they say of themselves."""

import math
import sys

import jax
import numpy as np
import pytest
from scipy import special, stats

import jaxgmm
from oracles import dense
from support.mixtures import gmm

N = 10_000
Y = np.random.default_rng(0).normal(1.5, 1.0, size=(7, 2))
PRIOR, NOISE = 2.0, 0.8  # standard deviations of theta and of y given theta
WIDE = dense.mixture([0.5, 0.5], [[1.2, 1.2], [1.6, 1.6]], [0.3 * np.eye(2), 0.3 * np.eye(2)])


def log_joint(theta):
    """log p(theta) + log p(Y | theta), for normal observations of a mean with a normal prior."""
    logs = jax.scipy.stats.norm.logpdf
    likelihood = logs(Y[None], theta[:, None], NOISE).sum((1, 2))
    return logs(theta, 0.0, PRIOR).sum(1) + likelihood


def log_evidence() -> float:
    """In closed form: each column of Y is jointly normal."""
    covariance = PRIOR**2 + NOISE**2 * np.eye(len(Y))
    return sum(stats.multivariate_normal.logpdf(y, np.zeros(len(Y)), covariance) for y in Y.T)


def line(scale: float) -> jaxgmm.GMM:
    return gmm(dense.mixture([1.0], [[0.0]], [[[scale**2]]]))


def test_evidence_of_a_conjugate_model(key):
    result = jaxgmm.importance_weights(key, gmm(WIDE), log_joint, N)
    assert abs(result.log_evidence - log_evidence()) < 5 * result.standard_error < 0.1


def test_the_standard_error_is_that_of_many_repetitions(key):
    repeat = jax.vmap(lambda key: jaxgmm.importance_weights(key, gmm(WIDE), log_joint, 500))
    results = jax.jit(repeat)(jax.random.split(key, 400))
    spread = np.asarray(results.log_evidence).std(ddof=1)
    # The standard deviation of 400 normals is known to 3.5 %.
    assert 0.8 < results.standard_error.mean() / spread < 1.2
    assert abs(results.log_evidence.mean() - log_evidence()) < 5 * spread / 20


def test_weights_move_means_to_the_posterior(key):
    result = jaxgmm.importance_weights(key, gmm(WIDE), log_joint, N)
    weights = np.exp(result.log_weights)
    mean, covariance = (
        np.average(result.points, axis=0, weights=weights),
        np.cov(result.points.T, aweights=weights),
    )
    precision = len(Y) / NOISE**2 + 1 / PRIOR**2
    error = 5 / math.sqrt(precision * result.effective_sample_size)
    np.testing.assert_allclose(mean, Y.sum(0) / NOISE**2 / precision, atol=error)
    np.testing.assert_allclose(covariance, np.eye(2) / precision, atol=0.1 / precision)
    assert error < 0.03


def test_weights_and_their_size_are_those_of_the_points(key):
    result = jaxgmm.importance_weights(key, gmm(WIDE), log_joint, N)
    logs = np.asarray(log_joint(result.points)) - WIDE.log_prob(np.asarray(result.points))
    np.testing.assert_allclose(result.log_weights, special.log_softmax(logs), atol=1e-9)
    weights = special.softmax(logs)
    assert result.effective_sample_size == pytest.approx(1 / np.square(weights).sum())


def test_at_the_target_all_weights_are_equal(key):
    p = gmm(WIDE)
    result = jaxgmm.importance_weights(key, p, jaxgmm.log_density(p), N)
    assert result.log_evidence == pytest.approx(0, abs=1e-9)
    assert result.standard_error < 1e-9
    assert result.effective_sample_size == pytest.approx(N)


@pytest.mark.parametrize("scale", [0.4, 0.8])
def test_pareto_k_of_a_narrow_gaussian(key, scale):
    """The weights of N(0, 1) under N(0, s^2) have a tail of shape 1 - s^2."""
    pytest.importorskip("arviz_stats")
    result = jaxgmm.importance_weights(key, line(scale), lambda x: -0.5 * x[:, 0] ** 2, N)
    assert result.pareto_k == pytest.approx(1 - scale**2, abs=0.25)
    assert str(result).endswith("do not trust it") == (scale < 0.5)


def test_no_tail_and_no_library(key, monkeypatch):
    target = jaxgmm.log_density(line(1.0))
    if "arviz_stats" in sys.modules:
        assert jaxgmm.importance_weights(key, line(1.0), target, N).pareto_k == -math.inf
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    result = jaxgmm.importance_weights(key, line(1.0), target, N)
    assert result.pareto_k is None
    assert "10000 effective points of 10000, Pareto k unknown, so the error may" in str(result)


def test_a_target_without_density_at_any_point_is_an_error(key):
    for value in (-np.inf, np.nan, np.inf):
        with jax.debug_nans(False), pytest.raises(FloatingPointError, match="check target"):
            jaxgmm.importance_weights(key, line(1.0), lambda x, v=value: v + 0 * x[:, 0], N)
