import re
import sys
import warnings

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.preprocessing import StandardScaler

import jaxgmm
from oracles import dense
from support.covariance_types import TYPES
from support.long import first_by_default
from support.mixtures import PAIRS, gmm


def fitted(x: np.ndarray, covariance_type: str, k: int = 3, model=GaussianMixture):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a mixture that has not converged is a mixture all the same
        return model(
            n_components=k,
            covariance_type=covariance_type,
            reg_covar=1e-3,
            random_state=0,
            max_iter=50,
        ).fit(x)


def oracle(mixture) -> dense.Mixture:
    """The fitted mixture with covariances (K, D, D), from scikit-learn's own attributes."""
    k, d = mixture.means_.shape
    covariances = dense.covariances(mixture.covariances_, mixture.covariance_type, k, d)
    return dense.Mixture(mixture.weights_, mixture.means_, covariances)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("model", [GaussianMixture, BayesianGaussianMixture])
def test_from_sklearn(covariance_type, model):
    x = load_iris().data
    mixture = fitted(x, covariance_type, model=model)
    p = jaxgmm.from_sklearn(mixture)
    assert p.covariance_type == covariance_type
    np.testing.assert_allclose(jaxgmm.log_prob(p, x), oracle(mixture).log_prob(x), rtol=1e-9)
    assert jaxgmm.from_sklearn(mixture, dtype=np.float32).loc.dtype == np.float32


@pytest.mark.parametrize("covariance_type", TYPES)
def test_to_sklearn(covariance_type):
    """There and back; scores, predictions and samples are those of the mixture."""
    x = load_iris().data
    p = jaxgmm.from_sklearn(fitted(x, covariance_type))
    back = jaxgmm.to_sklearn(p)
    np.testing.assert_allclose(back.score_samples(x), jaxgmm.log_prob(p, x), rtol=1e-9)
    np.testing.assert_allclose(back.predict_proba(x), jaxgmm.responsibilities(p, x), atol=1e-9)
    np.testing.assert_allclose(
        back.precisions_, fitted(x, covariance_type).precisions_, rtol=1e-6, atol=1e-6
    )
    assert np.isfinite([back.bic(x), back.score(x)]).all()
    back.random_state = 0
    samples, _ = back.sample(20_000)
    spread = np.sqrt(np.diag(np.cov(samples.T)) / 20_000)
    assert (np.abs(samples.mean(0) - p.weights @ p.means) < 5 * spread).all()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
        jaxgmm.from_sklearn(back),
        p,
    )


@pytest.mark.smoke
def test_float32_weights_still_sum_to_one_for_sklearn():
    p = jaxgmm.GMM.from_moments(
        np.full(7, 1 / 7), np.arange(7.0)[:, None], np.ones(7), "spherical", dtype=np.float32
    )
    mixture = jaxgmm.to_sklearn(p)
    assert mixture.weights_.dtype == np.float64
    assert mixture.sample(10)[0].shape == (10, 1)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (
            GaussianMixture(2),
            ValueError,
            "mixture is not fitted: GaussianMixture has no weights_, means_, covariances_; call",
        ),
        (
            BayesianGaussianMixture(n_components=2),
            ValueError,
            "mixture is not fitted: BayesianGaussianMixture",
        ),
        (KMeans(2), TypeError, "mixture must be a fitted scikit-learn GaussianMixture, got KMeans"),
        (None, TypeError, "mixture must be a fitted scikit-learn GaussianMixture, got NoneType"),
    ],
)
def test_what_is_not_a_fitted_mixture(bad, error, message):
    with pytest.raises(error, match=re.escape(message)):
        jaxgmm.from_sklearn(bad)


def test_without_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'jaxgmm[sklearn]'")):
        jaxgmm.to_sklearn(gmm(PAIRS["overlapping"][0]))


DATA = {
    "iris": load_iris,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}


def halves(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The data in units of a standard deviation, at most 16 dimensions, split by class as a user
    would compare two groups.
    """
    data = DATA[name]()
    x = StandardScaler().fit_transform(data.data)
    if x.shape[1] > 16:
        x = PCA(16, whiten=name == "digits", random_state=0).fit_transform(x)
    first = data.target < np.unique(data.target).mean()
    return x[first], x[~first]


@pytest.mark.parametrize(
    "covariance_type",
    first_by_default(["full", "diag", "tied", "spherical"]),
)
@pytest.mark.parametrize("name", first_by_default(DATA))
def test_real_data_against_the_classical_recipe(name, covariance_type, key):
    """X = P.sample(n), mean(log p(X) - log q(X)), with SciPy's densities, for KL both ways and for
    JS.
    """
    fits = [fitted(x, covariance_type) for x in halves(name)]
    mixtures, oracles = [jaxgmm.from_sklearn(f) for f in fits], [oracle(f) for f in fits]
    rng = np.random.default_rng(0)
    n = 100_000
    log_ratios = []
    for mine, other in (oracles, oracles[::-1]):
        x = mine.sample(rng, n)
        log_ratios.append(mine.log_prob(x) - other.log_prob(x))
    recipes = {
        "there": (jaxgmm.kl_divergence, mixtures, log_ratios[:1], 1.0),
        "back": (jaxgmm.kl_divergence, mixtures[::-1], log_ratios[1:], 1.0),
        "js": (
            jaxgmm.js_divergence,
            mixtures,
            [np.log(2) - np.logaddexp(0, -r) for r in log_ratios],
            0.5,
        ),
    }
    for divergence, pair, terms, factor in recipes.values():
        recipe = factor * sum(term.mean() for term in terms)
        recipe_error = factor * np.sqrt(sum(term.var() / n for term in terms))
        result = jaxgmm.estimate(divergence, key, *pair)
        error = np.hypot(recipe_error, result.standard_error)
        assert abs(result.value - recipe) < 5 * error
        assert 5 * error < 0.1 * recipe
