import dataclasses
import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from scipy.special import logsumexp, ndtr

import jaxgmm
from jaxgmm._mixture.sampling import _reparameterised_on_the_line
from oracles import differences, quadrature
from support.covariance_types import of_type
from support.estimates import assert_within, estimate
from support.mixtures import PAIRS, gmm, random_mixture, read

pytestmark = pytest.mark.long

LINE, PLANE = PAIRS["overlapping"][0], PAIRS["plane"][0]


def plane(covariance_type: str, dtype=np.float64) -> jaxgmm.GMM:
    covariances = of_type(PLANE.covariances, covariance_type)
    return jaxgmm.GMM.from_moments(
        PLANE.weights, PLANE.means, covariances, covariance_type, dtype=dtype
    )


def flat(p: jaxgmm.GMM) -> jax.Array:
    """All its parameters in a row."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(p)])


def unflat(vector, like: jaxgmm.GMM):
    """The mixture with those parameters, of the shapes of another."""
    leaves, tree = jax.tree.flatten(like)
    ends = itertools.accumulate(leaf.size for leaf in leaves)
    return tree.unflatten(
        vector[end - leaf.size : end].reshape(leaf.shape)
        for end, leaf in zip(ends, leaves, strict=True)
    )


@pytest.mark.parametrize("mixture", [PAIRS["unequal"][0], PLANE, random_mixture(0, 5, 4)])
def test_moments(mixture, key):
    x = np.asarray(jaxgmm.sample(key, gmm(mixture), 2**17))
    second = mixture.covariances + mixture.means[:, :, None] * mixture.means[:, None, :]
    for values, means in [(x, mixture.means), (x[:, :, None] * x[:, None, :], second)]:
        error = values.std(0) / np.sqrt(len(x))
        exact = np.tensordot(mixture.weights, means, 1)
        assert (np.abs(values.mean(0) - exact) < 5 * error).all()
        assert (5 * error < 0.02 * max(1, np.abs(exact).max()) * 4).all()


@pytest.mark.parametrize("mixture", [PAIRS["unequal"][0], PLANE, random_mixture(0, 5, 4)])
def test_marginals(mixture, key):
    """Each coordinate, and the sum of all, by Kolmogorov and Smirnov; a scale that is 5 per cent
    wrong is seen.
    """
    d = mixture.means.shape[1]
    x = np.asarray(jaxgmm.sample(key, gmm(mixture), 2**17))
    for direction in [*np.eye(d), np.ones(d)]:
        loc, scale = mixture.means @ direction, np.sqrt(direction @ mixture.covariances @ direction)

        def cdf(t, loc=loc, scale=scale):
            return ndtr((t[:, None] - loc) / scale) @ mixture.weights

        along = x @ direction
        middle = mixture.weights @ loc
        assert scipy.stats.kstest(along, cdf).pvalue > 1e-6
        assert scipy.stats.kstest(middle + 1.05 * (along - middle), cdf).pvalue < 1e-6


def smooth(x, xp=np):
    """A function of points (n, D) that has a part in every coordinate and in all at once."""
    return xp.sin(x[:, 0]) + 0.3 * x[:, -1] ** 2 + 0.5 * xp.cos(2 - x.sum(1))


def mean_of_smooth(key, p, rule):
    return smooth(jaxgmm.sample(key, p, rule.n), jnp).mean()


def exact_mean(p: jaxgmm.GMM) -> float:
    mixture = read(p)
    return quadrature.integral(
        lambda x: np.exp(mixture.log_prob(x)) * smooth(x), mixture, refine=0.5
    )


@pytest.mark.parametrize(
    "p",
    [gmm(LINE), *map(plane, ("full", "tied", "diag", "spherical"))],
    ids=lambda p: p.covariance_type,
)
def test_gradients_in_every_parameter(p, key):
    result = estimate(jax.grad(mean_of_smooth, argnums=1), key, p, rule=jaxgmm.MonteCarlo(2**12))
    exact = unflat(differences.gradient(lambda v: exact_mean(unflat(v, p)), np.asarray(flat(p))), p)
    assert_within(result, exact, catches=0.05)
    # What follows the draws without an eye to their distribution has a gradient of 0 in the
    # weights.
    assert np.abs(exact.logits).max() > 10 * result.standard_error.logits.max()


def test_hessian(key):
    p = gmm(LINE)
    exact = differences.hessian(lambda v: exact_mean(unflat(v, p)), np.asarray(flat(p)))

    def hessian(key, p, rule):
        return jax.hessian(lambda v: mean_of_smooth(key, unflat(v, p), rule))(flat(p))

    assert_within(estimate(hessian, key, p, rule=jaxgmm.MonteCarlo(2**14)), exact, catches=0.15)


def walk(p: jaxgmm.GMM, coordinate: Callable[[int, Callable[[float], float]], float]) -> np.ndarray:
    """A point (D,), each coordinate chosen by its distribution function given those before it."""
    mixture = read(p)
    factors = np.linalg.cholesky(mixture.covariances)
    log_weights, z, x = (
        np.log(mixture.weights),
        np.zeros(mixture.means.shape),
        np.zeros(mixture.means.shape[1]),
    )
    for i in range(len(x)):
        loc, scale = mixture.means[:, i] + (factors[:, i, :i] * z[:, :i]).sum(1), factors[:, i, i]
        weights = np.exp(log_weights - logsumexp(log_weights))
        x[i] = coordinate(i, lambda t, w=weights, loc=loc, scale=scale: w @ ndtr((t - loc) / scale))
        z[:, i] = (x[i] - loc) / scale
        log_weights = log_weights + scipy.stats.norm.logpdf(x[i], loc, scale)
    return x


def quantiles_kept(x: np.ndarray, p: jaxgmm.GMM) -> Callable[[jaxgmm.GMM], np.ndarray]:
    """The point of any mixture at the conditional quantiles that x is at in p."""
    u = np.zeros(len(x))

    def note(i, cdf):
        u[i] = cdf(x[i])
        return x[i]

    walk(p, note)
    return lambda p: walk(
        p,
        lambda i, cdf: scipy.optimize.brentq(
            lambda t: cdf(t) - u[i], -50, 50, xtol=1e-14, rtol=1e-14
        ),
    )


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_points_keep_their_quantiles(covariance_type, key):
    """First and second derivatives of single points, in random directions, against those of SciPy's
    roots.
    """
    p = plane(covariance_type)
    start = np.asarray(flat(p))
    directions = np.random.default_rng(0).normal(size=(2, len(start)))

    def points(ab):
        return jaxgmm.sample(key, unflat(start + ab @ directions, p), 3)

    x, first, second = jax.jit(
        lambda ab: (points(ab), jax.jacrev(points)(ab), jax.hessian(points)(ab))
    )(np.zeros(2))
    for row in range(3):
        kept = quantiles_kept(np.asarray(x[row]), p)
        for i in range(2):
            moved = functools.partial(
                lambda ab, kept, i: kept(unflat(start + ab @ directions, p))[i], kept=kept, i=i
            )
            np.testing.assert_allclose(
                first[row, i], differences.gradient(moved, np.zeros(2)), rtol=1e-6
            )
            exact = differences.hessian(moved, np.zeros(2))
            np.testing.assert_allclose(second[row, i], exact, rtol=1e-5, atol=1e-6)


def test_forwards_is_backwards(key):
    """In the first and in the second derivative, and there through a loop as well, where JAX
    forgets rules for derivatives.
    """
    p = plane("diag")
    start = flat(p)

    def value(v):
        return smooth(jaxgmm.sample(key, unflat(v, p), 32), jnp).mean()

    def in_a_loop(v):
        return jax.lax.map(lambda scale: value(scale * v), jnp.ones(2)).mean()

    for forwards, backwards in [
        (jax.jacfwd(value), jax.jacrev(value)),
        (jax.jacfwd(jax.jacfwd(value)), jax.jacrev(jax.jacrev(in_a_loop))),
    ]:
        np.testing.assert_allclose(
            jax.jit(forwards)(start), jax.jit(backwards)(start), rtol=1e-10, atol=1e-12
        )


@jax.jit
def derivatives(p: jaxgmm.GMM, key) -> list:
    """The gradient of a mean, and the Hessian times a vector of ones."""

    def gradient(p):
        return jax.grad(lambda p: jnp.square(jaxgmm.sample(key, p, 1000)).mean())(p)

    return jax.tree.leaves(jax.jvp(gradient, (p,), (jax.tree.map(jnp.ones_like, p),)))


def test_finite_at_the_extremes(key):
    """In float32: components 40 and 10,000 standard deviations apart, coincident ones, one without
    weight, scales of 1e-12 and 1e12, and covariances that are singular to rounding.
    """
    p, deep, dtype = plane("full", np.float32), gmm(random_mixture(0, 3, 4), np.float32), np.float32
    unit = dataclasses.replace(
        p, log_diag=jnp.zeros_like(p.log_diag), off_diag=jnp.zeros_like(p.off_diag)
    )
    extremes = [
        *(
            dataclasses.replace(unit, loc=jnp.asarray([[0, 0], [a, a]], dtype))
            for a in (0.0, 40.0, 1e4)
        ),
        dataclasses.replace(p, logits=jnp.asarray([0, -np.inf], dtype)),
        *(dataclasses.replace(unit, log_diag=jnp.full((2, 2), a, dtype)) for a in (-27.0, 27.0)),
        *(
            dataclasses.replace(p, log_diag=jnp.asarray(a, dtype))
            for a in ([[-13, -13], [0, 0]], [[0, -27], [0, -27]])
        ),
        *(dataclasses.replace(deep, log_diag=deep.log_diag.at[:, 3].set(a)) for a in (-20, -30)),
    ]
    for extreme in extremes:
        for leaf in derivatives(extreme, key):
            assert leaf.dtype == dtype
            assert np.isfinite(leaf).all(), extreme


def test_tails_in_float32():
    """Six standard deviations out, on either side, where one tail is 1 less a billionth."""

    def weight_gradients(dtype):
        x, log_weights, loc = (
            jnp.asarray(a, dtype)
            for a in ([-6.0, 6.5], [[-0.3] * 2, [-1.4] * 2], [[0.0] * 2, [0.5] * 2])
        )
        total = jax.grad(
            lambda w: _reparameterised_on_the_line(x, w, loc, jnp.zeros(2, dtype)).sum()
        )
        return jax.jit(total)(log_weights)

    np.testing.assert_allclose(
        weight_gradients(np.float32), weight_gradients(np.float64), rtol=1e-4
    )


def test_float32_far_from_the_origin(key):
    """The gradient is that at the origin, though neighbouring floats are 1/16 apart at 1e6."""
    near = plane("full", np.float32)
    far = dataclasses.replace(near, loc=jnp.round(near.loc) + 1e6)
    near = dataclasses.replace(near, loc=jnp.round(near.loc))
    here, there = (jax.jit(jax.jacrev(lambda p: jaxgmm.sample(key, p, 10)))(p) for p in (near, far))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), here, there)


def test_arguments():
    p, key = gmm(LINE), jax.random.key(0)
    for wrong, error in [
        (10.0, TypeError),
        ("10", TypeError),
        (0, ValueError),
        (-1, ValueError),
        (True, ValueError),
    ]:
        with pytest.raises(error, match="num_samples must be an integer"):
            jaxgmm.sample(key, p, wrong)
    with pytest.raises(ValueError, match=r"key is None: pass jax\.random\.key\(0\), say"):
        jaxgmm.sample(None, p, 10)
    with pytest.raises(TypeError, match=r"gmm must be a jaxgmm.GMM, got int"):
        jaxgmm.sample(key, 3, 10)
    assert jaxgmm.sample(key, p, np.int64(10)).shape == (10, 1)
