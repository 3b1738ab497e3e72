import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import dense, differences, gaussians, quadrature
from support.estimates import assert_within, estimate
from support.leaves import LEAVES, gradient_of, unconstrained
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, random_mixture

RULES = [jaxgmm.Sobol(2**12), jaxgmm.MonteCarlo(2**14)]

TRUTHS = {
    jaxgmm.kl_divergence: quadrature.kl,
    jaxgmm.js_divergence: quadrature.js,
    jaxgmm.jeffreys_divergence: lambda p, q: quadrature.kl(p, q) + quadrature.kl(q, p),
    jaxgmm.cross_entropy: quadrature.cross_entropy,
}


@pytest.mark.smoke
def test_the_quadrature_itself():
    """Published and closed values, so that what follows rests on more than one program."""
    np.testing.assert_allclose(quadrature.kl(*PAIRS["overlapping"]), 0.1129823940300846, rtol=1e-13)
    np.testing.assert_allclose(
        quadrature.js(*PAIRS["overlapping"]), 0.03007027667058154, rtol=1e-13
    )
    for name, (p, q) in PAIRS.items():
        np.testing.assert_allclose(
            quadrature.integral(lambda x, p=p: np.exp(p.log_prob(x)), p, q),
            1,
            rtol=1e-12,
            err_msg=name,
        )
        np.testing.assert_allclose(
            quadrature.kl(p, q, refine=1.5), quadrature.kl(p, q), rtol=1e-11, err_msg=name
        )


@pytest.mark.parametrize("divergence", TRUTHS)
@pytest.mark.parametrize("rule", first_by_default(RULES))
def test_values(divergence, rule, key):
    """Overlapping, nested, far and very unequal mixtures on the line and in the plane, in both
    directions.
    """
    for p, q in [*PAIRS.values(), *(pair[::-1] for pair in PAIRS.values())]:
        truth = TRUTHS[divergence](p, q)
        result = estimate(divergence, key, gmm(p), gmm(q), rule=rule)
        assert_within(
            result,
            truth,
            catches=(0.02 if isinstance(rule, jaxgmm.MonteCarlo) else 2e-3) * max(1, abs(truth)),
        )


@pytest.mark.parametrize("divergence", TRUTHS)
def test_values_by_gauss_hermite(divergence):
    """Spectral convergence where mixtures overlap: eight digits on the line, five in the plane,
    without a key.
    """
    for name, order, digits in [("overlapping", 200, 1e-8), ("plane", 100, 1e-5)]:
        p, q = PAIRS[name]
        value = divergence(None, gmm(p), gmm(q), jaxgmm.GaussHermite(order))
        np.testing.assert_allclose(value, TRUTHS[divergence](p, q), rtol=digits)


@pytest.mark.smoke
def test_sigma_points_are_exact_for_single_gaussians():
    for d in (1, 4, 32):
        p, q = random_mixture(1, 1, d, spread=0.5), random_mixture(2, 1, d, spread=0.5)
        value = jaxgmm.kl_divergence(None, gmm(p), gmm(q), jaxgmm.SigmaPoints())
        np.testing.assert_allclose(value, gaussians.kl(p, q), rtol=1e-10)


def test_entropy(key):
    p = PAIRS["plane"][0]
    assert_within(estimate(jaxgmm.entropy, key, gmm(p)), quadrature.entropy(p), catches=1e-3)


@pytest.mark.smoke
@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_js_of_two_normals(a, key):
    truth = {0.5: 0.11142148218474, 1.0: 0.33683082034683, 2.0: 0.63272019373687}[a]
    p, q = (gmm(dense.mixture([1.0], [mean], [1.0])) for mean in (a, -a))
    assert_within(estimate(jaxgmm.js_divergence, key, p, q), truth, catches=1e-4)


@pytest.mark.parametrize("d", [1, 4, 32])
def test_kl_of_single_gaussians(d, key):
    p, q = random_mixture(1, 1, d, spread=0.5), random_mixture(2, 1, d, spread=0.5)
    result = estimate(jaxgmm.kl_divergence, key, gmm(p), gmm(q))
    assert_within(result, gaussians.kl(p, q), catches=0.01 * gaussians.kl(p, q))


