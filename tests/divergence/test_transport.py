"""The mixture Wasserstein distance, against matching by hand, a linear programme of its own, and
quantiles.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import norm

import jaxgmm
from oracles import dense, gaussians
from support.leaves import LEAVES, gradient_of, unconstrained
from support.mixtures import PAIRS, gmm, stack, typed
from support.units import cast, in_units


def linear_programme(costs: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The least cost, over plans written as free variables with inequalities x >= 0, without the
    last, redundant constraint.
    """
    k, j = costs.shape
    sums = [np.eye(k)[i][:, None] * np.ones((k, j)) for i in range(k)] + [
        np.eye(j)[i][None] * np.ones((k, j)) for i in range(j)
    ]
    constraints = np.array([s.ravel() for s in sums])[:-1]
    return linprog(
        costs.ravel(), A_eq=constraints, b_eq=np.concatenate([a, b])[:-1], method="highs-ds"
    ).fun


def squared_mw2(p: dense.Mixture, q: dense.Mixture) -> float:
    return linear_programme(
        gaussians.table(gaussians.wasserstein_squared, p, q), p.weights, q.weights
    )


def w2_on_the_line(p: dense.Mixture, q: dense.Mixture) -> float:
    """From both quantile functions, on a grid of the unit interval that is fine at its ends."""
    u = norm.cdf(np.linspace(-7, 7, 4001))
    x = np.linspace(-40, 40, 400_001)
    quantiles = [
        np.interp(u, m.weights @ norm.cdf(x[None], m.means, np.sqrt(m.covariances[:, 0])), x)
        for m in (p, q)
    ]
    return math.sqrt(np.trapezoid((quantiles[0] - quantiles[1]) ** 2, u))


RETURN_PLAN = functools.partial(jaxgmm.mixture_wasserstein, return_plan=True)
TYPED = [("full", "full"), ("tied", "spherical"), ("diag", "diag")]


@pytest.mark.parametrize(("type_p", "type_q"), TYPED)
def test_values(type_p, type_q):
    for seed in range(4):
        (a, p), (b, q) = typed(seed, 4, 3, type_p), typed(seed + 9, 3, 3, type_q)
        np.testing.assert_allclose(
            jaxgmm.mixture_wasserstein(p, q), math.sqrt(squared_mw2(a, b)), rtol=1e-9
        )


def test_plans():
    """Their sums are the weights, and their cost is that of scipy's solver."""
    (a, p), (b, q) = typed(1, 4, 3, "full"), typed(2, 3, 3, "full")
    distance, plan = jaxgmm.mixture_wasserstein(p, q, return_plan=True)
    assert plan.shape == (4, 3)
    assert plan.min() >= -1e-12
    np.testing.assert_allclose(plan.sum(1), a.weights, atol=1e-10)
    np.testing.assert_allclose(plan.sum(0), b.weights, atol=1e-10)
    costs = gaussians.table(gaussians.wasserstein_squared, a, b)
    np.testing.assert_allclose(np.vdot(plan, costs), squared_mw2(a, b), rtol=1e-9)
    np.testing.assert_allclose(np.vdot(plan, costs), distance**2, rtol=1e-9)
    np.testing.assert_allclose(distance, jaxgmm.mixture_wasserstein(p, q), rtol=1e-12)
    there_and_back = jaxgmm.pairwise(RETURN_PLAN, None, [p, q, p])[1]
    for i, j in ((0, 1), (1, 0)):
        pair = (p, q)[i], (p, q)[j]
        expected = jaxgmm.mixture_wasserstein(*pair, return_plan=True)[1]
        rows, columns = expected.shape
        np.testing.assert_allclose(there_and_back[i, j, :rows, :columns], expected, atol=1e-8)
    slope = jax.grad(lambda p: jaxgmm.mixture_wasserstein(p, q, return_plan=True)[1].sum())(p)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("c", [1e10, 1e-10, 1e18, 1e-18])
