"""The ELBO of mixtures for targets that are no mixtures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

import jaxgmm
from oracles import dense
from support.mixtures import gmm, random_mixture

RULE = jaxgmm.Sobol(2**12)


def banana(x):
    """A log-density with normalising constant 3."""
    logs = jax.scipy.stats.norm.logpdf
    return math.log(3) + logs(x[:, 0]) + logs(x[:, 1], x[:, 0] ** 2, 0.5)


def by_quadrature(q) -> float:
    """E_q[log f - log q] in the plane, in NumPy and SciPy alone."""

    def integrand(y, x):
        point = np.array([[x, y]])
        log_f = math.log(3) + stats.norm.logpdf(x) + stats.norm.logpdf(y, x**2, 0.5)
        log_q = q.log_prob(point)[0]
        return math.exp(log_q) * (log_f - log_q)

    centre, reach = q.means[0], 9 * np.sqrt(np.diagonal(q.covariances[0]))
    (a, c), (b, d) = centre - reach, centre + reach
    return integrate.dblquad(integrand, a, b, c, d, epsabs=1e-8, epsrel=1e-8)[0]


def test_by_quadrature(key):
    q = dense.mixture([1.0], [[0.5, 0.3]], [[[0.5, 0.2], [0.2, 0.4]]])
    result = jaxgmm.estimate(jaxgmm.elbo, key, gmm(q), target=banana, rule=RULE)
    assert abs(result.value - by_quadrature(q)) < 5 * result.standard_error < 0.05


@pytest.mark.long
def test_it_is_the_evidence_less_a_divergence(key):
    """log Z - KL(q || f / Z), for f a mixture times 7."""
    p, q = gmm(random_mixture(0, 3, 2)), gmm(random_mixture(1, 2, 2))

    def target(x):
        return math.log(7) + jaxgmm.log_prob(p, x)

    value = jaxgmm.estimate(jaxgmm.elbo, key, q, target=target, rule=RULE)
    kl = jaxgmm.estimate(jaxgmm.kl_divergence, key, q, p, rule=RULE)
    error = math.hypot(value.standard_error, kl.standard_error)
    assert abs(value.value - (math.log(7) - kl.value)) < 5 * error < 0.05
    assert jaxgmm.elbo(key, p, target, RULE) == pytest.approx(math.log(7), abs=1e-12)


def test_both_gradients_are_those_of_the_value(key):
    """In every leaf, from means over keys of the path gradient and of the plain one."""
    q, keys = gmm(random_mixture(1, 2, 2)), jax.random.split(key, 32)

    def gradients(path_gradient):
        def value(q, key):
            return jaxgmm.elbo(key, q, banana, jaxgmm.Sobol(256), path_gradient=path_gradient)

        return jax.jit(lambda keys: jax.lax.map(lambda key: jax.grad(value)(q, key), keys))(keys)

    for path, plain in zip(*map(jax.tree.leaves, map(gradients, (True, False))), strict=True):
        error = np.sqrt((path.var(0, ddof=1) + plain.var(0, ddof=1)) / len(keys))
        difference = np.abs(path.mean(0) - plain.mean(0))
        assert (difference < 5 * error + 1e-12).all()
        assert (error < 0.1 * np.abs(plain.mean(0)).max() + 1e-12).all()


def test_the_path_gradient_vanishes_at_the_target(key):
    p = gmm(random_mixture(0, 3, 2))
    gradient = jax.grad(lambda q: jaxgmm.elbo(key, q, jaxgmm.log_density(p), RULE))(p)
    assert all(jnp.abs(leaf).max() < 1e-12 for leaf in jax.tree.leaves(gradient))


def test_what_is_wrong_with_a_target_is_named(key):
    q = gmm(random_mixture(0, 3, 2))
    for target in (lambda x: x, lambda x: x.sum(), lambda x: None, lambda x: [x[:, 0]]):
        with pytest.raises(TypeError, match=r"target must map points \(n, D\) to \(n,\)"):
            jaxgmm.elbo(key, q, target, RULE)


@pytest.mark.usefixtures("as_optax_needs_it")
def test_fits_to_a_target_reach_its_evidence(key):
    """The best Gaussian for a Gaussian times 7 is that Gaussian, with an ELBO of log 7."""
    p = gmm(dense.mixture([1.0], [[1.0, -2.0]], [[[0.5, 0.2], [0.2, 0.4]]]))

    def target(x):
        return math.log(7) + jaxgmm.log_prob(p, x)

    loss = jaxgmm.reverse_kl_loss(target, jaxgmm.Sobol(64))
    start = gmm(dense.mixture([1.0], [[0.0, 0.0]], [np.eye(2)]))
    result = jaxgmm.fit(key, loss, start, optax.adam(0.05), 400)
    assert -result.losses[-1] == pytest.approx(math.log(7), abs=1e-3)
    np.testing.assert_allclose(result.params.means, p.means, atol=1e-2)
    np.testing.assert_allclose(result.params.covariances, p.covariances, atol=1e-2)


def test_a_target_is_a_mixture_or_a_function():
    with pytest.raises(TypeError, match="p must be a jaxgmm"):
        jaxgmm.reverse_kl_loss(3)
