"""Hard shapes: many dimensions and components, condition numbers, rounding, overflow, and what is
not a divergence.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm import GMM
from oracles import digits, resolved
from support.estimates import assert_within, estimate
from support.hard_pairs import cast, line, without_off_diagonal

pytestmark = pytest.mark.long

DTYPES = [np.float64, np.float32]
DERIVED = {"kl": jaxgmm.kl_divergence, "js": jaxgmm.js_divergence}


SHARED_LINE = line([0.3, 0.7], [0, 1], [1, 0.5]), line([0.6, 0.4], [0.5, -1], [0.7, 1])


def mixing_matrix(num_dims: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    a = 0.3 * np.tril(rng.normal(size=(num_dims, num_dims)), -1) / math.sqrt(num_dims)
    return a + np.diag(np.exp(0.3 * rng.normal(size=num_dims)))


def lifted(mixture: GMM, a: np.ndarray) -> GMM:
    """The mixture of A (y, e) for y of one on the line and e standard normal: all divergences are
    those on the line.
    """
    factors = jnp.repeat(a[None], mixture.num_components, 0)
    factors = factors.at[:, :, 0].multiply(jnp.exp(mixture.log_diag))
    rows, columns = np.tril_indices(len(a), -1)
    log_diag = jnp.log(jnp.diagonal(factors, axis1=1, axis2=2))
    return GMM(mixture.logits, mixture.loc * a[None, :, 0], log_diag, factors[:, rows, columns])


@pytest.mark.parametrize(
    ("integral", "num_dims", "diagonal"),
    [("js", 16, False), ("kl", 512, False), ("kl", 512, True), ("js", 512, True)],
)
def test_many_dimensions(integral, num_dims, diagonal, key):
    """Two components each that differ along one direction, seen through a triangle: the truth is
    that of the line.
    """
    a = np.diag(np.diag(mixing_matrix(num_dims))) if diagonal else mixing_matrix(num_dims)
    pair = tuple(lifted(mixture, a) for mixture in SHARED_LINE)
    truth = resolved.integrals(*SHARED_LINE)[integral]
    log_densities = num_dims * 0.5 * math.log(2 * math.pi * math.e) + abs(np.log(np.diag(a)).sum())
    for dtype in DTYPES if num_dims == 512 else DTYPES[:1]:
        p, q = cast(dtype, *(without_off_diagonal(*pair) if diagonal else pair))
        result = jaxgmm.estimate(
            DERIVED[integral], key, p, q, rule=jaxgmm.Sobol(2**11), num_replicates=16
        )
        promised = 0 if dtype == np.float64 else 2e-7 * (2 + 2 * log_densities)
        bound = 6.5 * float(
            result.standard_error
        )  # as Student's t with 15 degrees of freedom has wide tails
        assert abs(float(result.value) - truth) < bound + promised
        assert bound < 3e-3


def test_gradient_in_many_dimensions(key):
    """In every parameter of the mixtures on the line, through the chain rule for the triangles of
    those in 16 dimensions.
    """
    a = jnp.asarray(mixing_matrix(16))

    def gradient(key, p, q, rule):
        def value(steps):
            return jaxgmm.kl_divergence(
                key, *(lifted(m, a) for m in resolved.moved(p, q, steps)), rule
            )

        return jax.grad(value)(jnp.zeros((6, 2)))

    exact, _ = resolved.derivatives("kl", *SHARED_LINE)
    assert_within(
        estimate(gradient, key, *SHARED_LINE, rule=jaxgmm.Sobol(2**12)), exact, catches=0.01
    )


def ill_conditioned(num_dims: int, condition_number: float, dtype) -> tuple[GMM, GMM]:
    """Two single Gaussians whose common directions have variances from 1 to 1 /
    condition_number.
    """
    rng = np.random.default_rng(num_dims)
    turn = np.linalg.qr(rng.normal(size=(num_dims, num_dims)))[0]
    factor = np.linalg.qr((turn * np.geomspace(1, condition_number**-0.5, num_dims)).T)[1].T
    factor = factor * np.sign(np.diag(factor))
    other = factor @ (
        np.eye(num_dims) + 0.3 / num_dims * np.tril(rng.normal(size=(num_dims, num_dims)))
    )
    rows, columns = np.tril_indices(num_dims, -1)

    def single(factor, mean):
        leaves = np.zeros(1), mean[None], np.log(np.diag(factor))[None], factor[None, rows, columns]
        return GMM(*(jnp.asarray(leaf, dtype) for leaf in leaves))

    return single(factor, np.zeros(num_dims)), single(other, factor @ np.full(num_dims, 0.5))


def test_condition_numbers():
    """To 1e12 in float64, where a digit is lost for every ten of the square root; to 1e4 in
    float32.
    """
    for dtype, condition_number, precision in (
        (np.float64, 1e4, 1e-12),
        (np.float64, 1e12, 1e-9),
        (np.float32, 1e4, 1e-5),
    ):
        p, q = ill_conditioned(16, condition_number, dtype)
        exact = digits.gaussian_kl(p, q)
        for value in (
            jaxgmm.gaussian_kl(p, q)[0, 0],
            jaxgmm.kl_divergence(None, p, q, jaxgmm.SigmaPoints()),
            jaxgmm.kl_moment_matched(p, q),
        ):
            np.testing.assert_allclose(value, exact, rtol=precision)

        # In the mean of q it is |W (mu_q - mu_p)|^2 / 2, with W = L_q^-1.
        def in_loc(loc, p=p, q=q):
            return jaxgmm.kl_divergence(
                None, p, dataclasses.replace(q, loc=loc[None]), jaxgmm.SigmaPoints()
            )

        factor, loc = np.asarray(q.scale_tril[0], np.float64), q.loc[0]
        gradient, hessian = (
            np.asarray(d(in_loc)(loc), np.float64) for d in (jax.grad, jax.hessian)
        )
        step = np.linalg.solve(factor, np.asarray(loc - p.loc[0], np.float64))
        np.testing.assert_allclose(factor.T @ gradient, step, rtol=100 * precision)
        inverse = np.linalg.inv(factor)
        np.testing.assert_allclose(
            hessian, inverse.T @ inverse, rtol=0, atol=100 * precision * np.abs(hessian).max()
        )


def test_a_thousand_components(key):
    """On the line, against the trapezoidal rule."""
    rng = np.random.default_rng(0)

    def many() -> GMM:
        return line(
            rng.dirichlet(np.ones(1000)), rng.uniform(-50, 50, 1000), rng.uniform(0.1, 0.3, 1000)
        )

    p, q = many(), many()
    x = np.arange(-60, 60, 0.02)
    log_p, log_q = (np.asarray(resolved.log_density(m, x, 0.0)) for m in (p, q))
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    kl = 0.02 * np.exp(log_p) @ (log_p - log_q)
    js = 0.01 * (np.exp(log_p) @ (log_p - log_m) + np.exp(log_q) @ (log_q - log_m))
    for divergence, truth in ((jaxgmm.kl_divergence, kl), (jaxgmm.js_divergence, js)):
        result = jaxgmm.estimate(divergence, key, p, q, rule=jaxgmm.Sobol(2**15), num_replicates=16)
        assert abs(result.value - truth) < 6.5 * result.standard_error < 0.02 * truth
    lower, upper = jaxgmm.kl_bounds(*without_off_diagonal(p, q))
    assert 0 <= lower <= kl <= upper


def test_far_apart_is_not_beyond(key):
    """Rounding of a sum over the points, in float32, puts no bounded divergence above its bound,
    whatever the weights.
    """
    log_2 = jnp.float32(math.log(2))

    @functools.partial(jax.jit, static_argnames="rule")
    def values(p, q, rule):
        functions = (jaxgmm.js_divergence, jaxgmm.total_variation, jaxgmm.hellinger_distance)
        return [fn(key, p, q, rule) for fn in functions]

    for k, rule in ((1, jaxgmm.Sobol(2**14)), (7, jaxgmm.MonteCarlo(10_000))):
        p = GMM(*(jnp.zeros(shape, np.float32) for shape in (k, (k, 1), (k, 1))), None)
        js, total_variation, hellinger = values(p, dataclasses.replace(p, loc=p.loc + 1e4), rule)
        assert 0.99999 * log_2 < js <= log_2
        assert 0.99999 < total_variation <= 1
        assert 0.99999 < hellinger <= 1


def test_second_derivatives_where_mixtures_agree(key):
    """At p = q they are the Fisher information: in the mean of one Gaussian its precision, or a
    quarter of it for JS.
    """
    p = GMM(jnp.zeros(1), jnp.zeros((1, 2)), jnp.asarray([[0.0, 0.5]]), jnp.asarray([[0.3]]))
    factor = np.asarray(p.scale_tril[0])

    def hessian(divergence):
        return jax.hessian(lambda loc: divergence(key, p, dataclasses.replace(p, loc=loc[None])))(
            p.loc[0]
        )

    for divergence, share in ((jaxgmm.kl_divergence, 1), (jaxgmm.js_divergence, 0.25)):
        np.testing.assert_allclose(
            factor.T @ hessian(divergence) @ factor, share * np.eye(2), atol=2e-3 * share
        )


@pytest.mark.parametrize("diagonal", [False, True])
def test_components_that_nearly_coincide(diagonal):
    """The exact divergence of single Gaussians keeps its digits down to 1e-16, and in float32;
    nothing falls below 0.
    """
    start = GMM(
        jnp.zeros(1),
        jnp.zeros((1, 3)),
        jnp.asarray([[0.0, 0.3, -0.2]]),
        jnp.asarray([[0.5, -0.3, 0.2]]),
    )
    p = dataclasses.replace(start, off_diag=jnp.zeros((1, 3))) if diagonal else start
    for step in (1.0, 0.1, 1e-3, 1e-5, 1e-8):
        q = dataclasses.replace(
            p,
            log_diag=p.log_diag + step * jnp.asarray([[1.0, 2.0, -1.0]]),
            off_diag=p.off_diag * (1 - step),
        )
        for dtype, precision in ((np.float64, 1e-12), (np.float32, 3e-6)):
            a, b = cast(dtype, p, q)
            exact = digits.gaussian_kl(a, b)
            a, b = without_off_diagonal(a, b) if diagonal else (a, b)
            np.testing.assert_allclose(
                jaxgmm.gaussian_kl(a, b), [[exact]], rtol=precision, err_msg=f"{step}"
            )
            # To first order, the Bhattacharyya distance is a quarter of it.
            assert 0 <= jaxgmm.bhattacharyya_distance(a, b)[0, 0] < 0.3 * exact + 2 * precision


WITHOUT_POINTS = (
    jaxgmm.gaussian_kl,
    jaxgmm.bhattacharyya_distance,
    jaxgmm.kl_variational,
    jaxgmm.kl_matched,
)


def test_beyond_the_range_of_floats(key):
    """1e20 standard deviations apart, whose square float32 cannot hold: what is infinite there is
    inf, and the rest is right.
    """
    p = GMM(jnp.zeros(1), jnp.zeros((1, 2)), jnp.full((1, 2), -30.0), jnp.zeros((1, 1)))
    (p,) = cast(np.float32, p)
    q = dataclasses.replace(p, loc=p.loc + 1e7)

    @jax.jit
    def values(p, q):
        infinite = (
            *(fn(key, p, q) for fn in (jaxgmm.kl_divergence, jaxgmm.cross_entropy)),
            *(fn(p, q) for fn in WITHOUT_POINTS),
            *(jaxgmm.kl_bounds(p, q)[1], jaxgmm.renyi_divergence(key, p, q, 2.0)),
        )
        log_2 = jaxgmm.js_divergence(key, p, q), *jaxgmm.js_bounds(p, q)
        log_2 = *log_2, jaxgmm.component_information(key, jaxgmm.mixture_of([p, q]))
        one = jaxgmm.total_variation(key, p, q), jaxgmm.hellinger_distance(key, p, q)
        return infinite, log_2, one, jaxgmm.renyi_divergence(key, p, q, 0.5)

    infinite, log_2, one, renyi = values(p, q)
    assert all(np.isposinf(value).all() for value in infinite)
    np.testing.assert_allclose(log_2, math.log(2), rtol=1e-5)
    assert one == (1, 1)
    assert renyi > 80  # which is what float32 holds of it
    with (
        jax.debug_nans(False),
        pytest.raises(FloatingPointError, match="the estimate is not finite"),
    ):
        jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q)
