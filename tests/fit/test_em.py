"""EM fits against scikit-learn, SciPy and closed forms, in any units and with weights."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm._fit.em_steps import column_scales, em_step
from support.covariance_types import TYPES
from support.em import fitted, mixed_rows
from support.long import first_by_default

KEY = jax.random.key(0)
LONG = pytest.mark.long
DIAGONAL_FIRST = first_by_default(["diag", "full", "tied", "spherical"])
FULL_FIRST = first_by_default(TYPES)
DATA = {
    "iris": lambda: (load_iris().data, 3),
    "wine": lambda: (load_wine().data, 3),
    "breast cancer": lambda: (load_breast_cancer().data, 2),
    "digits": lambda: (PCA(16, random_state=0).fit_transform(load_digits().data), 10),
}


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / x.std(0)


def sklearn_fit(x, k: int, covariance_type: str, max_iter: int, start=None) -> GaussianMixture:
    """Exactly so many steps, or fewer if a step gains nothing, from k-means or from another fit."""
    initial = {} if start is None else {"warm_start": True}
    model = GaussianMixture(
        k, covariance_type=covariance_type, tol=1e-12, max_iter=max_iter, random_state=0, **initial
    )
    if start is not None:
        vars(model).update({n: v for n, v in vars(start).items() if n.endswith("_")})
        model.converged_ = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x)


@pytest.mark.parametrize(
    ("name", "covariance_type"),
    [
        pytest.param(name, kind, marks=[] if (name, kind) == ("iris", "diag") else LONG)
        for name in DATA
        for kind in TYPES
    ],
)
def test_it_converges_where_scikit_learn_does(name, covariance_type):
    x, k = DATA[name]()
    x = standardised(x)
    first = sklearn_fit(x, k, covariance_type, 3)
    expected = sklearn_fit(x, k, covariance_type, 3000, first)
    start = jaxgmm.from_sklearn(first)
    result = jaxgmm.fit_em(KEY, x, k, covariance_type, start=start, tol=1e-12, max_steps=3000)
    assert result.log_likelihood > first.score(x) + 1e-4  # or the test would see nothing
    assert float(result.log_likelihood) == pytest.approx(expected.score(x), abs=1e-6)
    assert float(result.bic) == pytest.approx(expected.bic(x), abs=2e-6 * len(x))
    np.testing.assert_allclose(result.params.weights, expected.weights_, atol=1e-4)


def direct_step(gmm: jaxgmm.GMM, x: np.ndarray, w: np.ndarray, kind: str, floor: np.ndarray):
    """One EM step in the words of a textbook, and the mean log-likelihood before it."""
    factors = np.asarray(gmm.scale_tril)
    densities = [
        multivariate_normal(m, L @ L.T).logpdf(x) for m, L in zip(gmm.means, factors, strict=True)
    ]
    joint = np.log(gmm.weights) + np.transpose(densities)
    r = np.exp(joint - logsumexp(joint, axis=1)[:, None]) * w[:, None]
    mass = r.sum(0)
    means = r.T @ x / mass[:, None]
    offsets = x[:, None] - means
    scatters = np.einsum("nk,nki,nkj->kij", r, offsets, offsets)
    if kind == "tied":
        covariances = scatters.sum(0) / w.sum() + np.diag(floor)
    else:
        covariances = scatters / mass[:, None, None] + np.diag(floor)
    if kind in ("diag", "spherical"):
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    if kind == "spherical":
        covariances = covariances.mean(1)
    return mass / w.sum(), means, covariances, w @ logsumexp(joint, axis=1) / w.sum()


def start_of(x: np.ndarray, k: int, kind: str) -> jaxgmm.GMM:
    return jaxgmm.GMM.from_data(jax.random.key(3), x, k, kind)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_step_is_that_of_a_textbook(covariance_type):
    """With weights, and more points than a block has, so that the last block is not full."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3001, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.2], [0, 0, 2]])
    w, floor = rng.integers(0, 3, 3001).astype(float), np.array([0.1, 0.2, 0.3])
    start = start_of(x, 3, covariance_type)
    *expected, likelihood = direct_step(start, x, w, covariance_type, floor)
    q, value = jax.jit(em_step)(start, jnp.asarray(x), jnp.asarray(w), jnp.asarray(floor))
    for got, right in zip((q.weights, q.means, q.covariances), expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-12)
    assert float(value) == pytest.approx(likelihood, rel=1e-12)
    assert [leaf.shape for leaf in jax.tree.leaves(q)] == [
        leaf.shape for leaf in jax.tree.leaves(start)
    ]


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_no_digits_cancel_in_float32(covariance_type):
    """A component whose width is 1e-4 of its distance from the origin keeps three digits of it."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(500, 2)), 5 + 5e-4 * rng.normal(size=(500, 2))])
    x = x.astype(np.float32)
    covariances = np.stack([np.eye(2), 1e-6 * np.eye(2)])
    if covariance_type == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    means = [[0.0, 0.0], [5.0, 5.0]]
    start = jaxgmm.GMM.from_moments([0.5, 0.5], means, covariances, covariance_type, np.float32)
    ones, floor = jnp.ones(1000, jnp.float32), jnp.zeros(2, jnp.float32)
    step = jax.jit(em_step)
    q = start
    for _ in range(5):
        q, _ = step(q, x, ones, floor)
    expected = np.var(x[500:].astype(float), axis=0)
    variances = np.asarray(q.covariances[1], float)
    got = np.diagonal(variances) if covariance_type == "full" else variances
    np.testing.assert_allclose(got, expected, rtol=2e-3)


@pytest.mark.parametrize("covariance_type", DIAGONAL_FIRST)
def test_a_weight_is_a_number_of_equal_rows(covariance_type):
    x, w = mixed_rows(), np.random.default_rng(3).integers(0, 4, 300)
    start = start_of(x, 3, covariance_type)
    weighted = fitted(x, covariance_type, sample_weight=w, start=start)
    repeated = fitted(np.repeat(x, w, axis=0), covariance_type, start=start)
    for got, right in zip(jax.tree.leaves(weighted), jax.tree.leaves(repeated), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-6, atol=1e-6)
    alike = fitted(x, covariance_type, start=start)
    assert abs(alike.params.means - weighted.params.means).max() > 1e-3


@pytest.mark.parametrize("covariance_type", FULL_FIRST)
@pytest.mark.parametrize(
    ("dtype", "small", "large"),
    [(np.float64, 1e-9, 1e12), pytest.param(np.float32, 2.0**-30, 2.0**40, marks=LONG)],
)
def test_units_change_nothing(covariance_type, dtype, small, large):
    """The powers of two round nothing in float32 but the logarithms of scales, by 2e-6."""
    x = mixed_rows().astype(dtype)
    units = np.array([small, 1, large]) if covariance_type != "spherical" else small
    units = np.asarray(units, dtype)
    plain, other = fitted(x, covariance_type), fitted(x * units, covariance_type)
    posteriors = [
        jaxgmm.responsibilities(result.params, rows)
        for result, rows in ((plain, x), (other, x * units))
    ]
    np.testing.assert_allclose(*posteriors, atol=1e-6 if dtype == np.float64 else 2e-5)
    shift = np.log(np.broadcast_to(units, 3).astype(float)).sum()
    difference = float(plain.log_likelihood) - float(other.log_likelihood)
    assert difference == pytest.approx(shift, rel=1e-6, abs=1e-5)
    assert other.params.loc.dtype == dtype


@pytest.mark.parametrize("unit", [1e-18, 1e-9, 1e12, 1e18])
def test_scales_of_columns_in_float32(unit):
    x = (mixed_rows() * unit + 1e3 * unit).astype(np.float32)
    w = np.random.default_rng(0).integers(0, 3, 300).astype(np.float32)
    repeated = np.repeat(x.astype(float), w.astype(int), axis=0)
    centre, factor = column_scales(jnp.asarray(x), jnp.asarray(w), "full")
    np.testing.assert_allclose(centre, repeated.mean(0), rtol=1e-6)
    np.testing.assert_allclose(factor, repeated.std(0), rtol=1e-4)
    _, common = column_scales(jnp.asarray(x), jnp.asarray(w), "spherical")
    np.testing.assert_allclose(common, repeated.var(0).mean() ** 0.5 * np.ones(3), rtol=1e-4)


@pytest.mark.parametrize("covariance_type", DIAGONAL_FIRST)
def test_the_best_start_finds_all_clusters(covariance_type):
    rng = np.random.default_rng(4)
    centres = np.array([[i, j] for i in range(3) for j in range(3)]) * 8.0
    x = (centres[:, None] + rng.normal(size=(9, 60, 2))).reshape(-1, 2)
    for seed in range(5):
        q = jaxgmm.fit_em(jax.random.key(seed), x, 9, covariance_type).params
        nearest = np.linalg.norm(np.asarray(q.means)[:, None] - centres, axis=2).argmin(1)
        assert sorted(nearest) == list(range(9))


def test_clusters_that_one_column_of_four_tells_apart():
    """K-means cuts along the others, which are correlated, and mostly ends in a worse optimum."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 4))
    x[:, 2:] = 0.5 * x[:, 2:] + x[:, 1:2]
    x[:, 0] = np.where(rng.random(800) < 0.4, -2, 2) + 0.6 * rng.normal(size=800)

    def distance(key):
        means = jaxgmm.fit_em(key, x, 2).params.means
        return jnp.abs(means[0, 0] - means[1, 0])

    distances = jax.jit(jax.vmap(distance))(jax.random.split(jax.random.key(0), 20))
    assert np.sum(distances > 3.5) >= 17  # of about 19