@pytest.mark.parametrize("divergence", [jaxgmm.kl_divergence, jaxgmm.js_divergence])
@pytest.mark.parametrize("rule", first_by_default([jaxgmm.Sobol(2**12), jaxgmm.MonteCarlo(2**16)]))
def test_gradients_in_every_parameter(divergence, rule, key):
    """Unequal weights; every leaf of p and of q, against derivatives of quadrature."""
    for pair in ("unequal", "plane"):
        p, q = map(gmm, PAIRS[pair])
        result = estimate(jax.grad(divergence, argnums=(1, 2)), key, p, q, rule=rule)
        for side in (0, 1):
            value, error = result.value[side], result.standard_error[side]
            exact = gradient_of(TRUTHS[divergence], unconstrained(p), unconstrained(q), side)
            for name in LEAVES:
                part = dataclasses.replace(
                    result, value=getattr(value, name), standard_error=getattr(error, name)
                )
                assert_within(
                    part, exact[name], catches=0.05 * max(1, np.abs(exact[name]).max(initial=0))
                )
            # The peers' error is a weight gradient of zero: it is seen here by far more than the
            # tolerance.
            assert np.abs(exact["logits"]).max() > 20 * np.max(error.logits)


def test_hessian(key):
    """Of KL in the logits, the means and the scales of p and q, against differences of
    quadrature.
    """
    p, q = map(gmm, PAIRS["overlapping"])

    def flat(p, q):
        return jnp.concatenate(
            [leaf.ravel() for leaf in (p.logits, p.loc, p.log_diag, q.logits, q.loc, q.log_diag)]
        )

    def unflat(vector):
        parts = vector.reshape(2, 3, 2)
        return [
            jaxgmm.GMM(side[0], side[1][:, None], side[2][:, None], jnp.zeros((2, 0)))
            for side in parts
        ]

    def truth(vector):
        mixtures = [jax.tree.map(np.asarray, m) for m in unflat(vector)]
        return quadrature.kl(
            *(dense.from_unconstrained(m.logits, m.loc, m.log_diag, m.off_diag) for m in mixtures)
        )

    start = np.asarray(flat(p, q))
    exact = differences.hessian(truth, start)

    def hessian(key, p, q, rule):
        return jax.hessian(lambda vector: jaxgmm.kl_divergence(key, *unflat(vector), rule))(
            flat(p, q)
        )

    result = estimate(hessian, key, p, q)
    assert_within(result, exact, catches=0.02)


@pytest.mark.parametrize("rule", first_by_default([jaxgmm.Sobol(1000), jaxgmm.MonteCarlo(1000)]))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_lies_between_a_mixture_and_itself(rule, dtype, key):
    p = gmm(random_mixture(0, 4, 3), dtype)
    # On a GPU the two log-densities are compiled in different ways.
    rounding = 0 if jax.default_backend() == "cpu" else np.finfo(dtype).eps
    assert abs(jaxgmm.kl_divergence(key, p, p, rule)) <= rounding
    assert jaxgmm.js_divergence(key, p, p, rule) == 0


def transformed(mixture: dense.Mixture, a: np.ndarray, b: np.ndarray) -> dense.Mixture:
    return dense.Mixture(mixture.weights, mixture.means @ a.T + b, a @ mixture.covariances @ a.T)


def split(mixture: dense.Mixture) -> dense.Mixture:
    """Component 0 twice, with a third and two thirds of its weight."""
    again = np.r_[0, np.arange(len(mixture.weights))]
    weights = mixture.weights[again] * np.r_[1 / 3, 2 / 3, np.ones(len(mixture.weights) - 1)]
    return dense.Mixture(weights, mixture.means[again], mixture.covariances[again])


@pytest.mark.parametrize(
    "divergence",
    first_by_default([jaxgmm.kl_divergence, jaxgmm.js_divergence, jaxgmm.jeffreys_divergence]),
)
def test_invariances(divergence, key):
    p, q = random_mixture(3, 3, 2), random_mixture(4, 3, 2)
    a, b = np.array([[2.0, 0.0], [-0.7, 0.3]]), np.array([5.0, -3.0])
    base = estimate(divergence, key, gmm(p), gmm(q))
    rows = np.array([2, 0, 1])
    permuted = dense.Mixture(p.weights[rows], p.means[rows], p.covariances[rows])
    for other in [
        (permuted, q),
        (p, split(q)),
        (split(p), q),
        (transformed(p, a, b), transformed(q, a, b)),
    ]:
        result = estimate(divergence, jax.random.key(1), *map(gmm, other))
        error = math.hypot(base.standard_error, result.standard_error)
        assert abs(base.value - result.value) < 5 * error
        assert 5 * error < 0.01 * base.value


