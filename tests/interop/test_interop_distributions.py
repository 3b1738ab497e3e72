"""Mixtures of NumPyro, distrax and TensorFlow Probability, there and back, against their own
densities and SciPy's.
"""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import dense
from support.covariance_types import TYPES
from support.libraries import (
    SILENCED,
    WRITERS,
    X,
    as_gmm,
    lenient,
    library,
    mixture_of,
    oracle,
    own_log_prob,
    parameters,
)

pytestmark = SILENCED


# Components as a user of each library may write them: (library, covariance type, components from
# the library and parameters).
WRITTEN = {
    "numpyro factor": (
        "numpyro",
        "full",
        lambda d, m: d.MultivariateNormal(m.loc, scale_tril=m.lower),
    ),
    "numpyro covariance": (
        "numpyro",
        "full",
        lambda d, m: d.MultivariateNormal(m.loc, m.covariance),
    ),
    "numpyro precision": (
        "numpyro",
        "full",
        lambda d, m: d.MultivariateNormal(m.loc, None, np.linalg.inv(m.covariance)),
    ),
    "numpyro one factor": (
        "numpyro",
        "tied",
        lambda d, m: d.MultivariateNormal(m.loc, scale_tril=m.lower[0]),
    ),
    "numpyro to_event": ("numpyro", "diag", lambda d, m: d.Normal(m.loc, m.sd).to_event(1)),
    "numpyro one number": (
        "numpyro",
        "spherical",
        lambda d, m: d.Normal(m.loc, m.sd[:, :1]).to_event(1),
    ),
    "numpyro wrapped": ("numpyro", "diag", lambda d, m: d.Independent(d.Normal(m.loc, m.sd), 1)),
    "distrax factor": ("distrax", "full", lambda d, m: d.MultivariateNormalTri(m.loc, m.lower)),
    "distrax upper factor": (
        "distrax",
        "full",
        lambda d, m: d.MultivariateNormalTri(m.loc, m.upper, is_lower=False),
    ),
    "distrax covariance": (
        "distrax",
        "full",
        lambda d, m: d.MultivariateNormalFullCovariance(m.loc, m.covariance),
    ),
    "distrax one factor": (
        "distrax",
        "tied",
        lambda d, m: d.MultivariateNormalTri(m.loc, m.lower[0]),
    ),
    "distrax diagonal": ("distrax", "diag", lambda d, m: d.MultivariateNormalDiag(m.loc, m.sd)),
    "distrax wrapped": ("distrax", "diag", lambda d, m: d.Independent(d.Normal(m.loc, m.sd), 1)),
    "tfp factor": ("tfp", "full", lambda d, m: d.MultivariateNormalTriL(m.loc, m.lower)),
    "tfp factor of other sign": (
        "tfp",
        "full",
        lambda d, m: d.MultivariateNormalTriL(m.loc, -m.lower),
    ),
    "tfp covariance": (
        "tfp",
        "full",
        lambda d, m: d.MultivariateNormalFullCovariance(m.loc, m.covariance),
    ),
    "tfp one factor": ("tfp", "tied", lambda d, m: d.MultivariateNormalTriL(m.loc, m.lower[0])),
    "tfp diagonal of other sign": (
        "tfp",
        "diag",
        lambda d, m: d.MultivariateNormalDiag(m.loc, -m.sd),
    ),
    "tfp wrapped": (
        "tfp",
        "spherical",
        lambda d, m: d.Independent(d.Normal(m.loc, m.sd[:, :1]), 1),
    ),
}


# Of a precision matrix in float32 NumPyro makes a factor in float64, where that is enabled.
EACH_OF_EACH_DTYPE = [
    (w, t)
    for w in WRITTEN
    for t in (np.float64, np.float32)
    if (w, t) != ("numpyro precision", np.float32)
]


@pytest.mark.long
@pytest.mark.parametrize(("written", "dtype"), EACH_OF_EACH_DTYPE)
def test_from_distribution(written, dtype):
    """SciPy's density, of the covariance type and the dtype of what was written."""
    name, covariance_type, build = WRITTEN[written]
    m = parameters(covariance_type)
    given = types.SimpleNamespace(
        **{key: jnp.asarray(value, dtype) for key, value in vars(m).items()}
    )
    with lenient():
        components = build(library(name), given)
    p = jaxgmm.from_distribution(mixture_of(name, components, probs=given.weights))
    assert p.covariance_type == covariance_type
    assert {leaf.dtype for leaf in jax.tree.leaves(p)} == {np.dtype(dtype)}
    tolerance = {np.float64: 1e-11, np.float32: 2e-4}[dtype]
    np.testing.assert_allclose(
        jaxgmm.log_prob(p, X.astype(dtype)), oracle(covariance_type).log_prob(X), rtol=tolerance
    )


