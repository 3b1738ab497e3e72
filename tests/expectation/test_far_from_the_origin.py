"""Mixtures far from the origin in float32, where coordinates are multiples of 1/16."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxgmm
from oracles.dense import mixture
from oracles.quadrature import kl
from support.mixtures import gmm

# Means are multiples of 1/16, so that the mixtures themselves lose nothing at 1e6.
P = mixture([0.375, 0.625], [-1, 1.25], [0.35, 0.8])
Q = mixture([0.5, 0.5], [-0.5, 2], [0.6, 1.1])
RULE = jaxgmm.GaussHermite(64)  # which adds no noise to the rounding


def at(mixture, origin: float) -> jaxgmm.GMM:
    return gmm(dataclasses.replace(mixture, means=mixture.means + origin), np.float32)


@jax.jit
def by_expectation(p, q):
    """KL as a user writes it."""
    log_p, log_q = jaxgmm.log_density(p), jaxgmm.log_density(q)
    return jaxgmm.expectation(None, p, lambda x: log_p(x) - log_q(x), RULE)


@pytest.mark.smoke
def test_centred_mixtures_lose_no_digits():
    """The points themselves are rounded, which `centred` prevents and nothing afterwards mends."""
    truth = kl(P, Q)
    p, q = at(P, 1e6), at(Q, 1e6)
    assert abs(by_expectation(at(P, 0), at(Q, 0)) - truth) < 2e-6
    assert abs(by_expectation(*jaxgmm.centred(p, q)) - truth) < 2e-6
    assert abs(jaxgmm.kl_divergence(None, p, q, RULE) - truth) < 2e-6
    assert 2e-5 < abs(by_expectation(p, q) - truth) < 2e-3


def test_centred_moves_the_mean_of_p_to_the_origin_and_is_constant_in_derivatives():
    p, q = at(P, 16), at(Q, 16)
    moved_p, moved_q = jaxgmm.centred(p, q)
    np.testing.assert_allclose(moved_p.weights @ moved_p.loc, 0, atol=1e-6)
    shifts = [np.asarray(a.loc - b.loc) for a, b in ((p, moved_p), (q, moved_q))]
    np.testing.assert_allclose(np.concatenate(shifts), 4 * [16 + P.weights @ P.means], rtol=1e-6)
    total = jax.grad(lambda p: jaxgmm.centred(p, q)[0].loc.sum())(p)
    np.testing.assert_array_equal(total.loc, np.ones((2, 1)))
    np.testing.assert_array_equal(total.logits, np.zeros(2))
