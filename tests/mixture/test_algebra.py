"""Mixing, marginals, conditionals, affine maps, sums, products and stacks, against NumPy, SciPy and
quadrature.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import jaxgmm
from oracles import dense, quadrature
from support.algebra import MATRIX, SHIFT, X
from support.covariance_types import TYPES
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, read, typed


def assert_same(p: jaxgmm.GMM, expected: dense.Mixture, rtol: float = 1e-11) -> None:
    given = read(p)
    for field in ("weights", "means", "covariances"):
        np.testing.assert_allclose(
            getattr(given, field), getattr(expected, field), rtol=rtol, atol=rtol, err_msg=field
        )


def conditioned(mixture: dense.Mixture, seen: list[int], values: np.ndarray) -> dense.Mixture:
    """By the textbook's formula, with solves."""
    rest = [d for d in range(mixture.means.shape[1]) if d not in seen]
    log_weights, means, covariances = [], [], []
    for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        gain = np.linalg.solve(c[np.ix_(seen, seen)], c[np.ix_(seen, rest)]).T
        log_weights.append(
            np.log(w) + multivariate_normal(m[seen], c[np.ix_(seen, seen)]).logpdf(values)
        )
        means.append(m[rest] + gain @ (values - m[seen]))
        covariances.append(c[np.ix_(rest, rest)] - gain @ c[np.ix_(seen, rest)])
    return dense.Mixture(
        np.exp(log_weights - logsumexp(log_weights)), np.array(means), np.array(covariances)
    )


def of_pairs(p: dense.Mixture, q: dense.Mixture, entry) -> dense.Mixture:
    pairs = [(k, j) for k in range(len(p.weights)) for j in range(len(q.weights))]
    parts = [entry(p.means[k], p.covariances[k], q.means[j], q.covariances[j]) for k, j in pairs]
    factors, means, covariances = (np.array(part) for part in zip(*parts, strict=True))
    return dense.Mixture(np.outer(p.weights, q.weights).ravel() * factors, means, covariances)


def product_of_normals(m, a, n, b):
    precision = np.linalg.inv(a) + np.linalg.inv(b)
    mean = np.linalg.solve(precision, np.linalg.solve(a, m) + np.linalg.solve(b, n))
    return multivariate_normal(n, a + b).pdf(m), mean, np.linalg.inv(precision)


@pytest.mark.parametrize("covariance_type", first_by_default(TYPES))
def test_mixtures_of_one(covariance_type):
    """Marginals, conditionals, affine maps and moments of every covariance type, and the type of
    what comes out.
    """
    oracle, p = typed(1, 3, 3, covariance_type)
    narrow = jaxgmm.marginal(p, (2, -3))
    rows = [2, 0]
    assert narrow.covariance_type == covariance_type
    assert_same(
        narrow,
        dense.Mixture(
            oracle.weights, oracle.means[:, rows], oracle.covariances[:, rows][:, :, rows]
        ),
    )
    for dims in [(1,), (2, 0)]:
        values = np.array([0.7, -2.0])[: len(dims)]
        given = jaxgmm.condition(p, dims, values)
        assert_same(given, conditioned(oracle, list(dims), values))
        assert (given.off_diag is None) == (p.off_diag is None)
        assert len(given.log_diag) == len(p.log_diag)
    mapped = jaxgmm.affine(p, MATRIX, SHIFT)
    assert mapped.covariance_type == ("tied" if covariance_type == "tied" else "full")
    covariances = MATRIX @ oracle.covariances @ MATRIX.T
    assert_same(mapped, dense.Mixture(oracle.weights, oracle.means @ MATRIX.T + SHIFT, covariances))
    assert_same(
        jaxgmm.affine(p, MATRIX),
        dense.Mixture(oracle.weights, oracle.means @ MATRIX.T, covariances),
    )
    whole = dense.moment_matched(oracle)
    np.testing.assert_allclose(jaxgmm.mixture_mean(p), whole.means[0], rtol=1e-12)
    np.testing.assert_allclose(
        jaxgmm.mixture_covariance(p), whole.covariances[0], rtol=1e-11, atol=1e-12
    )


