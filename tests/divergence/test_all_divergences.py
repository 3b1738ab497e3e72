"""Six divergences from one pass over the points."""

import dataclasses
import math

import jax
import numpy as np
import pytest

import jaxgmm
from oracles import quadrature
from support.estimates import assert_within, estimate
from support.leaves import gradient_of, unconstrained
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, random_mixture, typed

SOME = [("full", "full"), ("full", "diag"), ("spherical", "diag")]


def jeffreys(p, q):
    return quadrature.kl(p, q) + quadrature.kl(q, p)


def total_variation(p, q):
    """On a finer grid, as the integrand has a kink."""

    def integrand(x):
        return 0.5 * np.abs(np.exp(p.log_prob(x)) - np.exp(q.log_prob(x)))

    return quadrature.integral(integrand, p, q, refine=4)


def hellinger(p, q):
    def integrand(x):
        return 0.5 * (np.exp(0.5 * p.log_prob(x)) - np.exp(0.5 * q.log_prob(x))) ** 2

    return math.sqrt(quadrature.integral(integrand, p, q))


FIELDS = {
    "kl_pq": quadrature.kl,
    "kl_qp": lambda p, q: quadrature.kl(q, p),
    "js": quadrature.js,
    "jeffreys": jeffreys,
    "hellinger": hellinger,
    "total_variation": total_variation,
}


@pytest.mark.parametrize("types", first_by_default(SOME))
def test_all_divergences(types, key):
    (p, p_gmm), (q, q_gmm) = (
        typed(seed, seed, 2, kind) for seed, kind in zip((2, 3), types, strict=True)
    )
    every = estimate(jaxgmm.all_divergences, key, p_gmm, q_gmm, rule=jaxgmm.Sobol(2**12))
    assert every.value._fields == tuple(FIELDS)
    for name, truth in FIELDS.items():
        part = dataclasses.replace(
            every,
            value=getattr(every.value, name),
            standard_error=getattr(every.standard_error, name),
        )
        assert_within(part, truth(p, q), catches=0.02)


@pytest.mark.long
def test_gradients_of_all_divergences(key):
    p, q = map(gmm, PAIRS["unequal"])
    jacobian = jax.jacrev(jaxgmm.all_divergences, argnums=(1, 2))
    every = estimate(jacobian, key, p, q, rule=jaxgmm.Sobol(2**12))
    for name, truth in FIELDS.items():
        if name == "total_variation":  # whose kink the differences of quadrature do not resolve
            continue
        for side in (0, 1):
            exact = gradient_of(truth, unconstrained(p), unconstrained(q), side)
            for leaf, derivative in exact.items():
                part = dataclasses.replace(
                    every,
                    value=getattr(getattr(every.value, name)[side], leaf),
                    standard_error=getattr(getattr(every.standard_error, name)[side], leaf),
                )
                assert_within(
                    part, derivative, catches=0.1 * max(1, np.abs(derivative).max(initial=0))
                )


@pytest.mark.long
@pytest.mark.parametrize("spread", [2.0, 0.5])
def test_all_divergences_are_as_accurate_as_each(spread):
    """With a control variate and a rotation in 16 dimensions, over 96 keys."""
    p, q = (gmm(random_mixture(seed, 5, 16, spread), np.float32) for seed in (0, 1))
    keys = jax.random.split(jax.random.key(0), 96)
    rule = jaxgmm.Sobol(2**13)

    def spread_of(divergence, *pair):
        values = jax.jit(lambda keys: jax.lax.map(lambda key: divergence(key, *pair, rule), keys))(
            keys
        )
        return jax.tree.map(lambda v: float(np.std(np.asarray(v, float), ddof=1)), values)

    every = spread_of(jaxgmm.all_divergences, p, q)
    # The ratio of two standard deviations of 96 normal values has itself one of 0.10.
    assert every.kl_pq < (1.1 + 3 * 0.1) * spread_of(jaxgmm.kl_divergence, p, q)
    assert every.kl_qp < (1.1 + 3 * 0.1) * spread_of(jaxgmm.kl_divergence, q, p)
