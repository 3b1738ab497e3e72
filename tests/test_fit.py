"""Fitting: the known pictures, real data, and a loop that neither falls over nor loses anything."""

import dataclasses
import functools
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from conftest import gmm
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import Covariance, multivariate_normal
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import GMM

THREE = reference.mixture(
    [0.45, 0.35, 0.2], [[-6, 0], [0, 0.5], [6, 0]], [[[1, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 0.8]], [[0.5, 0], [0, 1]]]
)
RULE = jaxgmm.Sobol(2**10)


def two(dtype=np.float64) -> GMM:
    return GMM.from_moments([0.5, 0.5], [[-3, 0.1], [2, -0.2]], 4 * np.stack([np.eye(2)] * 2), dtype=dtype)


def moments(weights, means, covariances):
    """The mean and the covariance of a whole mixture."""
    mean = weights @ means
    apart = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances) + np.einsum("k,ki,kj->ij", weights, apart, apart)


def largest(tree) -> float:
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.fixture(autouse=True)
def as_optax_needs_it(request):
    """Optax mixes dtypes and ranks in its optimisers; the last test here tells when it no longer does."""
    if "strictly" in request.node.name:
        yield
    else:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            yield


@functools.cache
def fitted(name: str) -> jaxgmm.FitResult:
    losses = {
        "forward": jaxgmm.forward_kl_loss(gmm(THREE), jaxgmm.GaussHermite(24)),
        "reverse": jaxgmm.reverse_kl_loss(gmm(THREE), jaxgmm.Sobol(2**11), path_gradient=False),
        "js": jaxgmm.js_loss(gmm(THREE), jaxgmm.Sobol(2**11)),
    }
    key, start = jax.random.key(0), fitted("reverse").params if name == "js" else two()
    result = jaxgmm.fit(key, losses[name], start, optax.lbfgs(), 200, fixed_key=True, tol=1e-13, window=10)
    assert result.converged
    assert len(result.losses) < 200
    assert largest(jax.grad(losses[name], argnums=1)(key, result.params)) < 1e-6
    return result


def test_forward_kl_covers_the_mass():
    """At a minimum of KL(p || q) over all parameters, q has the mean and the covariance of p; so one of two spans two modes."""
    q = fitted("forward").params
    mean, covariance = moments(*map(np.asarray, (q.weights, q.means, q.covariances)))
    exact_mean, exact_covariance = moments(THREE.weights, THREE.means, THREE.covariances)
    np.testing.assert_allclose(mean, exact_mean, atol=1e-3)
    np.testing.assert_allclose(covariance, exact_covariance, atol=2e-3)
    assert q.covariances[1, 0, 0] > 9
    assert np.all(THREE.log_prob(THREE.means) - jaxgmm.log_prob(q, THREE.means) < 2.5)


def test_reverse_kl_seeks_modes():
    """KL(q || p) is least where q is p without one of its modes: then it is -log of the weight of the others."""
    q = fitted("reverse").params
    np.testing.assert_allclose(q.means, THREE.means[:2], atol=5e-3)
    np.testing.assert_allclose(q.covariances, THREE.covariances[:2], atol=1e-2)
    np.testing.assert_allclose(q.weights, np.array([0.45, 0.35]) / 0.8, atol=1e-3)
    np.testing.assert_allclose(fitted("reverse").losses[-1], -np.log(0.8), atol=1e-3)
    assert THREE.log_prob(THREE.means[2:]) - jaxgmm.log_prob(q, THREE.means[2:]) > 10


def test_js_is_less_where_js_was_minimised():
    """JS, too, keeps to two of the modes, where these are far apart; from there it goes on from where the reverse KL ends."""
    at = {name: reference.js(THREE, as_reference(fitted(name).params)) for name in ("forward", "reverse", "js")}
    np.testing.assert_allclose(fitted("js").losses[-1], at["js"], atol=1e-3)
    assert at["js"] < at["forward"] - 1e-3
    assert at["js"] < at["reverse"] + 1e-5


def as_reference(q: GMM) -> reference.Mixture:
    factors = np.asarray(q.scale_tril, float)
    return reference.Mixture(np.asarray(q.weights, float), np.asarray(q.means, float), factors @ factors.transpose(0, 2, 1))