@jax.jit
def all_of_two(p, q):
    """As one program, which compiles faster than four."""
    both, log_normaliser = jaxgmm.product(p, q)
    densities = [jaxgmm.log_prob(m, X) for m in (both, p, q)]
    return (
        jaxgmm.mixture_of([p, q], jnp.array([0.25, 0.75])),
        jaxgmm.convolve(p, q),
        both,
        log_normaliser,
        densities,
    )


TYPED_PAIRS = [
    ("full", "full"),
    ("spherical", "full"),
    ("tied", "tied"),
    ("diag", "spherical"),
]


@pytest.mark.parametrize(("type_p", "type_q"), [*TYPED_PAIRS, ("spherical", "spherical")])
def test_mixtures_of_two(type_p, type_q):
    """Mixtures, sums and products of pairs of types."""
    (a, p), (b, q) = typed(1, 3, 3, type_p), typed(2, 2, 3, type_q)
    least = next(t for t in ("full", "tied", "diag", "spherical") if t in (type_p, type_q))
    mixture, total, both, log_normaliser, densities = all_of_two(p, q)
    assert mixture.covariance_type == ("full" if least == "tied" else least)
    assert_same(mixture, dense.concatenated((a, b), (0.25, 0.75)))
    pair_type = (
        "tied"
        if type_p == type_q == "tied"
        else "full"
        if p.off_diag is not None or q.off_diag is not None
        else least
    )
    assert total.covariance_type == pair_type
    assert_same(total, of_pairs(a, b, lambda m, c, n, e: (1.0, m + n, c + e)))
    assert both.covariance_type == pair_type
    expected = of_pairs(a, b, product_of_normals)
    np.testing.assert_allclose(log_normaliser, np.log(expected.weights.sum()), rtol=1e-11)
    assert_same(
        both,
        dataclasses.replace(expected, weights=expected.weights / expected.weights.sum()),
        1e-10,
    )
    np.testing.assert_allclose(
        densities[0], densities[1] + densities[2] - log_normaliser, rtol=1e-10
    )


def test_in_the_plane_by_quadrature():
    """p(x1 | x2) = p(x1, x2) / p(x2), with p(x2) the integral over x1; and log of the integral of p
    q.
    """
    a, b = PAIRS["plane"]
    line = np.linspace(-12, 12, 4001)[:, None]
    for value in (-1.5, 0.4, 6.0):
        joint = np.exp(a.log_prob(np.concatenate([line, np.full_like(line, value)], axis=1)))
        evidence = np.trapezoid(joint, line[:, 0])
        given = jaxgmm.condition(gmm(a), (1,), [value])
        np.testing.assert_allclose(
            np.exp(jaxgmm.log_prob(given, line)), joint / evidence, rtol=1e-9, atol=1e-14
        )
        np.testing.assert_allclose(
            np.exp(jaxgmm.log_prob(jaxgmm.marginal(gmm(a), [1]), [[value]]))[0],
            evidence,
            rtol=1e-10,
        )
    integral = quadrature.integral(lambda x: np.exp(a.log_prob(x) + b.log_prob(x)), a, b)
    np.testing.assert_allclose(jaxgmm.product(gmm(a), gmm(b))[1], np.log(integral), rtol=1e-10)
    # The sum at a point is the integral of p(x) q(z - x).
    z = np.array([1.0, 0.5])
    density = quadrature.integral(lambda x: np.exp(a.log_prob(x) + b.log_prob(z - x)), a)
    np.testing.assert_allclose(
        jaxgmm.log_prob(jaxgmm.convolve(gmm(a), gmm(b)), z), np.log(density), rtol=1e-10
    )


