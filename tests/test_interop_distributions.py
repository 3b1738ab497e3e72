"""Mixtures of NumPyro, distrax, TensorFlow Probability, gmmx and OTT-JAX, against their own densities and SciPy's."""

import functools
import importlib
import re
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from conftest import PAIRS, gmm, random_mixture

import jaxgmm

MODULES = {
    "numpyro": "numpyro.distributions",
    "distrax": "distrax",
    "tfp": "tensorflow_probability.substrates.jax.distributions",
    "gmmx": "gmmx",
    "ott": "ott.tools.gaussian_mixture.gaussian_mixture",
}
WRITERS = {"numpyro": jaxgmm.to_numpyro, "distrax": jaxgmm.to_distrax, "tfp": jaxgmm.to_tfp}
TYPES = ["full", "tied", "diag", "spherical"]
X = 2 * np.random.default_rng(1).normal(size=(7, 2))


# At import, of TensorFlow Probability and of OTT-JAX.
pytestmark = [
    pytest.mark.filterwarnings("ignore:jax.core.pytype_aval_mappings is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained:DeprecationWarning"),
]


def library(name: str) -> types.ModuleType:
    return importlib.import_module(MODULES[name])


def own_log_prob(distribution, x):
    """By the library itself, none of which can do without rank promotion."""
    with jax.numpy_rank_promotion("allow"):
        return distribution.log_prob(x)


def oracle(covariance_type: str) -> reference.Mixture:
    full = random_mixture(5, 3, 2)
    variances = np.diagonal(full.covariances, axis1=1, axis2=2)
    covariances = {
        "full": full.covariances,
        "tied": np.broadcast_to(full.covariances[0], (3, 2, 2)),
        "diag": np.stack([np.diag(v) for v in variances]),
        "spherical": np.stack([v[0] * np.eye(2) for v in variances]),
    }[covariance_type]
    return reference.Mixture(full.weights, full.means, covariances)


def parameters(covariance_type: str) -> types.SimpleNamespace:
    m = oracle(covariance_type)
    lower = np.linalg.cholesky(m.covariances)
    upper = np.linalg.cholesky(m.covariances[:, ::-1, ::-1])[:, ::-1, ::-1]
    sd = np.sqrt(np.diagonal(m.covariances, axis1=1, axis2=2))
    return types.SimpleNamespace(weights=m.weights, loc=m.means, covariance=m.covariances, lower=lower, upper=upper, sd=sd)


# Components as a user of each library may write them: (library, covariance type, components from the library and parameters).
WRITTEN = {
    "numpyro factor": ("numpyro", "full", lambda d, m: d.MultivariateNormal(m.loc, scale_tril=m.lower)),
    "numpyro covariance": ("numpyro", "full", lambda d, m: d.MultivariateNormal(m.loc, m.covariance)),
    "numpyro precision": ("numpyro", "full", lambda d, m: d.MultivariateNormal(m.loc, None, np.linalg.inv(m.covariance))),
    "numpyro one factor": ("numpyro", "tied", lambda d, m: d.MultivariateNormal(m.loc, scale_tril=m.lower[0])),
    "numpyro to_event": ("numpyro", "diag", lambda d, m: d.Normal(m.loc, m.sd).to_event(1)),
    "numpyro one number": ("numpyro", "spherical", lambda d, m: d.Normal(m.loc, m.sd[:, :1]).to_event(1)),
    "numpyro wrapped": ("numpyro", "diag", lambda d, m: d.Independent(d.Normal(m.loc, m.sd), 1)),
    "distrax factor": ("distrax", "full", lambda d, m: d.MultivariateNormalTri(m.loc, m.lower)),
    "distrax upper factor": ("distrax", "full", lambda d, m: d.MultivariateNormalTri(m.loc, m.upper, is_lower=False)),
    "distrax covariance": ("distrax", "full", lambda d, m: d.MultivariateNormalFullCovariance(m.loc, m.covariance)),
    "distrax one factor": ("distrax", "tied", lambda d, m: d.MultivariateNormalTri(m.loc, m.lower[0])),
    "distrax diagonal": ("distrax", "diag", lambda d, m: d.MultivariateNormalDiag(m.loc, m.sd)),
    "distrax wrapped": ("distrax", "diag", lambda d, m: d.Independent(d.Normal(m.loc, m.sd), 1)),
    "tfp factor": ("tfp", "full", lambda d, m: d.MultivariateNormalTriL(m.loc, m.lower)),
    "tfp factor of other sign": ("tfp", "full", lambda d, m: d.MultivariateNormalTriL(m.loc, -m.lower)),
    "tfp covariance": ("tfp", "full", lambda d, m: d.MultivariateNormalFullCovariance(m.loc, m.covariance)),
    "tfp one factor": ("tfp", "tied", lambda d, m: d.MultivariateNormalTriL(m.loc, m.lower[0])),
    "tfp diagonal of other sign": ("tfp", "diag", lambda d, m: d.MultivariateNormalDiag(m.loc, -m.sd)),
    "tfp wrapped": ("tfp", "spherical", lambda d, m: d.Independent(d.Normal(m.loc, m.sd[:, :1]), 1)),
}