@pytest.mark.long
def test_recovering_five_components(key, record_property):
    """The best of twenty random starts, all in one compiled call, is the target; so is a good share of the others."""
    target = GMM.random(jax.random.key(5), 5, 2, spread=3.0)
    keys = jax.random.split(key, 20)
    starts = jax.vmap(lambda key: GMM.random(key, 5, 2, spread=3.0))(keys)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 400), b2=0.9)
    fit = functools.partial(jaxgmm.fit, loss=jaxgmm.forward_kl_loss(target, RULE), optimizer=optimizer, num_steps=400)
    results = jax.jit(jax.vmap(lambda key, start: fit(key, params=start)))(keys, starts)
    best = jax.tree.map(lambda leaf: leaf[results.losses[:, -1].argmin()], results.params)
    assert reference.kl(as_reference(target), as_reference(best)) < 1e-3
    kl = jax.vmap(lambda q: jaxgmm.kl_divergence(key, target, q))(results.params)
    share = float((kl < 1e-3).mean())
    record_property("share of starts that recover the target", share)
    assert share >= 0.15


@pytest.mark.parametrize("make", [jaxgmm.forward_kl_loss, jaxgmm.reverse_kl_loss, jaxgmm.js_loss, jaxgmm.jeffreys_loss])
def test_a_component_of_weight_1e_6_comes_back(make, key):
    p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [[1.0], [1.0]], "diag")
    q = GMM.from_moments([1 - 1e-6, 1e-6], [[0.0], [4.0]], [[1.0], [1.0]], "diag")
    result = jaxgmm.fit(key, make(p, RULE), q, optax.adam(optax.cosine_decay_schedule(0.1, 1000), b2=0.9), 1000)
    np.testing.assert_allclose(result.params.weights, [0.5, 0.5], atol=0.02)
    assert reference.kl(as_reference(p), as_reference(result.params)) < 1e-3


DATA = {"wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}


def standardised(name: str) -> np.ndarray:
    x = DATA[name]().data
    x = PCA(16, random_state=0).fit_transform(x) if name == "digits" else x
    return (x - x.mean(0)) / x.std(0)


@pytest.mark.long
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("name", DATA)
def test_likelihood_of_real_data(name, covariance_type, key):
    """The best of a few starts is as likely as what scikit-learn's EM finds, both with 0.1 standard deviations as a floor."""
    x = standardised(name)
    em = GaussianMixture(10, covariance_type=covariance_type, reg_covar=1e-2, random_state=0).fit(x)
    optimizer = optax.chain(optax.adam(optax.cosine_decay_schedule(0.03, 1000), b2=0.9), jaxgmm.scale_floor(0.1))
    loss = jaxgmm.likelihood_loss(x)
    keys = jax.random.split(key, 8 if name == "wine" else 4)
    starts = jax.vmap(lambda key: GMM.from_data(key, x, 10, covariance_type, reg_covar=0.1))(keys)
    results = jax.jit(jax.vmap(lambda key, q: jaxgmm.fit(key, loss, q, optimizer, 1000)))(keys, starts)
    assert not results.diverged.any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))
    best = jax.tree.map(lambda leaf: leaf[results.losses[:, -1].argmin()], results.params)
    ours = scipy_log_prob(best, x).mean()
    assert ours > em.score(x) - 0.02
    assert jnp.exp(best.log_diag).min() >= 0.1 * (1 - 1e-12)


