import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm._divergence.bounds import _variational_bound
from oracles import approximations, bounds, dense, gaussians, many_lines, quadrature
from support.leaves import gradient_of, unconstrained
from support.mixtures import PAIRS, gmm, read, typed

pytestmark = pytest.mark.long

APPROXIMATIONS = {
    "kl_variational": approximations.kl_variational,
    "kl_product": approximations.kl_product,
    "kl_matched": approximations.kl_matched,
    "kl_moment_matched": lambda p, q: gaussians.kl(
        dense.moment_matched(p), dense.moment_matched(q)
    ),
}
BOUNDS = {
    "kl_bounds": bounds.kl,
    "entropy_bounds": lambda p, q: bounds.entropy(p),
    "js_bounds": bounds.js,
}


@jax.jit
def everything(p, q):
    """All of them, as one program; bounds as arrays (2,)."""
    values = {name: getattr(jaxgmm, name)(p, q) for name in APPROXIMATIONS}
    pairs = {
        "kl_bounds": jaxgmm.kl_bounds(p, q),
        "entropy_bounds": jaxgmm.entropy_bounds(p),
        "js_bounds": jaxgmm.js_bounds(p, q),
    }
    return values | {name: jnp.stack(pair) for name, pair in pairs.items()}


def total(p, q, cotangents):
    return sum(jnp.vdot(value, cotangents[name]) for name, value in everything(p, q).items())


gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
ONES = dict.fromkeys(APPROXIMATIONS, jnp.ones(())) | dict.fromkeys(BOUNDS, jnp.ones(2))


