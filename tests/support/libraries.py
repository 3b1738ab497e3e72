"""Libraries with mixtures of their own, and one mixture of each covariance type to try them on."""

import contextlib
import importlib
import types

import jax
import numpy as np
import pytest

import jaxgmm
from oracles import dense
from support.mixtures import typed

MODULES = {
    "numpyro": "numpyro.distributions",
    "distrax": "distrax",
    "tfp": "tensorflow_probability.substrates.jax.distributions",
    "gmmx": "gmmx",
    "ott": "ott.tools.gaussian_mixture.gaussian_mixture",
}
WRITERS = {"numpyro": jaxgmm.to_numpyro, "distrax": jaxgmm.to_distrax, "tfp": jaxgmm.to_tfp}
X = 2 * np.random.default_rng(1).normal(size=(7, 2))


# At import, of TensorFlow Probability and of OTT-JAX.
SILENCED = [
    pytest.mark.filterwarnings(
        "ignore:jax.core.pytype_aval_mappings is deprecated:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained:DeprecationWarning"),
]


def library(name: str) -> types.ModuleType:
    return importlib.import_module(MODULES[name])


@contextlib.contextmanager
def lenient():
    """None of the libraries can do without promotion."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def own_log_prob(distribution, x):
    with lenient():
        return distribution.log_prob(x)


def oracle(covariance_type: str) -> dense.Mixture:
    return typed(5, 3, 2, covariance_type, 2.0)[0]


def parameters(covariance_type: str) -> types.SimpleNamespace:
    m = oracle(covariance_type)
    lower = np.linalg.cholesky(m.covariances)
    upper = np.linalg.cholesky(m.covariances[:, ::-1, ::-1])[:, ::-1, ::-1]
    sd = np.sqrt(np.diagonal(m.covariances, axis1=1, axis2=2))
    return types.SimpleNamespace(
        weights=m.weights, loc=m.means, covariance=m.covariances, lower=lower, upper=upper, sd=sd
    )


def as_gmm(covariance_type: str, dtype=np.float64) -> jaxgmm.GMM:
    return typed(5, 3, 2, covariance_type, 2.0, dtype)[1]


def mixture_of(name: str, components, **weights):
    """The library's mixture of the components."""
    return library(name).MixtureSameFamily(library(name).Categorical(**weights), components)