def scipy_log_prob(q: GMM, x: np.ndarray) -> np.ndarray:
    """From the Cholesky factors, as some covariances are too close to singular for SciPy to take them."""
    factors = map(Covariance.from_cholesky, np.asarray(q.scale_tril))
    parts = [multivariate_normal(m, c).logpdf(x) for m, c in zip(np.asarray(q.means), factors, strict=True)]
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
    """Twelve fixed Gaussians in 32 dimensions; the oracle minimises -E_p log q over the simplex, on points of its own."""
    rng = np.random.default_rng(0)
    d, k = 32, 12
    means = 0.25 * rng.normal(size=(k, d))
    candidates = GMM.from_moments(np.full(k, 1 / k), means, rng.uniform(0.5, 1.5, (k, d)), "diag")
    weights = rng.dirichlet(np.ones(6))
    p = GMM.from_moments(weights, means[:6] + 0.1 * rng.normal(size=(6, d)), rng.uniform(0.6, 1.4, (6, d)), "diag")

    def loss(key, logits):
        return jaxgmm.kl_divergence(key, p, dataclasses.replace(candidates, logits=logits), jaxgmm.Sobol(2**15))

    result = jaxgmm.fit(key, loss, candidates.logits, optax.lbfgs(), 60, fixed_key=True, tol=1e-12, window=5)

    n = 150_000
    index = np.repeat(np.arange(6), np.round(n * weights).astype(int))
    x = np.asarray(p.means)[index] + np.sqrt(np.asarray(p.covariances))[index] * rng.normal(size=(len(index), d))
    log_q = np.stack([log_normal(x, m, v) for m, v in zip(means, np.asarray(candidates.covariances), strict=True)], 1)
    q = np.exp(log_q - log_q.max(1, keepdims=True))

    def objective(w):
        return -np.log(q @ w).mean(), -(q / (q @ w)[:, None]).mean(0)

    solved = minimize(
        objective, np.full(k, 1 / k), jac=True, bounds=[(0, 1)] * k, method="SLSQP", options={"ftol": 1e-12, "maxiter": 200},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    assert solved.success
    ratio = q / (q @ solved.x)[:, None]
    free = solved.x > 1e-3
    noise = np.sqrt(np.diag(np.linalg.pinv(np.cov(ratio[:, free].T))) / len(x)).max()
    assert 5 * noise < 0.02
    np.testing.assert_allclose(jax.nn.softmax(result.params), solved.x, atol=1e-3 + 5 * noise)


@pytest.mark.parametrize("free", ["logits", "loc", "log_diag", "off_diag"])
def test_parts_that_stay_fixed(free, key):
    """The documented idiom: labels in the shape of the mixture."""
    labels = GMM(**{name: "fit" if name == free else "hold" for name in ("logits", "loc", "log_diag", "off_diag")})
    optimizer = optax.multi_transform({"fit": optax.adam(0.05), "hold": optax.set_to_zero()}, labels)
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
    q = as_reference(result.params)
    np.testing.assert_array_equal(q.covariances[0], q.covariances[1])
    mean, covariance = moments(q.weights, q.means, q.covariances)  # which are still those of p
    exact_mean, exact_covariance = moments(THREE.weights, THREE.means, THREE.covariances)
    np.testing.assert_allclose(mean, exact_mean, atol=0.05)
    np.testing.assert_allclose(covariance, exact_covariance, rtol=0.05, atol=0.05)


def log_normal(x, mean, variances):
    return -0.5 * (((x - mean) ** 2 / variances) + np.log(2 * np.pi * variances)).sum(1)


ADAM = optax.adam(0.05)
FORWARD = jaxgmm.forward_kl_loss(gmm(THREE), RULE)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("optimizer", [ADAM, pytest.param(optax.lbfgs(), marks=pytest.mark.long)], ids=["adam", "lbfgs"])
@pytest.mark.parametrize("cut", [100, 137])
def test_two_halves_are_the_whole_bit_for_bit(optimizer, cut, key):
    fit = functools.partial(jaxgmm.fit, fixed_key=optimizer is not ADAM, tol=0.0, window=170)
    whole = fit(key, FORWARD, two(), optimizer, 230)
    half = fit(key, FORWARD, two(), optimizer, cut)
    both = fit(key, FORWARD, half, optimizer, 230 - cut)
    assert_equal(whole, both)
    assert len(whole.losses) == whole.state.num_steps


def test_under_jit_it_is_the_same(key):
    eager = jaxgmm.fit(key, FORWARD, two(), ADAM, 50)
    jitted = jax.jit(lambda key, q: jaxgmm.fit(key, FORWARD, q, ADAM, 50))(key, two())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), eager, jitted)


def test_a_loss_that_captures_a_traced_value(key):
    def to_target(shift):
        target = jax.tree.map(lambda leaf: leaf, gmm(THREE))
        loss = lambda key, q: jaxgmm.kl_divergence(key, target, q, RULE) + shift  # noqa: E731
        return jaxgmm.fit(key, loss, two(), ADAM, 20).losses

    shifted = jax.vmap(to_target)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(shifted[1] - shifted[0], 1, rtol=1e-9)


