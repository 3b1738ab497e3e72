"""What points tell of their components, against quadrature."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import dense, quadrature
from support.estimates import assert_within, estimate
from support.leaves import LEAVES, gradient_of, unconstrained
from support.mixtures import PAIRS, gmm

pytestmark = pytest.mark.long


def weight_entropy(p):
    return float(-(p.weights * np.log(p.weights)).sum())


def conditional_entropy(p):
    """Of the component given the point, from the joint densities."""
    parts = [
        dense.Mixture(p.weights[[k]], p.means[[k]], p.covariances[[k]])
        for k in range(len(p.weights))
    ]

    def integrand(x):
        log_p = p.log_prob(x)
        return sum(np.exp(part.log_prob(x)) * (log_p - part.log_prob(x)) for part in parts)

    return quadrature.integral(integrand, p)


COMPONENTS = {
    jaxgmm.classification_entropy: conditional_entropy,
    jaxgmm.component_information: lambda p: weight_entropy(p) - conditional_entropy(p),
}


@pytest.mark.parametrize("fn", COMPONENTS)
def test_components(fn, key):
    for pair in PAIRS.values():
        for p in pair:
            assert_within(estimate(fn, key, gmm(p)), COMPONENTS[fn](p), catches=2e-3)


@pytest.mark.parametrize("fn", COMPONENTS)
def test_gradients_of_components(fn, key):
    p = gmm(PAIRS["plane"][0])
    result = estimate(jax.grad(fn, argnums=1), key, p, rule=jaxgmm.Sobol(2**12))
    exact = gradient_of(lambda p, _: COMPONENTS[fn](p), unconstrained(p), unconstrained(p), 0)
    for leaf in LEAVES:
        part = dataclasses.replace(
            result,
            value=getattr(result.value, leaf),
            standard_error=getattr(result.standard_error, leaf),
        )
        assert_within(part, exact[leaf], catches=0.02)


def test_components_that_coincide_are_far_apart_or_without_weight(key):
    apart = gmm(dense.mixture([0.2, 0.3, 0.5], [0, 1e3, 2e3], [1.0, 2.0, 1.0]))
    entropy = -(0.2 * math.log(0.2) + 0.3 * math.log(0.3) + 0.5 * math.log(0.5))
    together = dataclasses.replace(apart, loc=jnp.zeros((3, 1)), log_diag=jnp.zeros((3, 1)))
    dead = dataclasses.replace(apart, loc=apart.loc / 1e3, logits=apart.logits.at[0].set(-jnp.inf))
    for fn, truths in [
        (jaxgmm.component_information, (entropy, 0)),
        (jaxgmm.classification_entropy, (0, entropy)),
    ]:
        evaluate = jax.jit(jax.value_and_grad(functools.partial(fn, key)))
        for p, truth in zip((apart, together), truths, strict=True):
            np.testing.assert_allclose(evaluate(p)[0], truth, rtol=1e-12, atol=1e-12)
        value, gradient = evaluate(dead)
        assert 0 < value < math.log(2)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
