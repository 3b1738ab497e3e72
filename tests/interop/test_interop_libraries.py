"""What cannot be converted, and mixtures of gmmx and OTT-JAX."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from support.libraries import (
    MODULES,
    SILENCED,
    WRITERS,
    X,
    as_gmm,
    lenient,
    library,
    mixture_of,
    oracle,
    parameters,
)
from support.long import first_by_default

pytestmark = SILENCED

UNUSABLE = {
    "another distribution": (
        "numpyro",
        lambda d: d.StudentT(3.0),
        TypeError,
        "got numpyro.distributions.continuous.StudentT",
    ),
    "a mixture of others": (
        "numpyro",
        lambda d: mixture_of("numpyro", d.Laplace(np.zeros(2), 1.0), probs=np.full(2, 0.5)),
        TypeError,
        "got numpyro.distributions.continuous.Laplace",
    ),
    "independent over two dimensions": (
        "numpyro",
        lambda d: d.Normal(np.zeros((2, 2))).to_event(2),
        TypeError,
        "Independent(Normal, 1)",
    ),
    "a batch of numbers": (
        "numpyro",
        lambda d: d.Normal(np.zeros(3), 1.0),
        ValueError,
        "distribution is a batch, with weights of shape (1,) and "
        "Gaussians in a batch of shape (3,)",
    ),
    "a batch of Gaussians": (
        "numpyro",
        lambda d: d.MultivariateNormal(np.zeros((4, 2)), np.eye(2)),
        ValueError,
        "jax.vmap",
    ),
    "a batch of mixtures": (
        "numpyro",
        lambda d: mixture_of(
            "numpyro", d.Normal(np.zeros((4, 3)), 1.0), probs=np.full((4, 3), 1 / 3)
        ),
        ValueError,
        "with weights of shape (4, 3) and Gaussians in a batch of shape (4, 3)",
    ),
    "a batch of components": (
        "numpyro",
        lambda d: mixture_of(
            "numpyro", d.Normal(np.zeros((4, 3, 2)), 1.0).to_event(1), probs=np.full(3, 1 / 3)
        ),
        ValueError,
        "with weights of shape (3,) and Gaussians in a batch of shape (4, 3)",
    ),
    "indefinite": (
        "numpyro",
        lambda d: d.MultivariateNormal(
            np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]), validate_args=False
        ),
        ValueError,
        "distribution.log_diag holds NaN or infinity",
    ),
    "scale of 0": (
        "numpyro",
        lambda d: d.Normal(0.0, 0.0, validate_args=False),
        ValueError,
        "every scale or covariance positive",
    ),
    "negative weight": (
        "numpyro",
        lambda d: mixture_of(
            "numpyro", d.Normal(np.zeros(2), 1.0), probs=np.array([-0.5, 1.5]), validate_args=False
        ),
        ValueError,
        "distribution.logits holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_is_no_mixture_of_gaussians(what):
    name, build, error, message = UNUSABLE[what]
    with jax.debug_nans(False):  # which the library makes of what is negative or indefinite
        distribution = build(library(name))
        with pytest.raises(error, match=re.escape(message)):
            jaxgmm.from_distribution(distribution)


@pytest.mark.parametrize("reader", [jaxgmm.from_distribution, jaxgmm.from_gmmx, jaxgmm.from_ott])
def test_what_is_of_no_library(reader):
    with pytest.raises(TypeError, match=r"must be a .* got jaxgmm\._mixture\.gmm\.GMM"):
        reader(as_gmm("full"))


@pytest.mark.parametrize("name", WRITERS)
def test_without_the_library(name, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    with pytest.raises(ImportError, match=re.escape(f"pip install 'jaxgmm[{name}]'")):
        WRITERS[name](as_gmm("full"))


@pytest.mark.parametrize("writer", WRITERS.values())
def test_what_is_not_written(writer):
    with pytest.raises(TypeError, match=r"gmm must be a jaxgmm\.GMM"):
        writer(oracle("full"))


@pytest.mark.parametrize("covariance_type", first_by_default(["diag", "full"]))
def test_from_gmmx(covariance_type):
    """Which holds float32 alone."""
    p = as_gmm(covariance_type, np.float32)
    mixture = library("gmmx").GaussianMixtureModelJax.from_squeezed(
        p.means, p.covariances, p.weights, covariance_type
    )
    back = jaxgmm.from_gmmx(mixture, dtype=np.float64)
    assert back.covariance_type == covariance_type
    np.testing.assert_allclose(
        jaxgmm.log_prob(back, X), oracle(covariance_type).log_prob(X), rtol=2e-5
    )
    assert jaxgmm.from_gmmx(mixture).loc.dtype == np.float32
    with lenient():
        theirs = mixture.score_samples(jnp.asarray(X, np.float32)).ravel()
    np.testing.assert_allclose(jaxgmm.log_prob(back, X), theirs, rtol=2e-4)


@pytest.mark.long
def test_gmmx_is_not_traced():
    p = as_gmm("full", np.float32)
    mixture = library("gmmx").GaussianMixtureModelJax.from_squeezed(
        p.means, p.covariances, p.weights
    )
    with pytest.raises(TypeError, match="mixture is traced"):
        jax.jit(jaxgmm.from_gmmx)(mixture)


def ott_mixture(dtype):
    ott = library("ott")
    m = parameters("full")
    rows, columns = np.tril_indices(2)
    triangles = np.where(np.eye(2, dtype=bool), np.log(np.abs(m.lower) + (m.lower == 0)), m.lower)[
        :, rows, columns
    ]
    logits = np.log(m.weights[:-1] / m.weights[-1])
    weights = ott.probabilities.Probabilities(jnp.asarray(logits, dtype))
    return ott.GaussianMixture(jnp.asarray(m.loc, dtype), jnp.asarray(triangles, dtype), weights)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_from_ott(dtype):
    mixture = ott_mixture(dtype)
    p = jax.jit(jaxgmm.from_ott)(mixture)
    assert {leaf.dtype for leaf in jax.tree.leaves(p)} == {np.dtype(dtype)}
    tolerance = {np.float64: 1e-11, np.float32: 2e-4}[dtype]
    np.testing.assert_allclose(
        jaxgmm.log_prob(p, X.astype(dtype)), oracle("full").log_prob(X), rtol=tolerance
    )
    assert jaxgmm.from_ott(mixture, dtype=np.float64).loc.dtype == np.float64
    with lenient():
        theirs = jax.jit(type(mixture).log_prob)(mixture, X.astype(dtype))
    np.testing.assert_allclose(jaxgmm.log_prob(p, X.astype(dtype)), theirs, rtol=tolerance)


@pytest.mark.long
def test_ott_that_is_not_finite():
    """As its own constructor makes it of a last weight of 0."""
    mixture = ott_mixture(np.float64)
    bad = type(mixture)(
        mixture.loc,
        mixture.scale_params,
        type(mixture.component_weight_ob).from_probs(jnp.array([0.5, 0.5, 0.0])),
    )
    with pytest.raises(ValueError, match=r"mixture\.logits holds NaN or infinity"):
        jaxgmm.from_ott(bad)
