"""Samples of one component, of components without weight, and of every shape."""

import jax
import numpy as np
import pytest

import jaxgmm
from oracles import dense
from support.mixtures import gmm, random_mixture

pytestmark = pytest.mark.long


def test_one_component_is_a_location_and_a_scale(key):
    """Moved along the parameters themselves; the diagonal of L then moves at the rate log_diag
    exp(log_diag).
    """
    p = gmm(random_mixture(0, 1, 2))
    x, dx = jax.jit(lambda p: jax.jvp(lambda p: jaxgmm.sample(key, p, 50), (p,), (p,)))(p)
    mean, factor, log_diag = (np.asarray(a)[0] for a in (p.loc, p.scale_tril, p.log_diag))
    eps = np.linalg.solve(factor, (np.asarray(x) - mean).T).T
    velocity = np.tril(factor, -1) + np.diag(log_diag * np.exp(log_diag))
    np.testing.assert_allclose(dx, mean + eps @ velocity.T, rtol=1e-9, atol=1e-10)


def test_components_without_weight_are_never_drawn(key):
    p = gmm(dense.mixture([0.5, 0.0, 0.5], [0, 100, 1], [1.0, 1.0, 1.0]))
    assert jaxgmm.sample(key, p, 2**14).max() < 50


@pytest.mark.parametrize(
    "num_samples", [1, 7, 5000]
)  # one batch, and several of which the last is not full
def test_shapes(num_samples, key):
    for d in (1, 2):
        x = jaxgmm.sample(key, gmm(random_mixture(0, 3, d)), num_samples)
        assert x.shape == (num_samples, d)
        assert len(np.unique(x[:, 0])) == num_samples