def test_its_likelihood_and_bic():
    x = mixed_rows()
    result = fitted(x, "full")
    q = result.params
    rows = [
        multivariate_normal(m, c).logpdf(x) for m, c in zip(q.means, q.covariances, strict=True)
    ]
    value = logsumexp(np.transpose(rows) + np.log(q.weights), axis=1).mean()
    assert float(result.log_likelihood) == pytest.approx(value, rel=1e-10)
    num_params = 2 + 9 + 18
    assert float(result.bic) == pytest.approx(num_params * np.log(300) - 600 * value, rel=1e-10)
    assert result.converged
    assert 1 < result.num_steps < 1000


@pytest.mark.long
def test_rows_that_are_mostly_one_point():
    """The floor keeps a component on it finite."""
    x = np.concatenate([np.full((100, 2), 3.0), mixed_rows()[:, :2]])
    result = jaxgmm.fit_em(KEY, x, 4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.params))
    variances = np.diagonal(result.params.covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(variances.min(0), 1e-6 * x.var(0), rtol=1e-3)


@pytest.mark.long
def test_under_jit_and_vmap():
    """Over keys and over weights; each as it is alone."""
    x = mixed_rows()
    w = np.random.default_rng(5).integers(1, 3, (2, 300)).astype(float)

    def fit(key, w):
        return jaxgmm.fit_em(key, x, 3, "diag", sample_weight=w, num_starts=3)

    keys = jax.random.split(KEY, 2)
    together = jax.jit(jax.vmap(fit))(keys, w)
    for i in range(2):
        alone = fit(keys[i], w[i])
        batched = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        for got, right in zip(jax.tree.leaves(batched), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-8, atol=1e-8)


def calls_lapack(function, *arguments) -> bool:
    return 'target="lapack' in jax.jit(function).lower(*arguments).compile().as_text()


def test_no_program_calls_lapack():
    assert calls_lapack(jnp.linalg.cholesky, jnp.eye(3))  # or the test would see nothing
    assert not calls_lapack(lambda key, x: jaxgmm.fit_em(key, x, 3), KEY, jnp.asarray(mixed_rows()))


def test_the_best_number_of_components():
    x = mixed_rows()
    table = jaxgmm.select_components(KEY, x, range(1, 6), "tied")
    assert table.num_components == 3
    assert table.counts[table.bics.argmin()] == 3
    assert table.result.params.num_components == 3
    model = jaxgmm.to_sklearn(table.result.params)
    assert table.bics.min() == pytest.approx(model.bic(x), rel=1e-8)
    one = multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x).mean()
    assert table.log_likelihoods[0] == pytest.approx(one, abs=1e-5)
    assert table.bics[0] == pytest.approx(9 * np.log(300) - 600 * one, abs=1e-2)
    assert (np.diff(table.log_likelihoods) > -1e-5).all()
