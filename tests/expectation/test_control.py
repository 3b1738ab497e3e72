"""The control variate of KL and the entropies: that it biases nothing, and what it is for."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm._expectation.variance_reduction import (
    fitted_control_variate,
    log_density_with_control,
    simplex,
)
from jaxgmm._mixture.sampling import placement
from oracles import dense, differences, gaussians, quadrature
from support.covariance_types import of_type
from support.estimates import assert_within, estimate
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, random_mixture


def in_six_dimensions(mixture: dense.Mixture, means, variances) -> dense.Mixture:
    """The mixture in the first two coordinates, times one Gaussian in four more."""
    k = len(mixture.weights)
    covariances = np.zeros((k, 6, 6))
    covariances[:, :2, :2] = mixture.covariances
    covariances[:, range(2, 6), range(2, 6)] = variances
    return dense.Mixture(
        mixture.weights, np.hstack([mixture.means, np.tile(means, (k, 1))]), covariances
    )


def pair(stretch: float) -> tuple[dense.Mixture, dense.Mixture]:
    """Overlapping mixtures in the plane; stretched, their components are far apart, each near one
    of the other mixture.
    """
    p, q = PAIRS["plane"]
    return tuple(
        dense.Mixture(m.weights, m.means + stretch * p.means, m.covariances) for m in (p, q)
    )


REST = [
    (np.zeros(4), np.ones(4)),
    (np.array([0.3, -0.2, 0.1, 0.0]), np.array([1.5, 0.8, 1.0, 1.2])),
]
SINGLE = [
    dense.Mixture(np.ones(1), mean[None], np.diag(variances)[None]) for mean, variances in REST
]


def trusted(p: jaxgmm.GMM, q: jaxgmm.GMM) -> np.ndarray:
    integrand = log_density_with_control(p) - log_density_with_control(q)
    return np.asarray(
        (fitted_control_variate(integrand, placement(p), p.loc).coefficients != 0).any(1)
    )


GRADIENT = jax.grad(
    jaxgmm.kl_divergence, argnums=(1, 2)
)  # one function, as each is a program of its own


@functools.cache
def exact_slopes(stretch: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Of KL in the logits and the means of p (side 0) or of q (side 1), in the plane."""
    flat = pair(stretch)
    leaves = [np.log(flat[side].weights), flat[side].means]

    def truth(logits, means):
        moved = list(flat)
        moved[side] = dense.Mixture(
            np.exp(logits) / np.exp(logits).sum(), means, flat[side].covariances
        )
        return quadrature.kl(*moved)

    return (
        differences.gradient(lambda a: truth(a, leaves[1]), leaves[0]),
        differences.gradient(lambda a: truth(leaves[0], a), leaves[1]),
    )


