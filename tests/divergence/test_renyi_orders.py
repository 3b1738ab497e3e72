"""The order of a Renyi divergence as data: compilations, and derivatives."""

import jax
import numpy as np
import pytest

import jaxgmm
from oracles import renyi
from support.compilations import COMPILATIONS
from support.mixtures import gmm


def test_orders_of_one_form_share_a_program():
    """From 1/2 to 1, and above 1: a new order compiles nothing."""
    p, q = map(gmm, renyi.LINE["overlapping"])
    COMPILATIONS.clear()
    for count, alphas in enumerate([(0.5, 0.6, 0.9), (1.1, 1.3)], start=1):
        for alpha in alphas:
            value = jaxgmm.renyi_divergence(None, p, q, alpha, jaxgmm.GaussHermite(100))
            exact = renyi.log_integral(alpha, *renyi.LINE["overlapping"]) / (alpha - 1)
            np.testing.assert_allclose(value, exact, rtol=1e-5)
        assert len(COMPILATIONS) == count


@pytest.mark.long
def test_a_traced_order_and_its_derivative():
    """By quadrature and its differences, over a stack of orders of all forms, and at 1 itself."""
    pair = renyi.LINE["overlapping"]
    p, q = map(gmm, pair)
    alphas = np.array([1e-3, 0.2, 0.5, 0.7, 1.0, 1.2, 1.5])

    def value(alpha):
        return jaxgmm.renyi_divergence(None, p, q, alpha, jaxgmm.GaussHermite(100))

    def truth(alpha):
        return renyi.log_integral(alpha, *pair) / (alpha - 1)

    found, slope = jax.jit(jax.vmap(jax.value_and_grad(value)))(alphas)
    h = 1e-4
    exact = [(truth(a + h) + truth(a - h)) / 2 for a in alphas]  # there is none at 1 itself
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    np.testing.assert_allclose(
        slope, [(truth(a + h) - truth(a - h)) / (2 * h) for a in alphas], rtol=1e-4
    )
    alone = jax.jit(value)
    np.testing.assert_allclose(found, [alone(alpha) for alpha in alphas], rtol=1e-12)
