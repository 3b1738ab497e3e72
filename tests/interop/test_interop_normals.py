"""Single Gaussians of NumPyro, distrax and TensorFlow Probability, and mixtures of these."""

import numpy as np
import pytest

import jaxgmm
from oracles import dense
from support.libraries import (
    SILENCED,
    WRITERS,
    X,
    library,
    mixture_of,
    parameters,
)
from support.mixtures import PAIRS

pytestmark = SILENCED


ONE, COVARIANCE = np.array([0.5, -1.0]), np.array([[2.0, 0.6], [0.6, 1.0]])


ROOT = np.array([[1.0], [2.0]])


SINGLE = {
    "numpyro MultivariateNormal": (
        "numpyro",
        lambda d: d.MultivariateNormal(ONE, COVARIANCE),
        ONE,
        COVARIANCE,
    ),
    "numpyro loc of one number": (
        "numpyro",
        lambda d: d.MultivariateNormal(0.5, COVARIANCE),
        [0.5, 0.5],
        COVARIANCE,
    ),
    "numpyro to_event": (
        "numpyro",
        lambda d: d.Normal(0.5, np.array([1.0, 2.0])).to_event(1),
        [0.5, 0.5],
        np.diag([1, 4]),
    ),
    "numpyro expanded": (
        "numpyro",
        lambda d: d.Normal(0.5, 2.0).expand([2]).to_event(1),
        [0.5, 0.5],
        4 * np.eye(2),
    ),
    "distrax Tri": (
        "distrax",
        lambda d: d.MultivariateNormalTri(ONE, np.linalg.cholesky(COVARIANCE)),
        ONE,
        COVARIANCE,
    ),
    "distrax Tri of loc alone": ("distrax", lambda d: d.MultivariateNormalTri(ONE), ONE, np.eye(2)),
    "tfp Diag of loc alone": ("tfp", lambda d: d.MultivariateNormalDiag(ONE), ONE, np.eye(2)),
    "tfp Diag of scale alone": (
        "tfp",
        lambda d: d.MultivariateNormalDiag(scale_diag=[1.0, 2.0]),
        [0, 0],
        np.diag([1, 4]),
    ),
    "tfp low rank": (
        "tfp",
        lambda d: d.MultivariateNormalDiagPlusLowRank(ONE, np.ones(2), scale_perturb_factor=ROOT),
        ONE,
        np.linalg.matrix_power(np.eye(2) + ROOT @ ROOT.T, 2),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("single", SINGLE)
def test_a_single_gaussian_is_one_component(single):
    name, build, mean, covariance = SINGLE[single]
    p = jaxgmm.from_distribution(build(library(name)), dtype=np.float64)
    assert p.loc.shape == (1, 2)
    truth = dense.mixture([1.0], [mean], [covariance]).log_prob(X)
    np.testing.assert_allclose(
        jaxgmm.log_prob(p, X), truth, rtol=1e-6 if "of scale alone" in single else 1e-11
    )


@pytest.mark.long
@pytest.mark.parametrize("name", WRITERS)
def test_normals_of_numbers_have_one_dimension(name):
    m = PAIRS["overlapping"][0]
    components = library(name).Normal(m.means[:, 0], np.sqrt(m.covariances[:, 0, 0]))
    p = jaxgmm.from_distribution(mixture_of(name, components, probs=m.weights))
    np.testing.assert_allclose(jaxgmm.log_prob(p, X[:, :1]), m.log_prob(X[:, :1]), rtol=1e-11)
    assert jaxgmm.from_distribution(library(name).Normal(0.0, 1.0)).loc.shape == (1, 1)


@pytest.mark.long
def test_mixtures_of_distributions_given_one_by_one():
    """The general mixtures, whose components are of several kinds and may be mixtures."""
    m = parameters("full")
    dist, tfd = library("numpyro"), library("tfp")
    truth = dense.Mixture(
        m.weights, m.loc, np.stack([m.covariance[0], np.diag(m.sd[1] ** 2), m.covariance[2]])
    ).log_prob(X)
    given = dist.MixtureGeneral(
        dist.Categorical(probs=m.weights),
        [
            dist.MultivariateNormal(m.loc[0], m.covariance[0]),
            dist.MultivariateNormal(m.loc[1], np.diag(m.sd[1] ** 2)),
            dist.MultivariateNormal(m.loc[2], m.covariance[2]),
        ],
    )
    np.testing.assert_allclose(
        jaxgmm.log_prob(jaxgmm.from_distribution(given), X), truth, rtol=1e-11
    )
    parts = [
        tfd.MultivariateNormalTriL(m.loc[0], m.lower[0]),
        tfd.MultivariateNormalDiag(m.loc[1], m.sd[1]),
        tfd.MultivariateNormalTriL(m.loc[2], m.lower[2]),
    ]
    given = tfd.Mixture(tfd.Categorical(probs=m.weights), parts)
    np.testing.assert_allclose(
        jaxgmm.log_prob(jaxgmm.from_distribution(given), X), truth, rtol=1e-11
    )
