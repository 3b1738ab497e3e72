import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import jaxgmm
from oracles import dense, differences, distances, gaussians, quadrature
from support.leaves import gradient_of, unconstrained
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, typed

BANDWIDTH = 1.3
EXACT = {
    "gaussian_kl": (jaxgmm.gaussian_kl, functools.partial(gaussians.table, gaussians.kl)),
    "bhattacharyya": (
        jaxgmm.bhattacharyya_distance,
        functools.partial(gaussians.table, gaussians.bhattacharyya),
    ),
    "wasserstein": (
        jaxgmm.gaussian_wasserstein_squared,
        functools.partial(gaussians.table, gaussians.wasserstein_squared),
    ),
    "l2": (lambda p, q: jaxgmm.l2_distance(p, q) ** 2, distances.squared_l2),
    "log_l2": (
        lambda p, q: 2 * jaxgmm.log_l2_distance(p, q),
        lambda p, q: np.log(distances.squared_l2(p, q)),
    ),
    "cauchy_schwarz": (jaxgmm.cauchy_schwarz_divergence, distances.cauchy_schwarz),
    "mmd": (
        lambda p, q: jaxgmm.mmd(p, q, BANDWIDTH) ** 2,
        lambda p, q: distances.squared_mmd(p, q, BANDWIDTH),
    ),
}
GAUSSIANS = ("gaussian_kl", "bhattacharyya", "wasserstein")


@jax.jit
def exact(p, q):
    """All of them, as one program."""
    return {name: fn(p, q) for name, (fn, _) in EXACT.items()}


def total(p, q, cotangents):
    return sum(
        jnp.vdot(value, cotangents[name])
        for name, value in exact(p, q).items()
        if name in cotangents
    )


gradient = jax.jit(jax.grad(total, argnums=(0, 1)))


TYPED_PAIRS = [
    (1, "full", "spherical"),
    (2, "full", "full"),
    (2, "tied", "tied"),
    (2, "diag", "spherical"),
    (5, "full", "tied"),
    (5, "diag", "diag"),
]


@pytest.mark.parametrize("case", first_by_default(TYPED_PAIRS, 2))
def test_against_dense_formulas(case):
    d, type_p, type_q = case
    """In every covariance type, by loops over dense matrices."""
    (p, gmm_p), (q, gmm_q) = typed(1, 3, d, type_p), typed(2, 3, d, type_q)
    for name, value in exact(gmm_p, gmm_q).items():
        np.testing.assert_allclose(value, EXACT[name][1](p, q), rtol=1e-10, err_msg=name)


@pytest.mark.smoke
def test_published_values():
    p, q = map(gmm, PAIRS["overlapping"])
    np.testing.assert_allclose(jaxgmm.l2_distance(p, q) ** 2, 0.0306018795, atol=1e-10)
    np.testing.assert_allclose(jaxgmm.cauchy_schwarz_divergence(p, q), 0.0780090701, atol=1e-10)


@pytest.mark.parametrize("pair", ["overlapping", "nested", "unequal", "plane"])
def test_against_quadrature(pair):
    """By the integrals that define them, on the line and in the plane."""
    p, q = PAIRS[pair]
    values = exact(*map(gmm, (p, q)))

    def product(a, b, power=1.0):
        return quadrature.integral(lambda x: np.exp(power * (a.log_prob(x) + b.log_prob(x))), p, q)

    squared = quadrature.integral(
        lambda x: (np.exp(p.log_prob(x)) - np.exp(q.log_prob(x))) ** 2, p, q
    )
    np.testing.assert_allclose(values["l2"], squared, rtol=1e-10)
    cosine = product(p, q) / np.sqrt(product(p, p) * product(q, q))
    np.testing.assert_allclose(values["cauchy_schwarz"], -np.log(cosine), rtol=1e-10)
    entropy = jaxgmm.quadratic_renyi_entropy(gmm(p))
    np.testing.assert_allclose(entropy, -np.log(product(p, p)), rtol=1e-10, atol=1e-12)
    affinity = gaussians.table(lambda a, b: product(a, b, 0.5), p, q)
    np.testing.assert_allclose(values["bhattacharyya"], -np.log(affinity), rtol=1e-10, atol=1e-10)
    # Between one convolution each with a kernel half as wide in variance, MMD is the L2 distance
    # but for the kernel's scale.
    d = p.means.shape[1]
    wide = [
        dense.Mixture(m.weights, m.means, m.covariances + BANDWIDTH**2 / 2 * np.eye(d))
        for m in (p, q)
    ]
    squared = quadrature.integral(
        lambda x: (np.exp(wide[0].log_prob(x)) - np.exp(wide[1].log_prob(x))) ** 2, *wide
    )
    np.testing.assert_allclose(
        values["mmd"], (2 * np.pi * BANDWIDTH**2) ** (d / 2) * squared, rtol=1e-9
    )


