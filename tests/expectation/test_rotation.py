"""Rotated normals: that they stay normals, point where the integrand moves, and are worth their
cost.
"""

import jax
import numpy as np
import pytest
import scipy.linalg

import jaxgmm
from jaxgmm._expectation import variance_reduction
from jaxgmm._expectation.variance_reduction import active_directions, pivoted_reflections
from support.mixtures import gmm, random_mixture


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 7, 40])
def test_they_are_orthogonal(d, dtype):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(5, d, 3)) * 10.0 ** rng.integers(-8, 8, (5, 1, 1))
    gradients[4] = 0
    turn = np.asarray(
        pivoted_reflections((gradients @ gradients.swapaxes(1, 2)).astype(dtype)), np.float64
    )
    rounding = 30 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(d), (5, d, d)), atol=rounding
    )


def test_they_are_the_factors_of_a_pivoted_qr():
    factor = np.random.default_rng(0).normal(size=(3, 9, 5))
    matrices = factor @ factor.swapaxes(1, 2)
    for turn, matrix in zip(pivoted_reflections(matrices), matrices, strict=True):
        expected = scipy.linalg.qr(matrix, pivoting=True)[0]
        np.testing.assert_allclose(np.abs(turn[:, :5]), np.abs(expected[:, :5]), atol=1e-9)


def test_the_first_points_along_the_only_direction_that_matters():
    direction = np.random.default_rng(1).normal(size=8)
    direction /= np.linalg.norm(direction)
    p = gmm(random_mixture(0, 3, 8))
    turn = active_directions(lambda component, nodes: jax.numpy.exp(direction @ nodes[0]), p, 16)
    np.testing.assert_allclose(np.abs(turn[:, :, 0] @ direction), 1, rtol=1e-12)


@pytest.mark.long
def test_they_leave_the_value_and_cut_the_error(key, monkeypatch):
    p, q = (gmm(random_mixture(seed, 4, 16, spread=1.5)) for seed in (1, 2))
    rotated = jaxgmm.estimate(
        jaxgmm.kl_divergence, key, p, q, rule=jaxgmm.Sobol(2**15), num_replicates=64
    )
    monkeypatch.setattr(variance_reduction, "_rotation_is_worth_it", lambda *_: False)
    jax.clear_caches()
    plain = jaxgmm.estimate(
        jaxgmm.kl_divergence, jax.random.key(1), p, q, rule=jaxgmm.Sobol(2**15), num_replicates=64
    )
    jax.clear_caches()
    assert abs(rotated.value - plain.value) < 5 * np.hypot(
        rotated.standard_error, plain.standard_error
    )
    assert rotated.standard_error < plain.standard_error / 1.25  # each is known to a tenth
