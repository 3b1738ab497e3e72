"""Mixtures whose leaves share rows in other ways than the four covariance types do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm._mixture.read_out import moments_of
from oracles.dense import Mixture
from oracles.quadrature import kl
from support.long import first_by_default
from support.mixtures import PAIRS, gmm

WEIGHTS = np.array([0.3, 0.7])
MEANS = np.array([[0.0, 0.0], [1.5, 1.0]])
SCALES = {
    "own diagonals, one triangle": ([[0.0, 0.2], [-0.3, 0.1]], [[0.5]]),
    "one diagonal, own triangles": ([[0.1, -0.2]], [[0.5], [-0.4]]),
    "one number, own triangles": ([[0.1]], [[0.5], [-0.4]]),
    "own numbers, one triangle": ([[0.1], [-0.3]], [[0.5]]),
}


def built(log_diag, off_diag) -> tuple[jaxgmm.GMM, Mixture]:
    """The mixture, and that of the oracle with each factor written out."""
    factors = np.zeros((2, 2, 2))
    factors[:, [0, 1], [0, 1]] = np.exp(np.broadcast_to(log_diag, (2, 2)))
    factors[:, 1, 0] = np.broadcast_to(off_diag, (2, 1))[:, 0]
    leaves = (np.log(WEIGHTS), MEANS, log_diag, off_diag)
    p = jaxgmm.GMM(*(jnp.asarray(leaf, float) for leaf in leaves))
    return p, Mixture(WEIGHTS, MEANS, factors @ factors.transpose(0, 2, 1))


@pytest.mark.smoke
@pytest.mark.parametrize("name", SCALES)
def test_every_component_keeps_its_own_covariance(name):
    p, dense = built(*SCALES[name])
    assert p.covariance_type == "full"
    np.testing.assert_allclose(p.covariances, dense.covariances, rtol=1e-12)
    read = moments_of(p)
    assert read.covariance_type == "full"
    np.testing.assert_allclose(read.covariances, dense.covariances, rtol=1e-12)
    np.testing.assert_allclose(jaxgmm.to_sklearn(p).covariances_, dense.covariances, rtol=1e-12)
    second = dataclasses.replace(p, logits=jnp.array([-jnp.inf, 0.0]))
    np.testing.assert_allclose(
        jaxgmm.mixture_covariance(second), dense.covariances[1], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", first_by_default(SCALES))
def test_the_divergence_is_that_of_the_covariances(name):
    p, dense = built(*SCALES[name])
    q = PAIRS["plane"][1]
    exact = kl(dense, q)
    value = jaxgmm.kl_divergence(None, p, gmm(q), jaxgmm.GaussHermite(48))
    np.testing.assert_allclose(value, exact, rtol=1e-5)
    assert exact > 1e-3
    reversed_value = jaxgmm.kl_divergence(None, gmm(q), p, jaxgmm.GaussHermite(48))
    np.testing.assert_allclose(reversed_value, kl(q, dense), rtol=1e-5)
    gradient = jax.grad(jaxgmm.kl_divergence, argnums=1)(None, p, gmm(q), jaxgmm.GaussHermite(8))
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, p)