def test_units_in_float32(c):
    """At which squares, or fourth powers, of distances leave its range."""
    (a, p), (b, q) = typed(1, 3, 2, "full"), typed(2, 3, 2, "diag")
    pair = [cast(in_units(m, np.array([c, c])), np.float32) for m in (p, q)]
    distance = jaxgmm.mixture_wasserstein(*pair) / np.float32(c)
    np.testing.assert_allclose(distance, math.sqrt(squared_mw2(a, b)), rtol=1e-5)
    squares = np.asarray(jaxgmm.gaussian_wasserstein_squared(*pair), float) / c**2
    truth = gaussians.table(gaussians.wasserstein_squared, a, b)
    np.testing.assert_allclose(squares, truth, rtol=1e-5)


@pytest.mark.smoke
def test_equal_weights_on_the_line_are_matched_in_order():
    rng = np.random.default_rng(0)
    means, other = rng.normal(size=(2, 6, 1))
    p, q = (
        jaxgmm.GMM.from_moments(np.full(6, 1 / 6), m, np.full(6, 0.25), "spherical")
        for m in (means, other + 1.0)
    )
    by_hand = math.sqrt(np.mean((np.sort(means[:, 0]) - np.sort(other[:, 0] + 1.0)) ** 2))
    np.testing.assert_allclose(jaxgmm.mixture_wasserstein(p, q), by_hand, rtol=1e-12)


def test_it_bounds_the_wasserstein_distance():
    """And is equal to it between single Gaussians, which shows that the quantiles are right."""
    for name in ("overlapping", "nested", "far", "unequal"):
        p, q = PAIRS[name]
        assert jaxgmm.mixture_wasserstein(gmm(p), gmm(q)) >= w2_on_the_line(p, q) - 1e-4, name
    p, q = (dense.mixture([1.0], [m], [v]) for m, v in ((0, 1), (2, 4)))
    np.testing.assert_allclose(w2_on_the_line(p, q), math.sqrt(5), rtol=1e-4)
    np.testing.assert_allclose(jaxgmm.mixture_wasserstein(gmm(p), gmm(q)), math.sqrt(5), rtol=1e-12)


def test_metric():
    mixtures = [typed(seed, 3, 2, "full")[1] for seed in range(5)]
    d = np.array([[jaxgmm.mixture_wasserstein(p, q) for q in mixtures] for p in mixtures])
    np.testing.assert_allclose(d, d.T, atol=1e-7)
    np.testing.assert_allclose(np.diagonal(d), 0, atol=1e-7)
    assert (d[:, None] <= d[:, :, None] + d[None] + 1e-7).all()
    assert d[np.triu_indices(5, 1)].min() > 0.1
    rows = np.array([2, 0, 1])
    permuted = jax.tree.map(lambda leaf: leaf[rows], mixtures[0])
    np.testing.assert_allclose(jaxgmm.mixture_wasserstein(mixtures[0], permuted), 0, atol=1e-7)


def test_shifts_and_scales():
    """A shift c of one of them adds |c|^2 at a distance, whatever its size; far pairs do not swamp
    near ones.
    """
    (_, p), (_, q) = typed(1, 4, 2, "full"), typed(2, 4, 2, "full")
    q = dataclasses.replace(q, loc=q.loc + ((p.weights @ p.loc) - (q.weights @ q.loc))[None])
    base = jaxgmm.mixture_wasserstein(p, q) ** 2
    for size in (1.0, 1e3, 1e5):
        moved = jaxgmm.mixture_wasserstein(p, dataclasses.replace(q, loc=q.loc + size)) ** 2
        np.testing.assert_allclose(moved, base + 2 * size**2, rtol=1e-10)
    # Between means that are a million apart, all plans cost 1e12 and more, and the best differ by
    # 1: its plan stays the best.
    exact = squared(p, q)[1][1].logits
    far = squared(p, dataclasses.replace(q, loc=q.loc + 1e6))[1][1].logits
    offsets = 2e6 * q.weights * (q.loc.sum(1) - q.weights @ q.loc.sum(1))
    np.testing.assert_allclose(far - offsets, exact, atol=1e-3)
    tiny, fine = (
        dataclasses.replace(
            m, loc=1e-6 * m.loc, log_diag=m.log_diag + np.log(1e-6), off_diag=1e-6 * m.off_diag
        )
        for m in (p, q)
    )
    np.testing.assert_allclose(jaxgmm.mixture_wasserstein(tiny, fine) ** 2, 1e-12 * base, rtol=1e-8)