@pytest.mark.long
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", WRITERS)
def test_there_and_back(name, covariance_type):
    """The library's own density of what is written is SciPy's, and what is read back has the
    same.
    """
    m = oracle(covariance_type)
    p = as_gmm(covariance_type)
    distribution = WRITERS[name](p)
    np.testing.assert_allclose(own_log_prob(distribution, X), m.log_prob(X), rtol=1e-11)
    back = jaxgmm.from_distribution(distribution)
    np.testing.assert_allclose(jaxgmm.log_prob(back, X), m.log_prob(X), rtol=1e-11)
    assert back.covariance_type == (
        "diag" if (name, covariance_type) == ("distrax", "spherical") else covariance_type
    )


@pytest.mark.long
@pytest.mark.parametrize("name", WRITERS)
def test_float32_there_and_back(name):
    p = as_gmm("full", np.float32)
    distribution = WRITERS[name](p)
    back = jaxgmm.from_distribution(distribution)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), back, p)
    assert {leaf.dtype for leaf in jax.tree.leaves(back)} == {
        own_log_prob(distribution, X.astype(np.float32)).dtype
    }
    assert jaxgmm.from_distribution(distribution, dtype=np.float64).loc.dtype == np.float64


@pytest.mark.long
@pytest.mark.parametrize("name", WRITERS)
def test_a_dead_component(name):
    """Written as a logit, and as a probability of 0: the density is that of the others, and every
    gradient is finite.
    """
    m = oracle("full")
    alive = m.weights * [0, 1, 1] / m.weights[1:].sum()
    p = jaxgmm.GMM.from_moments(alive, m.means, m.covariances)
    truth = dense.Mixture(alive[1:], m.means[1:], m.covariances[1:]).log_prob(X)
    distribution = WRITERS[name](p)
    np.testing.assert_allclose(own_log_prob(distribution, X), truth, rtol=1e-11)
    np.testing.assert_allclose(
        jaxgmm.log_prob(jaxgmm.from_distribution(distribution), X), truth, rtol=1e-11
    )

    def total(probs):
        components = WRITTEN[f"{name} factor"][2](library(name), parameters("full"))
        return jaxgmm.log_prob(
            jaxgmm.from_distribution(mixture_of(name, components, probs=probs)), X
        ).sum()

    value, gradient = jax.value_and_grad(total)(jnp.array(alive))
    np.testing.assert_allclose(value, truth.sum(), rtol=1e-11)
    np.testing.assert_allclose(gradient[0], 0, atol=1e-12)
    assert (np.abs(gradient[1:]) > 0).all()


def test_numpyro_refuses_logits_of_minus_infinity():
    """When it no longer does, `to_numpyro` need not replace them."""
    with pytest.raises(ValueError, match="invalid logits"):
        library("numpyro").Categorical(logits=np.array([0.0, -np.inf]), validate_args=True)


@pytest.mark.long
@pytest.mark.parametrize("weights", ["probs", "logits"])
@pytest.mark.parametrize("name", WRITERS)
def test_gradients_through_a_traced_distribution(name, weights):
    """Under jit, in the library's own parameters, they are the gradients of the library's own
    density.
    """
    build, m = WRITTEN[f"{name} factor"][2], parameters("full")

    def total(log_prob, given, loc, lower):
        components = build(library(name), types.SimpleNamespace(loc=loc, lower=lower))
        return log_prob(mixture_of(name, components, **{weights: given})).sum()

    arguments = m.weights if weights == "probs" else np.log(m.weights) + 0.3, m.loc, m.lower
    by_us, by_them = (
        jax.jit(jax.grad(functools.partial(total, log_prob), argnums=(0, 1, 2)))(*arguments)
        for log_prob in (
            lambda d: jaxgmm.log_prob(jaxgmm.from_distribution(d), X),
            lambda d: own_log_prob(d, X),
        )
    )
    for mine, theirs in zip(by_us, by_them, strict=True):
        np.testing.assert_allclose(np.tril(mine), np.tril(theirs), rtol=1e-9, atol=1e-9)


def test_distributions_as_arguments():
    """A NumPyro distribution is a pytree, and one that is mapped over is read by the shapes of its
    parameters.
    """
    dist, m = library("numpyro"), parameters("diag")
    shifts = np.arange(3.0)
    means = m.loc + shifts[:, None, None]
    probs, sd = np.broadcast_to(m.weights, (3, 3)), np.broadcast_to(m.sd, (3, 3, 2))
    batch = dist.MixtureSameFamily(
        dist.Categorical(probs=probs), dist.Normal(means, sd).to_event(1)
    )
    log_probs = jax.jit(jax.vmap(lambda one: jaxgmm.log_prob(jaxgmm.from_distribution(one), X)))(
        batch
    )
    truth = [dense.Mixture(m.weights, m.loc + shift, m.covariance).log_prob(X) for shift in shifts]
    np.testing.assert_allclose(log_probs, truth, rtol=1e-11)