def mixture_of(name: str, components, **weights):
    """The library's mixture of the components."""
    return library(name).MixtureSameFamily(library(name).Categorical(**weights), components)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("written", WRITTEN)
def test_from_distribution(written, dtype):
    """SciPy's density, of the covariance type and the dtype of what was written."""
    name, covariance_type, build = WRITTEN[written]
    m = parameters(covariance_type)
    given = types.SimpleNamespace(**{key: jnp.asarray(value, dtype) for key, value in vars(m).items()})
    p = jaxgmm.from_distribution(mixture_of(name, build(library(name), given), probs=given.weights))
    assert p.covariance_type == covariance_type
    assert {leaf.dtype for leaf in jax.tree.leaves(p)} == {np.dtype(dtype)}
    tolerance = {np.float64: 1e-11, np.float32: 2e-4}[dtype]
    np.testing.assert_allclose(jaxgmm.log_prob(p, X.astype(dtype)), oracle(covariance_type).log_prob(X), rtol=tolerance)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", WRITERS)
def test_there_and_back(name, covariance_type):
    """The library's own density of what is written is SciPy's, and what is read back has the same."""
    m = oracle(covariance_type)
    p = as_gmm(covariance_type)
    distribution = WRITERS[name](p)
    np.testing.assert_allclose(own_log_prob(distribution, X), m.log_prob(X), rtol=1e-11)
    back = jaxgmm.from_distribution(distribution)
    np.testing.assert_allclose(jaxgmm.log_prob(back, X), m.log_prob(X), rtol=1e-11)
    assert back.covariance_type == ("diag" if (name, covariance_type) == ("distrax", "spherical") else covariance_type)


def as_gmm(covariance_type: str, dtype=np.float64) -> jaxgmm.GMM:
    m = oracle(covariance_type)
    variances = np.diagonal(m.covariances, axis1=1, axis2=2)
    covariances = {"full": m.covariances, "tied": m.covariances[0], "diag": variances, "spherical": variances[:, 0]}
    return jaxgmm.GMM.from_moments(m.weights, m.means, covariances[covariance_type], covariance_type, dtype)


@pytest.mark.parametrize("name", WRITERS)
def test_float32_there_and_back(name):
    p = as_gmm("full", np.float32)
    distribution = WRITERS[name](p)
    back = jaxgmm.from_distribution(distribution)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), back, p)
    assert {leaf.dtype for leaf in jax.tree.leaves(back)} == {own_log_prob(distribution, X.astype(np.float32)).dtype}
    assert jaxgmm.from_distribution(distribution, dtype=np.float64).loc.dtype == np.float64


@pytest.mark.parametrize("name", WRITERS)
def test_a_dead_component(name):
    """Written as a logit, and as a probability of 0: the density is that of the others, and every gradient is finite."""
    m = oracle("full")
    alive = m.weights * [0, 1, 1] / m.weights[1:].sum()
    p = jaxgmm.GMM.from_moments(alive, m.means, m.covariances)
    truth = reference.Mixture(alive[1:], m.means[1:], m.covariances[1:]).log_prob(X)
    distribution = WRITERS[name](p)
    np.testing.assert_allclose(own_log_prob(distribution, X), truth, rtol=1e-11)
    np.testing.assert_allclose(jaxgmm.log_prob(jaxgmm.from_distribution(distribution), X), truth, rtol=1e-11)

    def total(probs):
        components = WRITTEN[f"{name} factor"][2](library(name), parameters("full"))
        return jaxgmm.log_prob(jaxgmm.from_distribution(mixture_of(name, components, probs=probs)), X).sum()

    value, gradient = jax.value_and_grad(total)(jnp.array(alive))
    np.testing.assert_allclose(value, truth.sum(), rtol=1e-11)
    assert gradient[0] == 0
    assert (np.abs(gradient[1:]) > 0).all()


