"""Fitting: the known pictures, real data, weights alone and shared covariances."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import Covariance, multivariate_normal
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import GMM
from oracles import dense, quadrature
from support.fitting import FORWARD, RULE, THREE, two
from support.long import first_by_default
from support.mixtures import gmm, read

pytestmark = pytest.mark.usefixtures("as_optax_needs_it")


def largest(tree) -> float:
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@functools.cache
def fitted(name: str) -> jaxgmm.FitResult:
    losses = {
        "forward": jaxgmm.forward_kl_loss(gmm(THREE), jaxgmm.GaussHermite(24)),
        "reverse": jaxgmm.reverse_kl_loss(gmm(THREE), jaxgmm.Sobol(2**11), path_gradient=False),
        "js": jaxgmm.js_loss(gmm(THREE), jaxgmm.Sobol(2**11)),
    }
    key, start = jax.random.key(0), fitted("reverse").params if name == "js" else two()
    result = jaxgmm.fit(
        key, losses[name], start, optax.lbfgs(), 200, fixed_key=True, tol=1e-13, window=10
    )
    assert result.converged
    assert len(result.losses) < 200
    assert largest(jax.grad(losses[name], argnums=1)(key, result.params)) < 1e-6
    return result


def test_forward_kl_covers_the_mass():
    """At a minimum of KL(p || q) over all parameters, q has the mean and the covariance of p; so
    one of two spans two modes.
    """
    q = fitted("forward").params
    mean, covariance = dense.moments(*map(np.asarray, (q.weights, q.means, q.covariances)))
    exact_mean, exact_covariance = dense.moments(THREE.weights, THREE.means, THREE.covariances)
    np.testing.assert_allclose(mean, exact_mean, atol=1e-3)
    np.testing.assert_allclose(covariance, exact_covariance, atol=2e-3)
    assert q.covariances[1, 0, 0] > 9
    assert np.all(THREE.log_prob(THREE.means) - jaxgmm.log_prob(q, THREE.means) < 2.5)


def test_cross_entropy_is_forward_kl_but_for_a_constant():
    """Its value is that of quadrature, and at the minimum of the forward KL its gradient is zero as
    well; elsewhere it is not.
    """
    loss = jaxgmm.cross_entropy_loss(gmm(THREE), jaxgmm.GaussHermite(24))
    start, minimum = two(), fitted("forward").params
    oracle = quadrature.cross_entropy(
        THREE, dense.from_unconstrained(*map(np.asarray, jax.tree.leaves(start)))
    )
    np.testing.assert_allclose(loss(None, start), oracle, rtol=1e-3)
    assert largest(jax.grad(loss, argnums=1)(None, minimum)) < 1e-6
    assert largest(jax.grad(loss, argnums=1)(None, start)) > 0.01


@pytest.mark.long
def test_reverse_kl_seeks_modes():
    """KL(q || p) is least where q is p without one of its modes: then it is -log of the weight of
    the others.
    """
    q = fitted("reverse").params
    np.testing.assert_allclose(q.means, THREE.means[:2], atol=5e-3)
    np.testing.assert_allclose(q.covariances, THREE.covariances[:2], atol=1e-2)
    np.testing.assert_allclose(q.weights, np.array([0.45, 0.35]) / 0.8, atol=1e-3)
    np.testing.assert_allclose(fitted("reverse").losses[-1], -np.log(0.8), atol=1e-3)
    assert THREE.log_prob(THREE.means[2:]) - jaxgmm.log_prob(q, THREE.means[2:]) > 10


@pytest.mark.long
def test_js_is_less_where_js_was_minimised():
    """JS, too, keeps to two of the modes, where these are far apart; from there it goes on from
    where the reverse KL ends.
    """
    at = {
        name: quadrature.js(THREE, read(fitted(name).params))
        for name in ("forward", "reverse", "js")
    }
    np.testing.assert_allclose(fitted("js").losses[-1], at["js"], atol=1e-3)
    assert at["js"] < at["forward"] - 1e-3
    assert at["js"] < at["reverse"] + 1e-5


@pytest.mark.long
def test_recovering_five_components(key, record_property):
    """The best of twenty random starts, all in one compiled call, is the target; so is a good share
    of the others.
    """
    target = GMM.random(jax.random.key(5), 5, 2, spread=3.0)
    keys = jax.random.split(key, 20)
    starts = jax.vmap(lambda key: GMM.random(key, 5, 2, spread=3.0))(keys)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 400), b2=0.9)
    fit = functools.partial(
        jaxgmm.fit, loss=jaxgmm.forward_kl_loss(target, RULE), optimizer=optimizer, num_steps=400
    )
    results = jax.jit(jax.vmap(lambda key, start: fit(key, params=start)))(keys, starts)
    best = jax.tree.map(lambda leaf: leaf[results.losses[:, -1].argmin()], results.params)
    assert quadrature.kl(read(target), read(best)) < 1e-3
    kl = jax.vmap(lambda q: jaxgmm.kl_divergence(key, target, q))(results.params)
    share = float((kl < 1e-3).mean())
    record_property("share of starts that recover the target", share)
    assert share >= 0.15


@pytest.mark.parametrize("name", first_by_default(["forward_kl", "reverse_kl", "js", "jeffreys"]))
def test_a_component_of_weight_1e_6_comes_back(name, key):
    make = getattr(jaxgmm, f"{name}_loss")
    p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [[1.0], [1.0]], "diag")
    q = GMM.from_moments([1 - 1e-6, 1e-6], [[0.0], [4.0]], [[1.0], [1.0]], "diag")
    result = jaxgmm.fit(
        key, make(p, RULE), q, optax.adam(optax.cosine_decay_schedule(0.1, 1000), b2=0.9), 1000
    )
    np.testing.assert_allclose(result.params.weights, [0.5, 0.5], atol=0.02)
    assert quadrature.kl(read(p), read(result.params)) < 1e-3


DATA = {"wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}


def standardised(name: str) -> np.ndarray:
    x = DATA[name]().data
    x = PCA(16, random_state=0).fit_transform(x) if name == "digits" else x
    return (x - x.mean(0)) / x.std(0)


@pytest.mark.long
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("name", DATA)
def test_likelihood_of_real_data(name, covariance_type, key):
    """The best of a few starts is as likely as what scikit-learn's EM finds, both with 0.1 standard
    deviations as a floor.
    """
    x = standardised(name)
    em = GaussianMixture(10, covariance_type=covariance_type, reg_covar=1e-2, random_state=0).fit(x)
    optimizer = optax.chain(
        optax.adam(optax.cosine_decay_schedule(0.03, 1000), b2=0.9), jaxgmm.scale_floor(0.1)
    )
    loss = jaxgmm.likelihood_loss(x)
    keys = jax.random.split(key, 8 if name == "wine" else 4)
    starts = jax.vmap(lambda key: GMM.from_data(key, x, 10, covariance_type, reg_covar=0.1))(keys)
    results = jax.jit(jax.vmap(lambda key, q: jaxgmm.fit(key, loss, q, optimizer, 1000)))(
        keys, starts
    )
    assert not results.diverged.any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))
    best = jax.tree.map(lambda leaf: leaf[results.losses[:, -1].argmin()], results.params)
    ours = scipy_log_prob(best, x).mean()
    assert ours > em.score(x) - 0.02
    assert jnp.exp(best.log_diag).min() >= 0.1 * (1 - 1e-12)


def scipy_log_prob(q: GMM, x: np.ndarray) -> np.ndarray:
    """From the Cholesky factors, as some covariances are too close to singular for SciPy to take
    them.
    """
    factors = map(Covariance.from_cholesky, np.asarray(q.scale_tril))
    parts = [
        multivariate_normal(m, c).logpdf(x)
        for m, c in zip(np.asarray(q.means), factors, strict=True)
    ]
    return logsumexp(parts, b=np.asarray(q.weights)[:, None], axis=0)


def test_minibatches_estimate_the_likelihood(key):
    x = standardised("wine")
    q = GMM.from_data(key, x, 3, "diag", reg_covar=0.1)
    whole = float(jaxgmm.negative_log_likelihood(q, x))
    loss = jaxgmm.likelihood_loss(x, batch_size=16)
    values = np.asarray(jax.vmap(lambda key: loss(key, q))(jax.random.split(key, 4000)))
    error = values.std() / 4000**0.5
    assert abs(values.mean() - whole) < 5 * error < 0.5
    assert values.std() > 0.1
    result = jaxgmm.fit(key, loss, q, optax.adam(0.03), 200)
    assert jaxgmm.negative_log_likelihood(result.params, x) < whole - 0.2


@pytest.mark.long
def test_weights_alone_are_those_of_a_convex_solver(key):
    """Twelve fixed Gaussians in 32 dimensions; the oracle minimises -E_p log q over the simplex, on
    points of its own.
    """
    rng = np.random.default_rng(0)
    d, k = 32, 12
    means = 0.25 * rng.normal(size=(k, d))
    candidates = GMM.from_moments(np.full(k, 1 / k), means, rng.uniform(0.5, 1.5, (k, d)), "diag")
    weights = rng.dirichlet(np.ones(6))
    p = GMM.from_moments(
        weights, means[:6] + 0.1 * rng.normal(size=(6, d)), rng.uniform(0.6, 1.4, (6, d)), "diag"
    )

    def loss(key, logits):
        return jaxgmm.kl_divergence(
            key, p, dataclasses.replace(candidates, logits=logits), jaxgmm.Sobol(2**15)
        )

    result = jaxgmm.fit(
        key, loss, candidates.logits, optax.lbfgs(), 60, fixed_key=True, tol=1e-12, window=5
    )

    x = points_in_proportion(p, 150_000, rng)
    log_q = np.stack(
        [
            log_normal(x, m, v)
            for m, v in zip(means, np.asarray(candidates.covariances), strict=True)
        ],
        1,
    )
    exact, noise = most_likely_weights(np.exp(log_q - log_q.max(1, keepdims=True)))
    assert 5 * noise < 0.02
    np.testing.assert_allclose(jax.nn.softmax(result.params), exact, atol=1e-3 + 5 * noise)


def points_in_proportion(p: GMM, n: int, rng: np.random.Generator) -> np.ndarray:
    """Points of a diagonal mixture, as many of each component as its weight says."""
    index = np.repeat(np.arange(p.num_components), np.round(n * np.asarray(p.weights)).astype(int))
    return np.asarray(p.means)[index] + np.sqrt(np.asarray(p.covariances))[index] * rng.normal(
        size=(len(index), p.num_dims)
    )


def most_likely_weights(q: np.ndarray) -> tuple[np.ndarray, float]:
    """The weights w that maximise the mean of log q w, for densities q (points, components), and
    their standard error.
    """
    n, k = q.shape

    def objective(w):
        return -np.log(q @ w).mean(), -(q / (q @ w)[:, None]).mean(0)

    solved = minimize(
        objective,
        np.full(k, 1 / k),
        jac=True,
        bounds=[(0, 1)] * k,
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 200},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    assert solved.success
    ratio = q / (q @ solved.x)[:, None]
    free = solved.x > 1e-3
    return solved.x, np.sqrt(np.diag(np.linalg.pinv(np.cov(ratio[:, free].T))) / n).max()


@pytest.mark.parametrize("free", ["logits", "loc", "log_diag", "off_diag"])
def test_parts_that_stay_fixed(free, key):
    """The documented idiom: labels in the shape of the mixture."""
    labels = GMM(
        **{
            name: "fit" if name == free else "hold"
            for name in ("logits", "loc", "log_diag", "off_diag")
        }
    )
    optimizer = optax.multi_transform(
        {"fit": optax.adam(0.05), "hold": optax.set_to_zero()}, labels
    )
    result = jaxgmm.fit(key, FORWARD, two(), optimizer, 100)
    for name in ("logits", "loc", "log_diag", "off_diag"):
        moved = np.abs(getattr(result.params, name) - getattr(two(), name)).max()
        assert (moved > 1e-2) == (name == free)
    assert result.losses[-1] < result.losses[0]


def test_a_shared_covariance(key):
    """A tied mixture stays tied, and its one covariance gets the gradients of all components."""
    start = GMM.from_moments([0.5, 0.5], [[-3, 0.1], [2, -0.2]], 4 * np.eye(2), "tied")
    result = jaxgmm.fit(key, FORWARD, start, optax.adam(optax.cosine_decay_schedule(0.1, 300)), 300)
    assert result.params.covariance_type == "tied"
    q = read(result.params)
    np.testing.assert_array_equal(q.covariances[0], q.covariances[1])
    mean, covariance = dense.moments(
        q.weights, q.means, q.covariances
    )  # which are still those of p
    exact_mean, exact_covariance = dense.moments(THREE.weights, THREE.means, THREE.covariances)
    np.testing.assert_allclose(mean, exact_mean, atol=0.05)
    np.testing.assert_allclose(covariance, exact_covariance, rtol=0.05, atol=0.05)


def log_normal(x, mean, variances):
    return -0.5 * (((x - mean) ** 2 / variances) + np.log(2 * np.pi * variances)).sum(1)