@pytest.mark.smoke
def test_the_midpoint_is_that_of_js(key):
    p, q = map(gmm, PAIRS["overlapping"])
    m = jaxgmm.mixture_of([p, q])
    halves = [jaxgmm.kl_divergence(None, a, m, jaxgmm.GaussHermite(300)) for a in (p, q)]
    np.testing.assert_allclose(np.mean(halves), quadrature.js(*PAIRS["overlapping"]), rtol=1e-8)


def test_far_values():
    """A million standard deviations off, where every density is 0 in floats, the weights and means
    are still right.
    """
    mixture = dense.mixture(
        [0.3, 0.7], [[0, 0], [1.5, 1]], [[[1, 0.6], [0.6, 1]], [[0.5, -0.2], [-0.2, 1.0]]]
    )
    given = jaxgmm.condition(gmm(mixture), (1,), [1e6])
    np.testing.assert_allclose(given.weights, [0, 1], atol=1e-300)
    np.testing.assert_allclose(
        given.means, conditioned(mixture, [1], np.array([1e6])).means, rtol=1e-12
    )
    # Equal variances: the ratio of the densities at v is exp(1 / 2 - v).
    np.testing.assert_allclose(
        given.logits[0] - given.logits[1], np.log(3 / 7) + 0.5 - 1e6, rtol=1e-9
    )
    far = jaxgmm.product(gmm(mixture), gmm(dataclasses.replace(mixture, means=mixture.means + 1e5)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(far))


def test_nested_scales():
    """A product keeps the digits of its narrow factor, and in float32 too."""
    wide = dense.mixture([1.0], [[1.0, 2.0]], [[[1e8, 3e7], [3e7, 2e8]]])
    thin = dense.mixture([1.0], [[3.0, -1.0]], [[[1.0, 0.5], [0.5, 2.0]]])
    for pair in ((wide, thin), (thin, wide)):
        expected = of_pairs(*pair, product_of_normals)
        for dtype, rtol in ((np.float64, 1e-11), (np.float32, 1e-5)):
            both, log_normaliser = jaxgmm.product(*(gmm(m, dtype) for m in pair))
            np.testing.assert_allclose(log_normaliser, np.log(expected.weights[0]), rtol=rtol)
            assert_same(both, dataclasses.replace(expected, weights=np.ones(1)), rtol)


def test_stacks_of_unlike_mixtures():
    """Densities stay what they are, and their gradients what they were, 0 for what was added."""
    pairs = [
        typed(seed, k, 3, t)
        for seed, (k, t) in enumerate([(3, "full"), (1, "tied"), (4, "diag"), (2, "spherical")])
    ]
    stacked = jaxgmm.stack([p for _, p in pairs])
    assert stacked.loc.shape == (4, 4, 3)
    values, gradients = jax.vmap(jax.value_and_grad(lambda p: jaxgmm.log_prob(p, X).sum()))(stacked)
    for i, (oracle, p) in enumerate(pairs):
        np.testing.assert_allclose(values[i], oracle.log_prob(X).sum(), rtol=1e-12)
        added = jax.tree.map(
            lambda leaf, i=i, p=p: np.asarray(leaf)[i, p.num_components :], gradients
        )
        assert all((leaf == 0).all() for leaf in jax.tree.leaves(added))
        assert np.abs(np.asarray(gradients.loc)[i]).max() > 0.1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    small = jaxgmm.stack([typed(seed, seed + 1, 3, "spherical")[1] for seed in range(2)])
    assert small.log_diag.shape == (2, 2, 1)
    assert small.off_diag is None
    tied = jaxgmm.stack([typed(seed, 3, 3, "tied")[1] for seed in range(2)])
    assert tied.off_diag.shape == (2, 1, 3)
    oracles = [typed(seed, 3, 3, "tied")[0] for seed in range(2)]
    assert_same(jaxgmm.mixture_of(tied), dense.concatenated(oracles, (0.5, 0.5)))
