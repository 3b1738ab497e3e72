"""Fits that rise, the best parameters on their way, and fits without a key."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgmm


def quadratic(key, x):
    return jnp.square(x).sum()


def test_a_fit_that_rises_warns_and_keeps_its_best():
    """Steps towards 0, and from the step 60 away from it: the rate is then too large."""

    def rates(count):
        return jnp.where(count < 60, 0.05, 2.0)

    fitted = functools.partial(jaxgmm.fit, None, quadratic, jnp.ones(2), window=20)
    with pytest.warns(RuntimeWarning, match=r"ended at a loss of .* above 2 at its start"):
        result = fitted(optax.sgd(rates), 120, keep_best=True)
    means = np.asarray(result.losses).reshape(-1, 20).mean(1)
    assert means.argmin() == 2
    np.testing.assert_allclose(quadratic(None, result.best), result.losses[59], rtol=1e-12)
    with pytest.warns(RuntimeWarning, match="above"):
        start = fitted(optax.sgd(2.0), 100, keep_best=True)
    np.testing.assert_array_equal(start.best, jnp.ones(2))
    assert fitted(optax.sgd(0.05), 20).best is None


def test_the_best_does_not_depend_on_chunks_and_transformations():
    def rates(count):
        return jnp.where(count < 130, 0.01, 1.05)

    options = {"window": 25, "keep_best": True}
    optimizer = optax.sgd(rates)
    whole = jax.jit(lambda x: jaxgmm.fit(None, quadratic, x, optimizer, 150, **options))(
        jnp.ones(2)
    )
    part = jaxgmm.fit(None, quadratic, jnp.ones(2), optimizer, 70, **options)
    part = jaxgmm.fit(None, quadratic, part, optimizer, 80, **options)
    np.testing.assert_array_equal(part.best, whole.best)
    assert quadratic(None, part.best) < quadratic(None, part.params)


def test_a_key_of_none_is_for_a_loss_that_draws_nothing(key):
    p, start = (jaxgmm.GMM.from_moments([1.0], [[m]], [1.0], "spherical") for m in (0.0, 2.0))
    fitted = [
        jaxgmm.fit(k, jaxgmm.forward_kl_loss(p, jaxgmm.GaussHermite(8)), start, optax.sgd(0.1), 9)
        for k in (None, key)
    ]
    np.testing.assert_array_equal(fitted[0].losses, fitted[1].losses)
    with pytest.raises(ValueError, match="key is None"):
        jaxgmm.fit(None, jaxgmm.forward_kl_loss(p), start, optax.sgd(0.1), 9)
    with pytest.raises(ValueError, match="key is None"):
        jaxgmm.fit(None, jaxgmm.likelihood_loss([[0.0]], 1), start, optax.sgd(0.1), 9)