def test_keys_are_fresh_or_fixed(key):
    """A loss that is the key's own normal shows which keys the steps get."""
    loss = lambda key, x: jax.random.normal(key, (), np.float64) + 0.0 * x.sum()  # noqa: E731
    fresh = jaxgmm.fit(key, loss, jnp.ones(2), ADAM, 120).losses
    assert len(np.unique(fresh)) == 120
    fixed = jaxgmm.fit(key, loss, jnp.ones(2), ADAM, 120, fixed_key=True).losses
    assert len(np.unique(fixed)) == 1
    np.testing.assert_array_equal(fixed[0], loss(key, jnp.ones(2)))


def test_it_stops_at_a_plateau(key):
    result = jaxgmm.fit(key, lambda key, x: jnp.square(x).sum(), jnp.ones(3), optax.sgd(0.1), 1000, tol=1e-3, window=20)
    assert result.converged
    means = np.asarray(result.losses).reshape(-1, 20).mean(1)
    assert means[-2] - means[-1] <= 1e-3
    assert np.all(means[:-2] - means[1:-1] > 1e-3)
    assert not jaxgmm.fit(key, lambda key, x: jnp.square(x).sum(), jnp.ones(3), optax.sgd(0.1), 100).converged


@pytest.mark.parametrize("bad", ["loss", "gradient"])
@pytest.mark.parametrize("at", [3, 100, 101])
def test_divergence_keeps_the_last_good_parameters(bad, at, key):
    """A loss that falls by one a step, and is not finite once `at` steps have been taken."""

    def loss(key, x):
        outside = x[0] < 0.5 - at
        if bad == "loss":
            return jnp.where(outside, jnp.nan, x[0])
        return x[0] - 1 + jnp.sqrt(jnp.where(outside, x[0] - jax.lax.stop_gradient(x[0]), 1.0))  # of infinite derivative

    with pytest.warns(RuntimeWarning, match=f"fit diverged: after {at} steps"):
        result = jaxgmm.fit(key, loss, jnp.zeros(1), optax.sgd(1.0), 250)
    assert result.diverged
    assert not result.converged
    np.testing.assert_array_equal(result.losses, -np.arange(at, dtype=float))
    np.testing.assert_array_equal(result.params, [1.0 - at])


def test_a_diverged_start_loses_to_the_others(key):
    loss = lambda key, x: jnp.where(x < -5, jnp.nan, x)  # noqa: E731
    results = jax.vmap(lambda x: jaxgmm.fit(key, loss, x, optax.sgd(1.0), 10))(jnp.array([0.0, 20.0]))
    assert results.diverged.tolist() == [True, False]
    assert results.losses[0, -1] == jnp.inf
    assert results.losses[:, -1].argmin() == 1
    assert results.params[0] == -5


def test_nothing_is_compiled_again(key):
    from test_transforms import COMPILATIONS

    optimizer = optax.adam(0.01)
    another = GMM.random(key, 3, 2)
    jaxgmm.fit(key, jaxgmm.forward_kl_loss(gmm(THREE), RULE), two(), optimizer, 250)
    start = two()
    COMPILATIONS.clear()
    other = jaxgmm.forward_kl_loss(another, RULE)
    result = jaxgmm.fit(key, other, start, optimizer, 330)
    jaxgmm.fit(key, other, result, optimizer, 50)
    assert COMPILATIONS == []


def test_steps_stay_on_the_device(key):
    jaxgmm.fit(key, FORWARD, two(), ADAM, 100)
    arguments = key, two()
    compiled = jax.jit(lambda key, q: jaxgmm.fit(key, FORWARD, q, ADAM, 100)).lower(*arguments).compile().as_text()
    assert not any(word in compiled for word in ("infeed", "outfeed", "xla_python_cpu_callback", "xla_ffi_python"))


def test_progress_is_called_with_the_result_so_far(key):
    seen = []
    result = jaxgmm.fit(key, FORWARD, two(), ADAM, 250, progress=seen.append)
    assert [len(r.losses) for r in seen] == [100, 200, 250]
    assert_equal(seen[-1], result)
    assert_equal(jaxgmm.fit(key, FORWARD, seen[0], ADAM, 150), result)


