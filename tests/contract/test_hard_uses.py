"""The algebra, samples, fits and reductions of mixtures that are hard."""

import math

import jax
import numpy as np
import optax
import pytest

import jaxgmm
from jaxgmm import GMM
from support.hard_pairs import ONES, PAIRS, QUARTERS, line

pytestmark = pytest.mark.long


def test_algebra_of_tiny_weights_and_far_values():
    """Conditional weights a million standard deviations away, and products of components of weight
    1e-300.
    """
    p = GMM.from_moments([1 - 1e-9, 1e-9], [[0.0, 0.0], [1.0, 5.0]], [[[1.0, 0.5], [0.5, 1.0]]] * 2)
    for value in (0.5, 30.0, 1e6):
        given = jaxgmm.condition(p, (0,), [value])
        np.testing.assert_allclose(
            given.logits[1] - given.logits[0], math.log(1e-9 / (1 - 1e-9)) + value - 0.5, rtol=1e-9
        )
        np.testing.assert_allclose(
            given.means[:, 0], [0.5 * value, 5 + 0.5 * (value - 1)], rtol=1e-12
        )
    p = line([1, 1e-300], [0, 50], [1, 1e-6])
    q = line([0, 1], [0, 50], [1, 1e-6])
    both, log_normaliser = jaxgmm.product(p, q)
    np.testing.assert_allclose(
        log_normaliser, math.log(1e-300 / (2e-6 * math.sqrt(math.pi))), rtol=1e-12
    )
    np.testing.assert_allclose(both.weights, [0, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(both.means[3], [50], rtol=1e-15)


def test_samples_of_narrow_components_have_right_derivatives(key):
    """Of the mean, in the logits: pi_k (mu_k - mean), with scales from 1e-6 to 1."""
    p = PAIRS["needles in both"][0]
    slopes = jax.vmap(lambda key: jax.grad(lambda p: jaxgmm.sample(key, p, 4096).mean())(p).logits)(
        jax.random.split(key, 64)
    )
    exact = p.weights * (p.loc[:, 0] - p.weights @ p.loc[:, 0])
    error = slopes.std(0, ddof=1) / 8
    assert np.all(np.abs(slopes.mean(0) - exact) < 5 * error)
    assert np.all(5 * error < 0.02)


@pytest.mark.parametrize("loss", [jaxgmm.forward_kl_loss, jaxgmm.reverse_kl_loss, jaxgmm.js_loss])
def test_fits_with_dead_and_doubled_components(loss, key):
    """What is dead stays dead and what is doubled stays finite, and the loss falls all the same."""
    target, optimizer = PAIRS["duplicates"][1], optax.adam(3e-2)
    for start in (line([0.5, 0, 0.5, 0], [0, 9, 4, 1], ONES), line(QUARTERS, [3, 3, 3, 3], ONES)):
        with (
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
        ):  # which optax needs
            result = jaxgmm.fit(key, loss(target, jaxgmm.Sobol(512)), start, optimizer, 100)
        assert not result.diverged
        assert result.losses[-1] < 0.2 * result.losses[0]
        np.testing.assert_array_equal(result.params.weights == 0, start.weights == 0)


def test_reduction_of_narrow_and_doubled_components():
    """Copies are merged for nothing, and a needle of weight 1e-300 is merged away without a
    trace.
    """
    r = jaxgmm.reduce(line([0.3, 0.3, 0.3, 0.1], [0, 0, 0, 5], [1e-6, 1e-6, 1e-6, 1]), 2)
    np.testing.assert_allclose(np.sort(np.exp(r.log_diag), axis=0), [[1e-6], [1]], rtol=1e-12)
    np.testing.assert_allclose(r.weights @ r.means, [0.5], rtol=1e-12)
    r = jaxgmm.reduce(line([1, 1e-300, 0], [0, 3, 5], [1, 1e-6, 1]), 1)
    np.testing.assert_allclose([r.means[0, 0], r.log_diag[0, 0]], [0, 0], atol=1e-14)