def test_gradients():
    """In every parameter, of every entry with a random cotangent, against differences of the dense
    formulas.
    """
    (_, p), (_, q) = typed(1, 3, 2, "full"), typed(2, 3, 2, "full")
    rng = np.random.default_rng(0)
    cotangents = {name: rng.normal(size=value.shape) for name, value in exact(p, q).items()}
    by_side = gradient(p, q, cotangents)

    def truth(a, b):
        return sum(np.vdot(EXACT[name][1](a, b), cotangents[name]) for name in cotangents)

    for side in (0, 1):
        numerical = gradient_of(truth, unconstrained(p), unconstrained(q), side)
        for name, expected in numerical.items():
            np.testing.assert_allclose(
                getattr(by_side[side], name), expected, rtol=1e-7, atol=1e-7, err_msg=name
            )


def test_gradient_in_the_bandwidth():
    (a, p), (b, q) = typed(1, 3, 2, "full"), typed(2, 3, 2, "full")
    squared = jax.grad(lambda h: jaxgmm.mmd(p, q, h) ** 2)(BANDWIDTH)
    numerical = differences.gradient(
        lambda h: distances.squared_mmd(a, b, float(h)), np.array(BANDWIDTH)
    )
    np.testing.assert_allclose(squared, numerical, rtol=1e-8)


def test_second_derivatives_of_the_wasserstein_distance():
    """In forward mode over the gradient, through the iteration for the orthogonal factor."""
    (_, p), (_, q) = typed(1, 1, 2, "full"), typed(2, 1, 2, "full")

    def replaced(vector):
        return dataclasses.replace(p, log_diag=vector[None, :2], off_diag=vector[None, 2:])

    def truth(vector):
        leaves = unconstrained(replaced(vector))
        return gaussians.wasserstein_squared(
            dense.from_unconstrained(**leaves), dense.from_unconstrained(**unconstrained(q))
        )

    start = np.concatenate([p.log_diag[0], p.off_diag[0]])
    hessian = jax.hessian(
        lambda vector: jaxgmm.gaussian_wasserstein_squared(replaced(vector), q)[0, 0]
    )(start)
    np.testing.assert_allclose(hessian, differences.hessian(truth, start), rtol=1e-6, atol=1e-7)


def test_a_mixture_and_itself():
    """What is 0 there is 0 and has the gradient 0; the kinks of distances are not NaN."""
    _, p = typed(1, 3, 2, "full")
    values = exact(p, p)
    for name in GAUSSIANS:
        np.testing.assert_allclose(np.diagonal(values[name]), 0, atol=1e-14, err_msg=name)
    for name in ("l2", "cauchy_schwarz", "mmd"):
        assert 0 <= values[name] < 1e-14, name
        cotangents = {
            other: jnp.full(value.shape, float(other == name))
            for other, value in values.items()
            if other != "log_l2"
        }
        for leaf in jax.tree.leaves(gradient(p, p, cotangents | {"log_l2": jnp.zeros(())})):
            np.testing.assert_allclose(leaf, 0, atol=1e-14, err_msg=name)
    assert all(
        np.isfinite(leaf).all()
        for leaf in jax.tree.leaves(
            gradient(p, p, {k: jnp.ones(v.shape) for k, v in values.items()})
        )
    )
    assert jaxgmm.l2_distance(p, p) < 1e-7
    assert all(
        np.isfinite(leaf).all()
        for leaf in jax.tree.leaves(jax.jit(jax.grad(jaxgmm.l2_distance))(p, p))
    )


def test_small_distances_keep_their_digits():
    """Between components that differ in the seventh digit, KL, about 1e-13, has six right digits or
    more: nothing cancels.
    """
    _, p = typed(1, 3, 2, "full")
    q = dataclasses.replace(p, loc=p.loc + 1e-7, log_diag=p.log_diag + 2e-7)
    inverse = np.linalg.inv(p.scale_tril)
    below = np.tril(inverse @ np.asarray(q.scale_tril), -1)
    # To second order: log-scales that differ by e give e^2 each, and what is below the diagonal of
    # W_p L_q half of its square.
    moved = np.einsum("kij,kj->ki", inverse, np.full((3, 2), 1e-7))
    second = 2 * (2e-7) ** 2 + 0.5 * (below**2).sum((1, 2)) + 0.5 * (moved**2).sum(1)
    np.testing.assert_allclose(np.diagonal(exact(p, q)["gaussian_kl"]), second, rtol=1e-6)


