"""Mixtures as priors of many posteriors, of one point for each divergence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import jaxgmm
from jaxgmm import GMM

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("as_optax_needs_it")]


def test_many_posteriors_against_one_prior(key):
    """Down to one point for each divergence, all in one call, the mean is unbiased, in value and in
    the prior's gradient.
    """
    rng = np.random.default_rng(0)
    prior = GMM.random(key, 10, 16)
    means, scales = rng.normal(size=(256, 1, 16)), rng.uniform(0.3, 1.0, (256, 1, 16))
    posteriors = jax.vmap(lambda m, s: GMM(jnp.zeros(1), m, jnp.log(s), None))(
        jnp.asarray(means), jnp.asarray(scales)
    )

    def mean_kl(key, posteriors, prior, rule):
        keys = jax.random.split(key, 256)
        return jax.vmap(lambda key, q: jaxgmm.kl_divergence(key, q, prior, rule))(
            keys, posteriors
        ).mean()

    def total(key, posteriors, prior, rule):
        """The value, the gradient in a change that all posteriors share, and that in the prior."""
        value, (each, common) = jax.value_and_grad(mean_kl, argnums=(1, 2))(
            key, posteriors, prior, rule
        )
        return value, jax.tree.map(lambda leaf: leaf.sum(0), each), common

    exact = jax.jit(functools.partial(total, rule=jaxgmm.Sobol(2**10)))(key, posteriors, prior)
    few = jax.jit(functools.partial(total, rule=jaxgmm.MonteCarlo(1)))
    sampled = jax.lax.map(
        lambda key: few(key, posteriors, prior), jax.random.split(jax.random.key(1), 200)
    )
    for many, truth in zip(jax.tree.leaves(sampled), jax.tree.leaves(exact), strict=True):
        error = many.std(0) / 200**0.5
        assert np.all(np.abs(many.mean(0) - truth) <= 5 * error + 2e-3)
        assert np.all(5 * error <= 0.05 * max(1, np.abs(truth).max()))


def dense(key, inputs, outputs):
    return {
        "w": jax.random.normal(key, (inputs, outputs), np.float32) / inputs**0.5,
        "b": jnp.zeros(outputs, np.float32),
    }


def apply(layer, x):
    return x @ layer["w"] + jnp.broadcast_to(layer["b"], (len(x), len(layer["b"])))


def negative_evidence_bound(key, params, x):
    """The reconstruction error, of standard deviation 0.2, and the KL to the prior."""
    draw_key, kl_key = jax.random.split(key)
    loc, log_scale = jnp.split(
        apply(params["posterior"], jax.nn.tanh(apply(params["in"], x))), 2, axis=1
    )
    posteriors = jax.vmap(lambda m, s: GMM(jnp.zeros(1, np.float32), m[None], s[None], None))(
        loc, log_scale
    )
    z = loc + jnp.exp(log_scale) * jax.random.normal(draw_key, loc.shape, np.float32)
    error = jnp.square((apply(params["out"], z) - x) / np.float32(0.2)).sum(1) / 2
    keys = jax.random.split(kl_key, len(x))
    kl = jax.vmap(
        lambda key, q: jaxgmm.kl_divergence(key, q, params["prior"], jaxgmm.MonteCarlo(1))
    )(keys, posteriors)
    return (error + kl).mean()


def test_a_mixture_prior_of_an_autoencoder(key):
    """The digits, a small network that gives a diagonal posterior in 16 dimensions, and a prior of
    ten components.
    """
    digits = load_digits().data.astype(np.float32) / 16
    train, held_out = jnp.asarray(digits[:1500]), jnp.asarray(digits[1500:1756])
    keys = jax.random.split(key, 4)
    params = {
        "in": dense(keys[0], 64, 64),
        "posterior": dense(keys[1], 64, 32),
        "out": dense(keys[2], 16, 64),
        "prior": GMM.random(keys[3], 10, 16, "diag", spread=1.0, dtype=np.float32),
    }

    def loss(key, params):
        batch_key, own_key = jax.random.split(key)
        return negative_evidence_bound(
            own_key, params, train[jax.random.randint(batch_key, (256,), 0, np.int32(len(train)))]
        )

    def of_held_out(params):
        return np.mean(
            [negative_evidence_bound(k, params, held_out) for k in jax.random.split(keys[0], 8)]
        )

    result = jaxgmm.fit(key, loss, params, optax.adam(3e-3), 300)
    after = of_held_out(result.params)
    assert after < 0.5 * of_held_out(params)
    assert (
        after < of_held_out(dict(result.params, prior=params["prior"])) - 1
    )  # the prior has learnt, too