def test_numpyro_refuses_logits_of_minus_infinity():
    """When it no longer does, `to_numpyro` need not replace them."""
    with pytest.raises(ValueError, match="invalid logits"):
        library("numpyro").Categorical(logits=np.array([0.0, -np.inf]), validate_args=True)


@pytest.mark.parametrize("weights", ["probs", "logits"])
@pytest.mark.parametrize("name", WRITERS)
def test_gradients_through_a_traced_distribution(name, weights):
    """Under jit, in the library's own parameters, they are the gradients of the library's own density."""
    build, m = WRITTEN[f"{name} factor"][2], parameters("full")

    def total(log_prob, given, loc, lower):
        components = build(library(name), types.SimpleNamespace(loc=loc, lower=lower))
        return log_prob(mixture_of(name, components, **{weights: given})).sum()

    arguments = m.weights if weights == "probs" else np.log(m.weights) + 0.3, m.loc, m.lower
    by_us, by_them = (
        jax.jit(jax.grad(functools.partial(total, log_prob), argnums=(0, 1, 2)))(*arguments)
        for log_prob in (lambda d: jaxgmm.log_prob(jaxgmm.from_distribution(d), X), lambda d: own_log_prob(d, X))
    )
    for mine, theirs in zip(by_us, by_them, strict=True):
        np.testing.assert_allclose(np.tril(mine), np.tril(theirs), rtol=1e-9, atol=1e-9)


def test_a_jitted_divergence_of_distributions_that_are_arguments(key):
    """A NumPyro distribution is a pytree, and one that is mapped over is read by the shapes of its parameters."""
    dist = library("numpyro")
    m = oracle("diag")
    shifts = jnp.arange(3.0)[:, None, None]
    scales = jnp.broadcast_to(jnp.asarray(np.sqrt(np.diagonal(m.covariances, axis1=1, axis2=2))), (3, 3, 2))
    batch = dist.MixtureSameFamily(
        dist.Categorical(probs=jnp.broadcast_to(jnp.asarray(m.weights), (3, 3))), dist.Normal(m.means + shifts, scales).to_event(1)
    )
    log_probs = jax.jit(jax.vmap(lambda one: jaxgmm.log_prob(jaxgmm.from_distribution(one), X)))(batch)
    truth = [reference.Mixture(m.weights, m.means + shift, m.covariances).log_prob(X) for shift in range(3)]
    np.testing.assert_allclose(log_probs, truth, rtol=1e-11)


def standard(name: str, *arguments, **keywords):
    """A class of a library, by its name, called; an argument may be such a call in turn."""
    module, kind = name.split(".")
    arguments = [argument() if callable(argument) else argument for argument in arguments]
    return functools.partial(lambda: getattr(library(module), kind)(*arguments, **keywords))


ONE = np.array([0.5, -1.0])
SINGLE = {
    "numpyro MultivariateNormal": lambda: library("numpyro").MultivariateNormal(ONE, np.eye(2)),
    "numpyro loc of one number": lambda: library("numpyro").MultivariateNormal(0.5, np.eye(2)),
    "numpyro to_event": lambda: library("numpyro").Normal(0.5, np.ones(2)).to_event(1),
    "numpyro expanded": lambda: library("numpyro").Normal(0.5, 1.0).expand([2]).to_event(1),
    "distrax Tri": lambda: library("distrax").MultivariateNormalTri(ONE, np.eye(2)),
    "distrax Tri of loc alone": lambda: library("distrax").MultivariateNormalTri(ONE),
    "tfp Diag": lambda: library("tfp").MultivariateNormalDiag(ONE),
    "tfp Diag of scale alone": lambda: library("tfp").MultivariateNormalDiag(scale_diag=np.ones(2)),
    "tfp low rank": lambda: library("tfp").MultivariateNormalDiagPlusLowRank(ONE, np.ones(2), None, np.array([[1.0], [2.0]])),
}


@pytest.mark.parametrize("single", SINGLE)
def test_a_single_gaussian_is_one_component(single):
    distribution = SINGLE[single]()
    p = jaxgmm.from_distribution(distribution)
    assert (p.num_components, p.num_dims) == (1, 2)
    np.testing.assert_allclose(jaxgmm.log_prob(p, X), own_log_prob(distribution, X), rtol=1e-6)
    mean, covariance = ONE if "loc" not in single and "expanded" not in single else None, None
    del mean, covariance