@pytest.mark.parametrize("stretch", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("rule", first_by_default([jaxgmm.Sobol(2**12), jaxgmm.MonteCarlo(2**12)]))
def test_values_and_gradients_with_control(stretch, rule, key):
    """In six dimensions, of which four have a closed form and two are for quadrature."""
    flat = pair(stretch)
    p, q = (gmm(in_six_dimensions(m, *rest)) for m, rest in zip(flat, REST, strict=True))
    assert trusted(p, q).all() == (stretch == 8.0)
    value = estimate(jaxgmm.kl_divergence, key, p, q, rule=rule)
    assert_within(value, quadrature.kl(*flat) + gaussians.kl(*SINGLE), catches=0.2)

    result = estimate(GRADIENT, key, p, q, rule=rule)
    for side in (0, 1):
        value, error = result.value[side], result.standard_error[side]
        mine = dataclasses.replace(
            result,
            value=(value.logits, value.loc[:, :2]),
            standard_error=(error.logits, error.loc[:, :2]),
        )
        assert_within(mine, exact_slopes(stretch, side), catches=0.5)


def test_it_is_exact_where_components_are_far_apart(key):
    """The surrogate is then the log-density, so nothing is left to sample: the closed form for one
    Gaussian, to rounding.
    """
    mixtures = [
        dense.Mixture(np.ones(1), m.means, m.covariances)
        for m in (random_mixture(1, 1, 8), random_mixture(2, 1, 8))
    ]
    p, q = map(gmm, mixtures)
    for rule in (jaxgmm.MonteCarlo(1024), jaxgmm.Sobol(1024)):
        np.testing.assert_allclose(
            jaxgmm.kl_divergence(key, p, q, rule), gaussians.kl(*mixtures), rtol=1e-12
        )
        np.testing.assert_allclose(
            jaxgmm.kl_divergence(key, p, q, rule),
            jaxgmm.kl_divergence(jax.random.key(1), p, q, rule),
            rtol=1e-12,
        )


def test_it_cuts_the_error_a_hundredfold_where_components_are_separated(key):
    p = random_mixture(1, 8, 24, spread=4.0)
    q = dataclasses.replace(
        random_mixture(2, 8, 24),
        means=p.means + 0.5 * np.random.default_rng(0).normal(size=p.means.shape),
    )
    p, q = gmm(p), gmm(q)

    def plain(key, p, q, rule):
        log_p, log_q = jaxgmm.log_density(p), jaxgmm.log_density(q)
        return jaxgmm.expectation(key, p, lambda x: log_p(x) - log_q(x), rule)

    with_control, without = (
        estimate(f, key, p, q, rule=jaxgmm.Sobol(2**12)) for f in (jaxgmm.kl_divergence, plain)
    )
    assert with_control.standard_error < 0.01 * without.standard_error
    assert abs(with_control.value - without.value) < 5 * without.standard_error


@pytest.mark.smoke
@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_the_simplex_has_the_moments_of_a_standard_normal(dtype, rounding):
    for d in (1, 2, 7, 300):
        vertices = np.asarray(simplex(d, dtype))
        assert vertices.dtype == dtype
        assert vertices.shape == (d, d + 1)
        np.testing.assert_allclose(vertices.mean(1), 0, atol=rounding)
        np.testing.assert_allclose(vertices @ vertices.T / (d + 1), np.eye(d), atol=rounding)


@pytest.mark.parametrize("rule", first_by_default([jaxgmm.Sobol, jaxgmm.MonteCarlo]))
def test_it_may_be_left_out(rule, key):
    """Then the divergence is the plain mean over the points."""
    p, q = gmm(random_mixture(1, 3, 6)), gmm(random_mixture(2, 3, 6))
    log_p, log_q = jaxgmm.log_density(p), jaxgmm.log_density(q)
    plain = jaxgmm.expectation(key, p, lambda x: log_p(x) - log_q(x), rule(2**12))
    np.testing.assert_allclose(
        jaxgmm.kl_divergence(key, p, q, rule(2**12, variance_reduction=False)), plain, rtol=1e-12
    )
    assert abs(jaxgmm.kl_divergence(key, p, q, rule(2**12)) - plain) > 1e-9


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_its_mean_is_exact(covariance_type, key):
    """The mean of log q_j under p_k is -1/2 (log det 2 pi Sigma_j + tr Sigma_j^-1 Sigma_k + squared
    distance).
    """
    rng = np.random.default_rng(0)
    p = random_mixture(3, 3, 6)
    covariances = of_type(random_mixture(4, 3, 6).covariances, covariance_type)
    q = jaxgmm.GMM.from_moments(
        np.full(3, 1 / 3), rng.normal(size=(3, 6)), covariances, covariance_type
    )
    integrand = dataclasses.replace(log_density_with_control(q), coefficients=lambda means: means)
    exact = np.zeros((3, 3))
    for k in range(3):
        for j in range(3):
            factor = np.asarray(q.scale_tril[j])
            whitened = np.linalg.solve(
                factor,
                np.column_stack([np.linalg.cholesky(p.covariances[k]), p.means[k] - q.loc[j]]),
            )
            exact[k, j] = (
                -3 * np.log(2 * np.pi) - np.log(np.diag(factor)).sum() - 0.5 * (whitened**2).sum()
            )
    sampled = gmm(p)
    control = fitted_control_variate(integrand, placement(sampled), sampled.loc)
    np.testing.assert_allclose(
        jnp.where(control.coefficients == 0, 0, exact), control.coefficients, rtol=1e-12
    )
    nodes = jax.random.normal(key, (3, 6, 4))
    values, features = integrand.fn(placement(sampled)(jnp.arange(3), nodes))
    assert control.residual(jnp.arange(3), values, features).shape == (12,)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("d", first_by_default([5, 4]))
def test_beside_a_collapsed_component(d, covariance_type):
    """Half of q is p, and the points meet nothing of the other half: KL is log 2, of which a
    coefficient of 0 times a log-density of -inf makes nothing else.
    """
    rule = jaxgmm.GaussHermite(4)  # It has no node at the origin, where q is infinite.
    zeros = np.zeros((2, d), np.float32)
    off_diag = np.zeros((2, d * (d - 1) // 2), np.float32) if covariance_type == "full" else None
    p = jaxgmm.GMM(zeros[:1, 0], zeros[:1], zeros[:1], None if off_diag is None else off_diag[:1])
    collapsed = np.where(np.arange(2)[:, None] == 1, np.float32(-46), zeros)
    q = jaxgmm.GMM(zeros[:, 0], zeros, collapsed, off_diag)
    value, (of_p, of_q) = jax.value_and_grad(jaxgmm.kl_divergence, argnums=(1, 2))(None, p, q, rule)
    np.testing.assert_allclose(value, np.log(2), rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((of_p, of_q)))
    np.testing.assert_allclose(of_q.logits, [-0.5, 0.5], rtol=1e-5)
    entropy = d / 2 * np.log(2 * np.pi * np.e)
    value = jaxgmm.cross_entropy(None, p, q, rule)
    np.testing.assert_allclose(value, entropy + np.log(2), rtol=1e-5)
