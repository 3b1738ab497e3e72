import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from support.estimates import assert_within
from support.long import first_by_default
from support.mixtures import gmm, random_mixture
from support.processes import MIXTURES, run_in_a_process_of_its_own

RULES = [jaxgmm.MonteCarlo(2**16), jaxgmm.Sobol(2**16)]


def polynomials(x):
    return {"one": jnp.ones(len(x), x.dtype), "mean": x, "second": x[:, :, None] * x[:, None, :]}


def exact_moments(mixture):
    second = mixture.covariances + mixture.means[:, :, None] * mixture.means[:, None, :]
    return {
        "one": 1.0,
        "mean": mixture.weights @ mixture.means,
        "second": np.einsum("k,kij->ij", mixture.weights, second),
    }


@pytest.mark.parametrize("rule", RULES)
def test_moments(rule, key):
    """Of an unequal mixture, as one pytree, by the textbook's formulas."""
    mixture = random_mixture(8, 4, 3)
    result = jaxgmm.estimate(
        lambda key, p, rule: jaxgmm.expectation(key, p, polynomials, rule),
        key,
        gmm(mixture),
        rule=rule,
    )
    exact = exact_moments(mixture)
    assert_within(result, exact, catches=0.05)
    np.testing.assert_allclose(result.value["one"], 1, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", first_by_default(["full", "tied", "diag", "spherical"]))
def test_gradients_of_moments(covariance_type, key):
    """E[|x|^2] is sum_k pi_k (|mu_k|^2 + tr Sigma_k), whose derivatives are known."""
    rng = np.random.default_rng(0)
    covariances = {
        "full": [np.eye(2)] * 3,
        "tied": np.eye(2),
        "diag": rng.uniform(1, 2, (3, 2)),
        "spherical": [1.0, 2.0, 3.0],
    }
    p = jaxgmm.GMM.from_moments(
        [0.2, 0.3, 0.5], rng.normal(size=(3, 2)), covariances[covariance_type], covariance_type
    )

    def gradient(key, p, rule):
        return jax.grad(lambda p: jaxgmm.expectation(key, p, lambda x: (x * x).sum(1), rule))(p)

    def exact(p):
        second = (p.loc**2).sum(1) + jnp.trace(p.scale_tril @ p.scale_tril.mT, axis1=1, axis2=2)
        return jax.nn.softmax(p.logits) @ second

    assert_within(jaxgmm.estimate(gradient, key, p), jax.grad(exact)(p), catches=0.05)


def test_every_number_of_points_is_a_mean(key):
    """The weights of the points sum to 1, however n divides by the components and the blocks."""
    p = gmm(random_mixture(8, 3, 2))
    for n in (1, 2, 3, 5, 1000, 2049, 10_001):
        for rule in (jaxgmm.MonteCarlo(n), jaxgmm.Sobol(n)):
            np.testing.assert_allclose(
                jaxgmm.expectation(key, p, lambda x: jnp.ones(len(x)), rule), 1, rtol=1e-12
            )


def test_ten_million_points_in_float32_lose_no_digits(key):
    """Sums of many equal terms are where rounding errors add up instead of cancelling: 2e-5 here,
    if nothing is done.
    """
    p = gmm(random_mixture(8, 4, 3), np.float32)
    mean = jaxgmm.expectation(
        key, p, lambda x: jnp.full(len(x), math.log(2), x.dtype), jaxgmm.Sobol(10_000_000)
    )
    np.testing.assert_allclose(mean, math.log(2), rtol=1e-6)


def test_more_components_than_points_in_a_block(key):
    p = jaxgmm.GMM.from_moments(
        np.full(3000, 1 / 3000), np.linspace(-1, 1, 3000)[:, None], np.ones(3000), "spherical"
    )
    result = jaxgmm.estimate(
        lambda key, p, rule: jaxgmm.expectation(key, p, lambda x: x, rule),
        key,
        p,
        rule=jaxgmm.Sobol(3000),
    )
    assert_within(result, np.zeros(1), catches=0.05)


def test_what_it_refuses(key):
    p = gmm(random_mixture(8, 3, 2))
    with pytest.raises(
        TypeError, match=r"rule must be a rule such as jaxgmm.Sobol\(2\*\*14\) or .*, got 1000"
    ):
        jaxgmm.expectation(key, p, lambda x: x, 1000)
    with pytest.raises(TypeError, match=r"rule must be a rule such as .* got the class Sobol"):
        jaxgmm.kl_divergence(key, p, p, jaxgmm.Sobol)
    with pytest.raises(TypeError, match=r"gmm must be a jaxgmm.GMM, got tuple"):
        jaxgmm.expectation(key, (), lambda x: x)


PAIRWISE = {
    "js_divergence": lambda p, q: jaxgmm.js_divergence(jax.random.key(0), p, q),
    "components": lambda p, q: (
        jaxgmm.gaussian_kl(p, q),
        jaxgmm.bhattacharyya_distance(p, q),
        jaxgmm.gaussian_wasserstein_squared(p, q),
    ),
    "mmd": lambda p, q: jaxgmm.mmd(p, q, 1.0),
    "distances": lambda p, q: (
        jaxgmm.log_l2_distance(p, q),
        jaxgmm.l2_distance(p, q),
        jaxgmm.cauchy_schwarz_divergence(p, q),
    ),
    "approximations": lambda p, q: (
        jaxgmm.kl_variational(p, q),
        jaxgmm.kl_product(p, q),
        jaxgmm.kl_matched(p, q),
        jaxgmm.kl_moment_matched(p, q),
    ),
    "bounds": lambda p, q: (
        jaxgmm.kl_bounds(p, q),
        jaxgmm.entropy_bounds(p),
        jaxgmm.js_bounds(p, q),
    ),
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_no_lapack_in_the_program(name):
    """XLA on CPU can wait for ever in a program with two independent batched LAPACK calls, which a
    divergence would have.
    """
    p, q = (gmm(random_mixture(seed, 4, 3), np.float32) for seed in (0, 1))

    def total(p, q):
        return sum(leaf.sum() for leaf in jax.tree.leaves(PAIRWISE[name](p, q)))

    program = jax.jit(jax.value_and_grad(total, argnums=(0, 1))).lower(p, q).as_text()
    assert "while" in program
    assert not re.search("lapack|cholesky|triangular_solve", program, re.IGNORECASE)


@pytest.mark.parametrize("rule", ["MonteCarlo", "Sobol"])
@pytest.mark.long
def test_memory_is_flat_in_the_number_of_points(rule):
    """Ten million points of 16 dimensions take 640 MB on their own, and their densities by
    component 400 MB.
    """
    program = f"""
    p, q = mixture(0, 10, 16), mixture(1, 10, 16)
    rule = jaxgmm.{rule}(10_000_000)
    value_and_grad = jax.value_and_grad(jaxgmm.kl_divergence, argnums=(1, 2))
    value, gradient = value_and_grad(jax.random.key(0), p, q, rule)
    assert np.isfinite(value) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    print(peak_memory())
    """
    peak = int(run_in_a_process_of_its_own(MIXTURES + program))
    assert peak < 1.5e9


@pytest.mark.long
def test_memory_is_flat_for_the_gradient_of_a_vector():
    """Which goes through the loop backwards."""
    program = """
    p, q = mixture(0, 10, 16), mixture(1, 10, 16)
    def loss(q):
        rule = jaxgmm.Sobol(4_000_000)
        shares = jaxgmm.expectation(
            jax.random.key(0), p, lambda x: jaxgmm.responsibilities(q, x), rule
        )
        return (shares**2).sum()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(q)))
    print(peak_memory())
    """
    assert int(run_in_a_process_of_its_own(MIXTURES + program)) < 1e9


@pytest.mark.smoke
def test_derivative_rules_of_the_integrand_hold_to_second_order():
    """softplus has one of its own, without which its second derivative would be wrong at 0, which
    is x^2 / 4 here.
    """
    p = jaxgmm.GMM.from_moments([0.4, 0.6], [[0.0], [1.0]], [[0.5], [1.5]], "diag")

    def of_slope(slope):
        return jaxgmm.expectation(
            None, p, lambda x: jax.nn.softplus(slope * x[:, 0]), jaxgmm.GaussHermite(8)
        )

    exact = (0.4 * 0.5 + 0.6 * (1.5 + 1)) / 4
    for second in (
        jax.hessian,
        lambda fn: jax.grad(jax.grad(fn)),
        lambda fn: jax.jacfwd(jax.jacfwd(fn)),
    ):
        np.testing.assert_allclose(second(of_slope)(0.0), exact, rtol=1e-12)


def test_jax_before_0_12_loses_them_in_a_loop_in_a_rule():
    """Why there is `derivative_by_retracing`. It can go when pyproject.toml asks for JAX 0.12."""

    def by_slope(slope):
        slopes = jax.grad(lambda slope, x: jax.nn.softplus(slope * x))
        return jax.lax.scan(lambda total, x: (total + slopes(slope, x), None), 0.0, jnp.ones(1))[0]

    fn = jax.custom_jvp(jax.nn.softplus)
    fn.defjvp(
        lambda primals, tangents: (jax.nn.softplus(*primals), by_slope(*primals) * tangents[0])
    )
    np.testing.assert_allclose(jax.hessian(jax.nn.softplus)(0.0), 0.25)
    assert jax.hessian(fn)(0.0) == (0.5 if jax.__version_info__ < (0, 12) else 0.25)


@pytest.mark.long
def test_it_never_hangs():
    program = """
    p, q = mixture(0, 64, 32), mixture(1, 64, 32)
    value_and_grad = jax.value_and_grad(jaxgmm.kl_divergence, argnums=(1, 2))
    step = jax.jit(lambda key: value_and_grad(key, p, q, jaxgmm.Sobol(2000)))
    for key in jax.random.split(jax.random.key(0), 300):
        value, _ = jax.block_until_ready(step(key))
        assert np.isfinite(value)
    print("done")
    """
    assert run_in_a_process_of_its_own(MIXTURES + program) == "done\n"


@pytest.mark.parametrize(
    ("fn", "got"),
    [
        (lambda x: x.sum(), r"got shape \(\) for points \(\d+, 2\)"),
        (lambda x: {"first": x[0]}, r"got shape \(2,\)"),
        (lambda x: 1.0, r"got 1\.0"),
    ],
)
def test_a_function_of_one_point(fn, got, key):
    p = jaxgmm.GMM.random(key, 2, 2)
    message = rf"fn must map points \(n, D\) to \(n, \.\.\.\), {got}.*jax\.vmap"
    with pytest.raises(TypeError, match=message):
        jaxgmm.expectation(key, p, fn, jaxgmm.Sobol(16))