def test_js_samples_its_two_halves_independently():
    """Over 400 keys, the variance is the sum of the two halves'; with shared nodes these pull
    against each other.
    """
    p, q = (dense.mixture([1.0], [mean], [1.0]) for mean in (-1, 1))
    rule = jaxgmm.MonteCarlo(64)
    keys = jax.random.split(jax.random.key(2), 400)
    values = jax.jit(jax.vmap(lambda key: jaxgmm.js_divergence(key, gmm(p), gmm(q), rule)))(keys)

    def moment(power):
        def integrand(x):
            log_p, log_q = p.log_prob(x), q.log_prob(x)
            log_m = np.logaddexp(log_p, log_q) - math.log(2)
            of_p, of_q = np.exp(log_p - log_m), np.exp(log_q - log_m)
            term = 0.5 * (of_p * (log_p - log_m) + of_q * (log_q - log_m))
            return np.exp(log_p) * term**power

        return quadrature.integral(integrand, p, q)

    exact = 0.25 * 2 * (moment(2) - moment(1) ** 2) / 64
    assert abs(values.var() / exact - 1) < 5 * math.sqrt(2 / 400)


def test_js_is_bounded_and_symmetric(key):
    for name, pair in PAIRS.items():
        p, q = map(gmm, pair)
        there = estimate(jaxgmm.js_divergence, key, p, q)
        back = estimate(jaxgmm.js_divergence, jax.random.key(1), q, p)
        assert 0 <= there.value <= math.log(2) + 1e-12, name
        assert (
            abs(there.value - back.value)
            <= 5 * math.hypot(there.standard_error, back.standard_error) + 1e-12
        ), name


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_float32_far_from_the_origin(offset, key):
    """With unit variances there, and the same points, float32 agrees with float64 to 1e-5: the
    common shift.
    """
    p, q = random_mixture(5, 4, 3), random_mixture(6, 4, 3)
    for mixture in (p, q):
        mixture.means = np.round(mixture.means + offset)  # whole numbers are exact in float32
    narrow, wide = (
        jaxgmm.kl_divergence(key, gmm(p, t), gmm(q, t), jaxgmm.Sobol(2**16))
        for t in (np.float32, np.float64)
    )
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)


def test_a_component_without_weight_on_either_side(key):
    alive = random_mixture(0, 3, 2)
    p, q = gmm(alive), gmm(random_mixture(1, 3, 2))
    for dead in (dataclasses.replace(m, logits=m.logits.at[0].set(-jnp.inf)) for m in (p, q)):
        for pair in ((dead, q), (p, dead), (dead, dead)):
            value, gradient = jax.value_and_grad(jaxgmm.kl_divergence, argnums=(1, 2))(key, *pair)
            assert np.isfinite(value)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.long
@pytest.mark.parametrize(
    "divergence", [jaxgmm.kl_divergence, jaxgmm.js_divergence, jaxgmm.jeffreys_divergence]
)
def test_path_gradient(divergence, key):
    """As right as the default in every parameter; exactly 0 between a mixture and itself, where the
    default of KL is not.
    """
    pair = PAIRS["plane"]
    p, q = map(gmm, pair)
    path = functools.partial(divergence, path_gradient=True)
    if divergence is not jaxgmm.js_divergence:  # which has another form then
        assert divergence(key, p, q) == path(key, p, q)
    result = estimate(jax.grad(path, argnums=(1, 2)), key, p, q)
    for side in (0, 1):
        exact = gradient_of(TRUTHS[divergence], unconstrained(p), unconstrained(q), side)
        for name in LEAVES:
            value, error = (
                getattr(result.value[side], name),
                getattr(result.standard_error[side], name),
            )
            part = dataclasses.replace(result, value=value, standard_error=error)
            assert_within(part, exact[name], catches=0.02 * max(1, np.abs(exact[name]).max()))
    if divergence is not jaxgmm.jeffreys_divergence:  # whose other term is not sampled from p
        assert all(
            (leaf == 0).all() for leaf in jax.tree.leaves(jax.grad(lambda p: path(key, p, q))(q))
        )
    if divergence is jaxgmm.kl_divergence:
        assert np.abs(jax.grad(lambda p: divergence(key, p, q))(q).loc).max() > 1e-6