def all_finite(tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def test_published_values():
    p, q = map(gmm, PAIRS["overlapping"])
    values = everything(p, q)
    np.testing.assert_allclose(values["kl_variational"], 0.3080534029043, atol=1e-12)
    np.testing.assert_allclose(values["kl_product"], 0.1211667926, atol=1e-10)
    np.testing.assert_allclose(values["kl_moment_matched"], 0.0224322579159, atol=1e-12)
    np.testing.assert_allclose(values["kl_bounds"], [0, 0.3882883155283], atol=1e-12)
    np.testing.assert_allclose(
        jaxgmm.kl_divergence(None, p, q, jaxgmm.SigmaPoints()), -0.0258747993249, atol=1e-12
    )
    np.testing.assert_allclose(
        bounds.durrieu(*PAIRS["overlapping"]), [-0.1050016481, 0.5342218437], atol=1e-10
    )


def test_what_a_difference_of_bounds_may_come_to():
    """Less than 0, where the divergence is 0.106."""
    p = dense.mixture([0.5, 0.5], [[-1, 0], [1, 0]], [np.eye(2)] * 2)
    q = dense.mixture([1.0], [[0, 0]], [2 * np.eye(2)])
    np.testing.assert_allclose(quadrature.kl(p, q), 0.10631636021311, rtol=1e-11)
    np.testing.assert_allclose(jaxgmm.kl_variational(gmm(p), gmm(q)), -0.123072, atol=1e-6)


@pytest.mark.parametrize(
    ("d", "type_p", "type_q"),
    [(1, "full", "full"), (2, "tied", "diag"), (5, "full", "spherical"), (2, "diag", "diag")],
)
def test_against_dense_formulas(d, type_p, type_q):
    """By loops over dense matrices, and for the variational bound by a general optimiser."""
    pairs = [tuple(typed(seed, 2, d, t) for seed, t in ((1, type_p), (2, type_q)))]
    if d == 1:
        pairs = [
            tuple((m, gmm(m)) for m in PAIRS[name])
            for name in ("overlapping", "nested", "far", "unequal")
        ]
    for (p, gmm_p), (q, gmm_q) in pairs:
        values = everything(gmm_p, gmm_q)
        for name, truth in APPROXIMATIONS.items():
            np.testing.assert_allclose(
                values[name], truth(p, q), rtol=1e-9, atol=1e-12, err_msg=name
            )
        for name, truth in BOUNDS.items():
            np.testing.assert_allclose(
                values[name], truth(p, q), rtol=1e-8, atol=1e-9, err_msg=name
            )
        least, most = bounds.durrieu(p, q)
        assert values["kl_bounds"][0] >= least - 1e-12
        assert values["kl_bounds"][1] <= most + 1e-12


def test_gradients():
    """In every parameter, of every entry with a random cotangent, against differences of the dense
    formulas.
    """
    (_, p), (_, q) = typed(1, 2, 2, "diag"), typed(2, 2, 2, "diag")
    rng = np.random.default_rng(0)
    cotangents = {name: rng.normal(size=value.shape) for name, value in everything(p, q).items()}
    by_side = gradient(p, q, cotangents)

    def truth(a, b):
        return sum(
            np.vdot(fn(a, b), cotangents[name]) for name, fn in (APPROXIMATIONS | BOUNDS).items()
        )

    for side in (0, 1):
        for name, expected in gradient_of(truth, unconstrained(p), unconstrained(q), side).items():
            np.testing.assert_allclose(
                getattr(by_side[side], name), expected, rtol=1e-6, atol=1e-6, err_msg=name
            )


def test_edges():
    """Finite with finite gradients for p = q, coincident components, ones without weight, and 1e4
    standard deviations apart.
    """
    (_, p), (_, q) = typed(1, 2, 2, "diag"), typed(2, 2, 2, "diag")
    same = jax.tree.map(lambda leaf: leaf[jnp.array([0, 0])], p)
    dead = dataclasses.replace(p, logits=jnp.array([0.0, -jnp.inf]))
    far = dataclasses.replace(q, loc=q.loc + 1e4)
    for pair in (
        (p, p),
        (same, q),
        (q, same),
        (same, same),
        (dead, q),
        (q, dead),
        (dead, dead),
        (p, far),
        (far, p),
    ):
        values = everything(*pair)
        assert all_finite(values), pair
        assert all_finite(gradient(*pair, ONES)), pair
        assert all(values[name][0] <= values[name][1] for name in BOUNDS), pair
    values = everything(p, p)
    for name in ("kl_variational", "kl_product", "kl_matched", "kl_moment_matched"):
        np.testing.assert_allclose(values[name], 0, atol=1e-14, err_msg=name)
    np.testing.assert_allclose(values["kl_bounds"], 0, atol=1e-12)
    # One Gaussian, as a mixture with a dead component or of two halves.
    single = dense.mixture([1.0], p.loc[:1], [np.diag(p.covariances[0])])
    for one in (dead, same):
        np.testing.assert_allclose(
            everything(one, q)["entropy_bounds"], gaussians.entropies(single)[0], rtol=1e-12
        )


def test_128_dimensions():
    (_, p), (_, q) = typed(1, 2, 128, "diag"), typed(2, 2, 128, "diag")
    lower, upper = jaxgmm.kl_bounds(p, q)
    assert 0 < lower < upper < np.inf
    assert np.isfinite(jaxgmm.kl_moment_matched(p, q))


def test_a_shift_changes_nothing_in_float32():
    """A million standard deviations from the origin; whole numbers are exact there."""
    (p, _), (q, _) = typed(1, 2, 2, "full"), typed(2, 2, 2, "full")
    for mixture in (p, q):
        mixture.means = np.round(4 * mixture.means)
    shifted = [dataclasses.replace(mixture, means=mixture.means + 1e6) for mixture in (p, q)]
    for fn in (jaxgmm.kl_moment_matched, lambda p, q: jaxgmm.entropy_bounds(p), jaxgmm.kl_bounds):
        near, far = (
            jnp.stack(jax.tree.leaves(fn(gmm(a, np.float32), gmm(b, np.float32))))
            for a, b in ((p, q), shifted)
        )
        assert far.dtype == np.float32
        np.testing.assert_allclose(far, near, rtol=1e-4, atol=1e-5)


def random_lines(num_pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and scales (pairs, 2, 3): near and far, unequal and nested, some with p = q,
    some with one Gaussian each.
    """
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(3, 0.7), size=(num_pairs, 2))
    means = rng.normal(size=(num_pairs, 2, 3)) * np.exp(
        rng.uniform(-2, 1.2, size=(num_pairs, 1, 1))
    )
    scales = np.exp(rng.uniform(-1, 1, size=(num_pairs, 2, 3)))
    weights[:100, 1], means[:100, 1], scales[:100, 1] = (
        weights[:100, 0],
        means[:100, 0],
        scales[:100, 0],
    )
    weights[100:200] = [1.0, 0.0, 0.0]
    means[200:300, :, 1], scales[200:300, :, 1] = means[200:300, :, 0], scales[200:300, :, 0]
    return weights, means, scales


def test_bounds_hold():
    """lower <= truth <= upper for 2,000 pairs on the line, by quadrature, to within its
    rounding.
    """
    weights, means, scales = random_lines(2200)
    truths, rough = (
        many_lines.integrals(weights, means, scales),
        many_lines.integrals(weights, means, scales, order=12),
    )
    certain = np.all([np.abs(truths[name] - rough[name]) < 1e-11 for name in truths], axis=0)
    assert certain.sum() > 2000

    @jax.jit
    @jax.vmap
    def bounds_of(logits, loc, log_diag):
        p, q = (jaxgmm.GMM(logits[i], loc[i][:, None], log_diag[i][:, None], None) for i in (0, 1))
        return {
            "kl": jaxgmm.kl_bounds(p, q),
            "js": jaxgmm.js_bounds(p, q),
            "entropy": jaxgmm.entropy_bounds(p),
        }

    with np.errstate(divide="ignore"):
        found = bounds_of(np.log(weights), means, np.log(scales))
    for name, (lower, upper) in found.items():
        truth, rounding = truths[name], 1e-11
        assert np.all((lower <= truth + rounding) | ~certain), name
        assert np.all((truth <= upper + rounding) | ~certain), name
        # Some are tight enough for a formula that is wrong to be seen.
        assert np.quantile((upper - lower)[certain], 0.05) < 0.02, name
        assert np.quantile((truth - lower)[certain], 0.05) < 0.02, name


def test_the_variational_bound_holds_before_it_is_reached(monkeypatch):
    """After one step it is a bound as well, below the mean of all divergences, where it starts, and
    above the best.
    """
    p, q = PAIRS["overlapping"]
    kls = gaussians.table(gaussians.kl, p, q)
    best = _variational_bound(np.log(p.weights), np.log(q.weights), jnp.asarray(kls))
    monkeypatch.setattr("jaxgmm._divergence.bounds.MAX_ALTERNATIONS", 1)
    first = _variational_bound(np.log(p.weights), np.log(q.weights), jnp.asarray(kls))
    assert quadrature.kl(p, q) < best < first < p.weights @ kls @ q.weights


def test_what_it_refuses():
    p, q = typed(1, 2, 2, "full")[1], typed(1, 2, 1, "full")[1]
    for fn in (
        jaxgmm.kl_bounds,
        jaxgmm.js_bounds,
        *(getattr(jaxgmm, name) for name in APPROXIMATIONS),
    ):
        with pytest.raises(ValueError, match="both must live in one space"):
            fn(p, q)
    with pytest.raises(TypeError, match=r"p must be a jaxgmm\.GMM, got NoneType"):
        jaxgmm.entropy_bounds(None)


def test_two_moments_may_tell_nothing():
    p = dense.mixture([0.5, 0.5], [-4, 4], [0.05, 0.05])
    q = dense.mixture([1.0], [0], [16.05])
    assert abs(jaxgmm.kl_moment_matched(gmm(p), gmm(q))) < 1e-12
    assert quadrature.kl(p, q) > 1


def as_oracles(gmms) -> list[dense.Mixture]:
    leaves = (np.asarray(leaf, float) for leaf in jax.tree.leaves(gmms))
    return [read(jaxgmm.GMM(*of_one)) for of_one in zip(*leaves, strict=True)]


@pytest.mark.parametrize("num_dims", [2, 16])
def test_bounds_hold_to_rounding_in_float32(num_dims):
    """Where they are equal to the truth: of one Gaussian, on both sides of it."""
    pairs = [[typed(seed + i, 1, num_dims, "full")[1] for i in (0, 100)] for seed in range(30)]
    stacked = [jaxgmm.stack(gmms) for gmms in zip(*pairs, strict=True)]
    p, q = jax.tree.map(lambda leaf: leaf.astype(np.float32), stacked)
    upper_kl = np.asarray(jax.vmap(jaxgmm.kl_bounds)(p, q)[1], float)
    of_entropy = np.asarray(jax.vmap(jaxgmm.entropy_bounds)(p), float)
    kl = np.array([gaussians.kl(*pair) for pair in zip(as_oracles(p), as_oracles(q), strict=True)])
    entropy = np.array([gaussians.entropies(single)[0] for single in as_oracles(p)])
    size = np.maximum(1, np.maximum(np.abs(entropy), kl))
    assert np.all(upper_kl >= kl - 5e-7 * size)
    assert np.all(of_entropy[0] <= entropy + 5e-7 * size)
    assert np.all(of_entropy[1] >= entropy - 5e-7 * size)
    # Without an allowance for rounding they would not hold.
    assert np.any(upper_kl < kl)
    assert np.any(of_entropy[0] > entropy)
