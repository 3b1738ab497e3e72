"""What the guide says that other libraries do with two mixtures; these tests tell when it no
longer holds.
"""

import importlib
import inspect
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import dense, quadrature
from support.libraries import SILENCED, lenient, library, mixture_of

pytestmark = [pytest.mark.long, *SILENCED]

WEIGHTS_P, P = np.array([0.35, 0.65]), (np.array([-1.0, 1.25]), np.sqrt([0.35, 0.8]))
WEIGHTS_Q, Q = np.array([0.55, 0.45]), (np.array([-0.4, 2.0]), np.sqrt([0.6, 1.1]))
NUM_SAMPLES = 100_000


def build(name: str, logits, loc, scale):
    if name == "gmmx":
        columns = (np.asarray(a, np.float32)[:, None] for a in (loc, scale**2))
        return library(name).GaussianMixtureModelJax.from_squeezed(
            *columns, jax.nn.softmax(logits).astype(np.float32), "diag"
        )
    if name == "ott":
        weights = library(name).probabilities.Probabilities(logits[:-1] - logits[-1])
        return library(name).GaussianMixture(
            *(jnp.asarray(a)[:, None] for a in (loc, np.log(scale))), weights
        )
    return mixture_of(name, library(name).Normal(loc, scale), logits=logits)


def sampled(name: str, p, key):
    if name in ("distrax", "tfp"):
        return p.sample(seed=key, sample_shape=(NUM_SAMPLES,))
    return p.sample(key, (NUM_SAMPLES,) if name == "numpyro" else NUM_SAMPLES)


def log_density(name: str, p, x):
    return p.score_samples(x.astype(np.float32)) if name == "gmmx" else p.log_prob(x)


def weight_gradients(key, build_p, name: str) -> np.ndarray:
    """Of KL as the mean of log p - log q at samples of p, in the first logit of p, for 16 keys."""
    q = build(name, np.log(WEIGHTS_Q), *Q)

    def loss(logits, key):
        p = build_p(logits)
        x = sampled(name, p, key)
        return (log_density(name, p, x) - log_density(name, q, x)).mean()

    with lenient():
        return np.array(
            [jax.grad(loss)(jnp.log(WEIGHTS_P), k)[0] for k in jax.random.split(key, 16)]
        )


def exact_gradient() -> float:
    def kl(logit: float) -> float:
        weights = np.array([WEIGHTS_P[0] * np.exp(logit), WEIGHTS_P[1]])
        return quadrature.kl(
            dense.mixture(weights / weights.sum(), P[0], P[1] ** 2),
            dense.mixture(WEIGHTS_Q, Q[0], Q[1] ** 2),
        )

    return (kl(1e-3) - kl(-1e-3)) / 2e-3


@pytest.mark.parametrize("name", ["numpyro", "distrax", "tfp"])
def test_they_have_no_kl_between_mixtures(name):
    p, q = build(name, np.log(WEIGHTS_P), *P), build(name, np.log(WEIGHTS_Q), *Q)
    with pytest.raises(NotImplementedError):
        library(name).kl_divergence(p, q) if name == "numpyro" else p.kl_divergence(q)


@pytest.mark.parametrize("name", ["gmmx", "ott.tools.gaussian_mixture", "sklearn.mixture"])
def test_they_have_no_divergence_at_all(name):
    """In no public name of the modules of mixtures, nor of their classes."""
    package = importlib.import_module(name)
    modules = [
        importlib.import_module(f"{name}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
        if info.name[0] != "_"
    ]
    found = {
        x for module in [package, *modules] for x in vars(module).values() if inspect.isclass(x)
    }
    names = {name for holder in [package, *modules, *found] for name in dir(holder)}
    assert {"sample", "log_prob"} & names or "score_samples" in names
    assert not [
        name
        for name in names
        if re.search(r"(^|_)kl(_|$)|kullback|jensen|divergence", name.lower())
    ]


def test_our_weight_gradient_is_right(key):
    p, q = (
        jaxgmm.GMM.from_moments(w, m[:, None], s**2, "spherical")
        for w, (m, s) in ((WEIGHTS_P, P), (WEIGHTS_Q, Q))
    )
    ours = jaxgmm.estimate(jax.grad(jaxgmm.kl_divergence, argnums=1), key, p, q)
    assert abs(ours.value.logits[0] - exact_gradient()) < 5 * ours.standard_error.logits[0] + 1e-7


@pytest.mark.parametrize("name", ["numpyro", "distrax", "tfp", "gmmx", "ott"])
def test_their_samples_do_not_know_the_weights(name, key):
    """The derivative of KL in the first logit, through samples, is 0 to within its error; what is
    right is not.
    """
    theirs, exact = (
        weight_gradients(key, lambda logits: build(name, logits, *P), name),
        exact_gradient(),
    )
    assert (
        abs(theirs.mean())
        < 5 * theirs.std(ddof=1) / 4
        < 0.5 * abs(exact)
        < abs(theirs.mean() - exact)
    )


def test_reparameterized_mixtures_of_tfp_know_them(key):
    """But their components must have independent coordinates."""
    tfp = library("tfp")

    def mixture(components, logits):
        return tfp.MixtureSameFamily(
            tfp.Categorical(logits=logits), components, reparameterize=True
        )

    theirs, exact = (
        weight_gradients(key, lambda logits: mixture(tfp.Normal(*P), logits), "tfp"),
        exact_gradient(),
    )
    assert abs(theirs.mean() - exact) < 5 * theirs.std(ddof=1) / 4 < 0.5 * abs(exact)
    with lenient(), pytest.raises(ValueError, match="scalar event"):
        mixture(tfp.MultivariateNormalTriL(jnp.zeros((2, 2)), jnp.eye(2)), jnp.zeros(2)).sample(
            seed=key
        )


def test_transport_of_ott_knows_them():
    """Entropic transport; in two dimensions, as it does not take one."""
    ott, pair = (
        library("ott"),
        importlib.import_module("ott.tools.gaussian_mixture.gaussian_mixture_pair"),
    )

    def mixture(logits, loc, scale):
        loc, scale = (
            jnp.stack([loc, 0 * loc], 1),
            jnp.stack([np.log(scale), 0 * scale, 0 * scale], 1),
        )
        return ott.GaussianMixture(loc, scale, ott.probabilities.Probabilities(logits))

    @jax.jit
    def cost(logit):
        p, q = mixture(logit[None], *P), mixture(np.log(WEIGHTS_Q[:1] / WEIGHTS_Q[1:]), *Q)
        both = pair.GaussianMixturePair(p, q)
        return both.get_sinkhorn(both.get_cost_matrix()).reg_ot_cost

    logit = jnp.log(WEIGHTS_P[0] / WEIGHTS_P[1])
    with lenient():
        difference = (cost(logit + 1e-3) - cost(logit - 1e-3)) / 2e-3
        np.testing.assert_allclose(jax.grad(cost)(logit), difference, rtol=1e-3)
    assert abs(difference) > 0.1