squared = jax.jit(
    jax.value_and_grad(lambda p, q: jaxgmm.mixture_wasserstein(p, q) ** 2, argnums=(0, 1))
)


@pytest.mark.parametrize("power", [1, 2])
def test_gradients(power):
    """In every parameter of both, the weights included, against differences of the linear
    programme.
    """
    mixtures = typed(1, 4, 2, "full")[1], typed(2, 3, 2, "full")[1]
    leaves = [unconstrained(mixture) for mixture in mixtures]
    gradients = jax.grad(lambda p, q: jaxgmm.mixture_wasserstein(p, q) ** power, argnums=(0, 1))(
        *mixtures
    )
    for side in (0, 1):
        exact = gradient_of(lambda p, q: squared_mw2(p, q) ** (power / 2), *leaves, side)
        for name in LEAVES:
            np.testing.assert_allclose(
                getattr(gradients[side], name), exact[name], rtol=1e-6, atol=1e-8, err_msg=name
            )
            assert np.abs(exact[name]).max() > 1e-2


def test_edges():
    """No NaN between a mixture and itself, nor with components without weight, nor of one
    component.
    """
    (_, p), (b, q) = typed(1, 3, 2, "full"), typed(2, 3, 2, "full")
    dead = dataclasses.replace(q, logits=q.logits.at[1].set(-jnp.inf))
    alive = dense.Mixture(
        b.weights[[0, 2]] / b.weights[[0, 2]].sum(), b.means[[0, 2]], b.covariances[[0, 2]]
    )
    value, _ = squared(gmm(alive), p)
    for pair in ((p, p), (dead, p), (p, dead), (dead, dead)):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(squared(*pair))), pair
    np.testing.assert_allclose(squared(dead, p)[0], value, rtol=1e-10)
    diagonal = typed(1, 3, 2, "diag")[1]
    at_zero = jax.value_and_grad(jaxgmm.mixture_wasserstein)(diagonal, diagonal)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(at_zero))


def test_jit_and_vmap():
    pairs = [(typed(seed, 3, 2, "full")[1], typed(seed + 9, 3, 2, "full")[1]) for seed in range(3)]
    expected = [squared(*pair) for pair in pairs]
    mapped = jax.vmap(squared)(*(stack(side) for side in zip(*pairs, strict=True)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12),
        mapped,
        stack(expected),
    )
    narrow = [jax.tree.map(lambda leaf: leaf.astype(np.float32), m) for m in pairs[0]]
    assert squared(*narrow)[0].dtype == np.float32
    np.testing.assert_allclose(squared(*narrow)[0], expected[0][0], rtol=1e-5)


def test_many_pairs_at_once():
    """So many components that the pairs need two linear programmes, of two pairs and of one, each
    pair with costs in a unit of its own.
    """
    sides = [[typed(seed + shift, 40, 1, "diag") for seed in range(3)] for shift in (0, 9)]
    scales = (1.0, 1e6, 1e-3)
    p, q = (
        stack([in_units(m, np.array([c])) for (_, m), c in zip(side, scales, strict=True)])
        for side in sides
    )
    expected = [squared_mw2(a, b) for (a, _), (b, _) in zip(*sides, strict=True)]
    found = jax.vmap(jaxgmm.mixture_wasserstein)(p, q) / np.array(scales)
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-8)


def test_second_derivatives_are_refused():
    (_, p), (_, q) = typed(1, 3, 2, "full"), typed(2, 3, 2, "full")
    with pytest.raises(ValueError, match="Pure callbacks do not support JVP"):
        jax.grad(
            lambda t: jax.grad(
                lambda t: jaxgmm.mixture_wasserstein(p, dataclasses.replace(q, loc=q.loc * t))
            )(t)
        )(1.0)


@pytest.mark.long
def test_many_components_many_times():
    """A callback that waits for the device that waits for it would hang."""
    (_, p), (_, q) = typed(1, 128, 2, "diag"), typed(2, 96, 2, "diag")
    for i in range(30):
        assert np.isfinite(squared(dataclasses.replace(p, loc=p.loc + i), q)[0])
