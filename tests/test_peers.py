"""What the README says that other libraries do with two mixtures; these tests tell when it no longer holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from libraries import SILENCED, lenient, library, mixture_of

import jaxgmm

pytestmark = [pytest.mark.long, *SILENCED]

WEIGHTS_P, P = np.array([0.35, 0.65]), (np.array([-1.0, 1.25]), np.sqrt([0.35, 0.8]))
WEIGHTS_Q, Q = np.array([0.55, 0.45]), (np.array([-0.4, 2.0]), np.sqrt([0.6, 1.1]))
NUM_SAMPLES = 100_000


def build(name: str, logits, loc, scale):
    return mixture_of(name, library(name).Normal(loc, scale), logits=logits)


def sampled(name: str, p, key):
    return p.sample(key, (NUM_SAMPLES,)) if name == "numpyro" else p.sample(seed=key, sample_shape=(NUM_SAMPLES,))


@pytest.mark.parametrize("name", ["numpyro", "distrax", "tfp"])
def test_they_have_no_kl_between_mixtures(name):
    p, q = build(name, np.log(WEIGHTS_P), *P), build(name, np.log(WEIGHTS_Q), *Q)
    with pytest.raises(NotImplementedError):
        library(name).kl_divergence(p, q) if name == "numpyro" else p.kl_divergence(q)


@pytest.mark.parametrize("name", ["numpyro", "distrax", "tfp"])
def test_their_samples_do_not_know_the_weights(name, key):
    """The derivative of KL in the first logit, through samples, is 0 to within its error; what is right is not, and is ours."""

    def loss(logits, key):
        p, q = build(name, logits, *P), build(name, np.log(WEIGHTS_Q), *Q)
        x = sampled(name, p, key)
        return (p.log_prob(x) - q.log_prob(x)).mean()

    with lenient():
        theirs = np.array([jax.grad(loss)(jnp.log(WEIGHTS_P), k)[0] for k in jax.random.split(key, 16)])
    error = theirs.std(ddof=1) / 4
    p, q = (jaxgmm.GMM.from_moments(w, m[:, None], s**2, "spherical") for w, (m, s) in ((WEIGHTS_P, P), (WEIGHTS_Q, Q)))
    ours = jaxgmm.estimate(jax.grad(jaxgmm.kl_divergence, argnums=1), key, p, q)

    def kl(logit: float) -> float:
        weights = np.array([WEIGHTS_P[0] * np.exp(logit), WEIGHTS_P[1]])
        return reference.kl(
            reference.mixture(weights / weights.sum(), P[0], P[1] ** 2), reference.mixture(WEIGHTS_Q, Q[0], Q[1] ** 2)
        )

    exact = (kl(1e-3) - kl(-1e-3)) / 2e-3
    assert abs(ours.value.logits[0] - exact) < 5 * ours.standard_error.logits[0] + 1e-7
    assert abs(theirs.mean()) < 5 * error < 0.5 * abs(exact) < abs(theirs.mean() - exact)