def test_metrics():
    """Symmetric, and the triangle inequality holds for what is called a metric."""
    mixtures = [typed(seed, 3, 2, "full")[1] for seed in range(6)]
    values = {(i, j): exact(a, b) for i, a in enumerate(mixtures) for j, b in enumerate(mixtures)}
    for i in range(6):
        for j in range(6):
            for name in set(EXACT) - {"gaussian_kl"}:
                there, back = values[i, j][name], values[j, i][name]
                if i != j:
                    np.testing.assert_allclose(there, np.transpose(back), rtol=1e-11, err_msg=name)
            for k in range(6):
                for name in ("l2", "mmd"):
                    first, second, direct = (
                        np.sqrt(values[pair][name]) for pair in ((i, j), (j, k), (i, k))
                    )
                    assert direct <= first + second + 1e-7, name
                first, second, direct = (
                    np.sqrt(values[pair]["wasserstein"]) for pair in ((i, j), (j, k), (i, k))
                )
                assert (direct[:, None] <= first[:, :, None] + second[None] + 1e-12).all()


def test_coincident_components_and_components_without_weight():
    """A component in two halves changes nothing, nor does one without weight in place of the second
    half.
    """
    (_, p), (_, q) = typed(1, 3, 2, "full"), typed(2, 3, 2, "full")
    rows = jnp.array([0, 1, 1])
    halves = jax.tree.map(lambda leaf: leaf[rows], p)
    halves = dataclasses.replace(halves, logits=halves.logits - jnp.log(jnp.array([1.0, 2.0, 2.0])))
    dead = dataclasses.replace(p, logits=jnp.array([p.logits[0], p.logits[1], -jnp.inf]))
    values = exact(halves, q)
    ones = {name: jnp.ones(value.shape) for name, value in values.items()}
    for name in set(EXACT) - set(GAUSSIANS):
        np.testing.assert_allclose(exact(dead, q)[name], values[name], rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(
            exact(q, dead)[name], exact(q, halves)[name], rtol=1e-12, err_msg=name
        )
    for pair in ((halves, q), (q, halves), (halves, halves), (dead, q), (q, dead), (dead, dead)):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(*pair, ones))), pair


def test_ten_thousand_standard_deviations_apart():
    (p, gmm_p), (q, _) = typed(1, 3, 2, "full"), typed(2, 3, 2, "full")
    q.means += 1e4
    values = exact(gmm_p, gmm(q))
    for name in (*GAUSSIANS, "l2", "log_l2"):
        np.testing.assert_allclose(values[name], EXACT[name][1](p, q), rtol=1e-10, err_msg=name)
    log_pq = gaussians.table(gaussians.log_overlap, p, q) + np.log(np.outer(p.weights, q.weights))
    expected = 0.5 * np.log(distances.inner(p, p) * distances.inner(q, q)) - np.logaddexp.reduce(
        log_pq, axis=None
    )
    np.testing.assert_allclose(values["cauchy_schwarz"], expected, rtol=1e-10)
    ones = {name: jnp.ones(value.shape) for name, value in values.items()}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(gmm_p, gmm(q), ones)))


@pytest.mark.parametrize("covariance_type", first_by_default(["diag", "full"]))
def test_128_dimensions(covariance_type):
    """Densities leave the range of float32 there, and their logarithms do not."""
    (p, gmm_p), (q, gmm_q) = typed(1, 2, 128, covariance_type), typed(2, 2, 128, covariance_type)
    for name in GAUSSIANS:
        np.testing.assert_allclose(
            EXACT[name][0](gmm_p, gmm_q), EXACT[name][1](p, q), rtol=1e-10, err_msg=name
        )
    log_products = [
        logsumexp(gaussians.table(gaussians.log_overlap, a, b), b=np.outer(a.weights, b.weights))
        for a, b in ((p, p), (q, q), (p, q))
    ]
    expected = 0.5 * (log_products[0] + log_products[1]) - log_products[2]
    np.testing.assert_allclose(jaxgmm.cauchy_schwarz_divergence(gmm_p, gmm_q), expected, rtol=1e-10)
    gradients = jax.jit(jax.grad(jaxgmm.cauchy_schwarz_divergence, argnums=(0, 1)))(gmm_p, gmm_q)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    narrow = [jax.tree.map(lambda leaf: leaf.astype(np.float32), m) for m in (gmm_p, gmm_q)]
    log_distance = jaxgmm.log_l2_distance(*narrow)
    assert log_distance.dtype == np.float32
    np.testing.assert_allclose(
        2 * log_distance, np.logaddexp(*log_products[:2]), rtol=1e-5
    )  # they hardly overlap