def test_progress_bar(key, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    jaxgmm.fit(key, FORWARD, two(), ADAM, 250, progress=True)
    assert "250/250" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="progress=True needs tqdm: pip install 'jaxgmm"):
        jaxgmm.fit(key, FORWARD, two(), ADAM, 250, progress=True)


def test_an_interrupt_keeps_the_result(key):
    def interrupt(result):
        if len(result.losses) == 200:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(RuntimeWarning, match="fit was interrupted after 200 steps"):
        result = jaxgmm.fit(key, FORWARD, two(), ADAM, 1000, progress=interrupt)
    assert_equal(result, jaxgmm.fit(key, FORWARD, two(), ADAM, 200))


def test_no_steps_are_the_start(key):
    result = jaxgmm.fit(key, FORWARD, two(), ADAM, 0)
    assert_equal(result.params, two())
    assert result.losses.shape == (0,)


def nothing(key, q):
    return jnp.zeros(())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": lambda key, q: q.logits}, TypeError, r"loss must return a floating scalar, got .*shape=\(2,\)"),
        ({"loss": lambda key, q: (jnp.zeros(()), 1.0)}, TypeError, "loss must return a floating scalar, got"),
        ({"loss": lambda key, q: jnp.zeros((), int)}, TypeError, "loss must return a floating scalar, got"),
        ({"loss": "kl"}, TypeError, "loss must be a function of"),
        ({"loss": lambda key, q: q.logits.sum() * jnp.nan}, FloatingPointError, "not finite at the start"),
        ({"params": {}}, ValueError, "params has no array leaves"),
        ({"params": {"a": np.arange(3)}}, TypeError, "params must be made of floating arrays, but has a leaf array"),
        ({"params": {"a": "b"}}, TypeError, "params must be made of floating arrays, but has a leaf 'b'"),
        ({"num_steps": -1}, ValueError, "num_steps must be an integer of at least 0, got -1"),
        ({"num_steps": 1.5}, TypeError, "num_steps must be an integer, got 1.5"),
        ({"optimizer": 1e-2}, TypeError, "optimizer must be an optax optimiser such as .*, got 0.01"),
        ({"optimizer": optax.adam}, TypeError, "optimizer must be an optax optimiser such as"),
        ({"key": None}, ValueError, "key is None"),
        ({"key": 0}, TypeError, "key must be a JAX random key, got 0"),
        ({"tol": -1.0}, ValueError, "tol must not be negative, got -1.0"),
        ({"tol": "small"}, TypeError, "tol must be a number, got 'small'"),
        ({"window": 0}, ValueError, "window must be an integer of at least 1, got 0"),
        ({"progress": 3}, TypeError, "progress must be True, False or a function"),
    ],
)
def test_bad_arguments(change, error, message):
    arguments = {"key": jax.random.key(0), "loss": nothing, "params": two(), "optimizer": ADAM, "num_steps": 5}
    with pytest.raises(error, match=message):
        jaxgmm.fit(**(arguments | change))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jaxgmm.forward_kl_loss(3), TypeError, "p must be a jaxgmm.GMM, got int"),
        (lambda: jaxgmm.js_loss(two(), 100), TypeError, "rule must be a rule"),
        (lambda: jaxgmm.likelihood_loss([1.0, 2.0]), ValueError, r"x must have shape \(n, D\).*got \(2,\); write x\[:, None\]"),
        (lambda: jaxgmm.likelihood_loss([[np.nan]]), ValueError, "x holds NaN or infinity"),
        (lambda: jaxgmm.likelihood_loss([[1.0]], 0), ValueError, "batch_size must be an integer of at least 1, got 0"),
        (lambda: jaxgmm.scale_floor(0.0), ValueError, "min_scale must be positive and finite, got 0.0"),
    ],
)
def test_bad_losses(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.long
def test_many_posteriors_against_one_prior(key):
    """Down to one point for each divergence, all in one call, the mean is unbiased, in value and in the prior's gradient."""
    rng = np.random.default_rng(0)
    prior = GMM.random(key, 10, 16)
    means, scales = rng.normal(size=(256, 1, 16)), rng.uniform(0.3, 1.0, (256, 1, 16))
    posteriors = jax.vmap(lambda m, s: GMM(jnp.zeros(1), m, jnp.log(s), None))(jnp.asarray(means), jnp.asarray(scales))

    def mean_kl(key, posteriors, prior, rule):
        keys = jax.random.split(key, 256)
        return jax.vmap(lambda key, q: jaxgmm.kl_divergence(key, q, prior, rule))(keys, posteriors).mean()

    def total(key, posteriors, prior, rule):
        """The value, the gradient in a change that all posteriors share, and that in the prior."""
        value, (each, common) = jax.value_and_grad(mean_kl, argnums=(1, 2))(key, posteriors, prior, rule)
        return value, jax.tree.map(lambda leaf: leaf.sum(0), each), common

    exact = jax.jit(functools.partial(total, rule=jaxgmm.Sobol(2**10)))(key, posteriors, prior)
    few = jax.jit(functools.partial(total, rule=jaxgmm.MonteCarlo(1)))
    sampled = jax.lax.map(lambda key: few(key, posteriors, prior), jax.random.split(jax.random.key(1), 200))
    for many, truth in zip(jax.tree.leaves(sampled), jax.tree.leaves(exact), strict=True):
        error = many.std(0) / 200**0.5
        assert np.all(np.abs(many.mean(0) - truth) <= 5 * error + 2e-3)
        assert np.all(5 * error <= 0.05 * max(1, np.abs(truth).max()))


@pytest.mark.long
def test_a_mixture_prior_of_an_autoencoder(key):
    """The digits, a small network that gives a diagonal posterior in 16 dimensions, and a prior of ten components."""
    digits = load_digits().data.astype(np.float32) / 16
    train, held_out = jnp.asarray(digits[:1500]), jnp.asarray(digits[1500:1756])
    keys = jax.random.split(key, 4)

    def dense(key, inputs, outputs):
        return {"w": jax.random.normal(key, (inputs, outputs), np.float32) / inputs**0.5, "b": jnp.zeros(outputs, np.float32)}

    params = {
        "in": dense(keys[0], 64, 64),
        "posterior": dense(keys[1], 64, 32),
        "out": dense(keys[2], 16, 64),
        "prior": GMM.random(keys[3], 10, 16, "diag", spread=1.0, dtype=np.float32),
    }

    def apply(layer, x):
        return x @ layer["w"] + jnp.broadcast_to(layer["b"], (len(x), len(layer["b"])))

    def bound(key, params, x):
        """The negative evidence lower bound: reconstruction error, of standard deviation 0.2, and KL to the prior."""
        draw_key, kl_key = jax.random.split(key)
        loc, log_scale = jnp.split(apply(params["posterior"], jax.nn.tanh(apply(params["in"], x))), 2, axis=1)
        posteriors = jax.vmap(lambda m, s: GMM(jnp.zeros(1, np.float32), m[None], s[None], None))(loc, log_scale)
        z = loc + jnp.exp(log_scale) * jax.random.normal(draw_key, loc.shape, np.float32)
        error = jnp.square((apply(params["out"], z) - x) / np.float32(0.2)).sum(1) / 2
        keys = jax.random.split(kl_key, len(x))
        kl = jax.vmap(lambda key, q: jaxgmm.kl_divergence(key, q, params["prior"], jaxgmm.MonteCarlo(1)))(keys, posteriors)
        return (error + kl).mean()

    def loss(key, params):
        batch_key, own_key = jax.random.split(key)
        return bound(own_key, params, train[jax.random.randint(batch_key, (256,), 0, np.int32(len(train)))])

    result = jaxgmm.fit(key, loss, params, optax.adam(3e-3), 300)
    before, after = (np.mean([bound(k, p, held_out) for k in jax.random.split(keys[0], 8)]) for p in (params, result.params))
    assert after < 0.5 * before
    frozen = dict(result.params, prior=params["prior"])
    assert after < np.mean([bound(k, frozen, held_out) for k in jax.random.split(keys[0], 8)]) - 1  # the prior has learnt, too


def test_the_loop_itself_strictly(key):
    result = jaxgmm.fit(key, FORWARD, two(), optax.sgd(0.1), 30, tol=1e-3, window=5)
    assert result.losses[-1] < result.losses[0]


def test_optax_still_mixes_dtypes_strictly(key):
    """When this fails, `as_optax_needs_it` is no longer needed."""
    with pytest.raises(Exception, match="no available implicit dtype promotion path"):
        jaxgmm.fit(key, FORWARD, two(), ADAM, 1)
