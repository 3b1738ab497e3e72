"""All pairs of many mixtures: as a loop over single calls, compiled once, in bounded memory."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import jaxgmm
from oracles import dense, quadrature
from support.compilations import COMPILATIONS
from support.mixtures import PAIRS, gmm, typed
from support.processes import MIXTURES, run_in_a_process_of_its_own

pytestmark = pytest.mark.long

RULE = jaxgmm.Sobol(256)


def mixtures(n: int, seed: int = 0, k: int = 3) -> list[jaxgmm.GMM]:
    return [typed(seed + i, k, 2, "full")[1] for i in range(n)]


def loop(fn, gmms, others) -> np.ndarray:
    return np.array([[fn(p, q) for q in others] for p in gmms])


def test_every_pair_gets_the_same_key(key):
    gmms, others = mixtures(5), mixtures(3, 20)
    expected = loop(lambda p, q: jaxgmm.kl_divergence(key, p, q, RULE), gmms, others)
    np.testing.assert_allclose(
        jaxgmm.pairwise(jaxgmm.kl_divergence, key, gmms, others, RULE), expected, rtol=1e-12
    )
    # 15 pairs do not fill four batches.
    matrix = jaxgmm.pairwise(
        jaxgmm.kl_divergence, key, jaxgmm.stack(gmms), tuple(others), RULE, batch_size=4
    )
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)


def test_without_others(key):
    """An asymmetric divergence is computed for all pairs, and nothing lies on the diagonal."""
    gmms = mixtures(5)
    matrix = jaxgmm.pairwise(jaxgmm.kl_divergence, key, gmms, rule=RULE)
    np.testing.assert_allclose(
        matrix,
        loop(lambda p, q: jaxgmm.kl_divergence(key, p, q, RULE), gmms, gmms),
        rtol=1e-12,
        atol=1e-14,
    )
    assert (np.diagonal(matrix) == 0).all()
    assert np.abs(matrix - matrix.T).max() > 0.01


@pytest.mark.parametrize("symmetric", [None, True, False])
def test_symmetric_divergences_are_computed_once(symmetric, key):
    """Above the diagonal in the order of the mixtures; below it the same number, or that of the
    other order if asked for.
    """
    gmms = mixtures(5)
    expected = loop(lambda p, q: jaxgmm.js_divergence(key, p, q, RULE), gmms, gmms)
    assert (expected != expected.T).any()
    matrix = jaxgmm.pairwise(jaxgmm.js_divergence, key, gmms, rule=RULE, symmetric=symmetric)
    if symmetric is not False:
        expected = np.triu(expected) + np.triu(expected).T
        assert (matrix == matrix.T).all()
    np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-14)
    assert (np.diagonal(matrix) == 0).all()


def test_functions_without_a_key():
    """Exact ones, bounds, which are pairs of matrices, and those with more arguments.

    The tiles, of 2 x 2, 2 x 3 or 4 x 4 pairs, do not fill these matrices.
    """
    gmms, others = mixtures(5), mixtures(3, 20)
    np.testing.assert_allclose(
        jaxgmm.pairwise(jaxgmm.l2_distance, None, gmms, others, batch_size=4),
        loop(jaxgmm.l2_distance, gmms, others),
    )
    lower, upper = jaxgmm.pairwise(jaxgmm.kl_bounds, None, gmms, others)
    np.testing.assert_allclose(
        np.stack([lower, upper], 2), loop(jaxgmm.kl_bounds, gmms, others), rtol=1e-9
    )
    kernel = functools.partial(jaxgmm.mmd, bandwidth=1.5)
    matrix = jaxgmm.pairwise(kernel, None, gmms, batch_size=7)
    np.testing.assert_allclose(matrix, loop(kernel, gmms, gmms), atol=1e-7)
    assert (matrix == matrix.T).all()
    transport = jaxgmm.pairwise(jaxgmm.mixture_wasserstein, None, gmms)
    np.testing.assert_allclose(
        transport, loop(jaxgmm.mixture_wasserstein, gmms, gmms), rtol=1e-10, atol=1e-7
    )


def test_unlike_mixtures():
    """Different numbers of components and covariance types, against quadrature."""
    (a, b), (c, _) = PAIRS["plane"], PAIRS["plane far"]
    more = dense.midpoint(a, b)
    diag = jaxgmm.GMM.from_moments([0.5, 0.5], c.means, np.ones((2, 2)), "diag")
    oracles = [a, more, dense.Mixture(np.array([0.5, 0.5]), c.means, np.stack([np.eye(2)] * 2))]
    matrix = jaxgmm.pairwise(
        jaxgmm.js_divergence, None, [gmm(a), gmm(more), diag], rule=jaxgmm.GaussHermite(64)
    )
    np.testing.assert_allclose(matrix, loop(quadrature.js, oracles, oracles), atol=1e-4)
    assert (np.diagonal(matrix) == 0).all()


def test_one_compilation(key):
    """For new mixtures of the same shapes, in lists, none more; and none for another divergence in
    the same call twice.
    """
    first, second = mixtures(4), mixtures(4, 30)
    jax.clear_caches()
    COMPILATIONS.clear()
    jaxgmm.pairwise(jaxgmm.js_divergence, key, first, rule=RULE)
    assert len(COMPILATIONS) == 1
    jaxgmm.pairwise(jaxgmm.js_divergence, key, second, rule=RULE)
    assert len(COMPILATIONS) == 1
    jaxgmm.pairwise(jaxgmm.kl_divergence, key, second, rule=RULE)
    assert len(COMPILATIONS) == 2


def test_gradients_and_jit(key):
    gmms, others = jaxgmm.stack(mixtures(3)), jaxgmm.stack(mixtures(3, 20))

    def total(gmms, others):
        return jaxgmm.pairwise(jaxgmm.kl_divergence, key, gmms, others, RULE).sum()

    def one_by_one(p, others):
        return sum(jax.vmap(lambda q: jaxgmm.kl_divergence(key, p, q, RULE))(others))

    gradient = jax.jit(jax.grad(total))(gmms, others)
    p = jax.tree.map(lambda leaf: leaf[1], gmms)
    expected = jax.jit(jax.grad(one_by_one))(p, others)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-9, atol=1e-12), gradient, expected
    )
    assert np.abs(gradient.logits).max() > 0.01


def test_memory_is_flat_in_the_number_of_pairs_and_points():
    """All pairs of 12 and of 48 mixtures, 16 times as many, with one full block of points each and
    with four.
    """
    program = (
        MIXTURES
        + """
    gmms = [mixture(i, 4, 8) for i in range({n})]
    rule = jaxgmm.Sobol({points})
    matrix = jaxgmm.pairwise(jaxgmm.js_divergence, jax.random.key(0), gmms, rule=rule)
    matrix.block_until_ready()
    assert matrix.shape == ({n}, {n})
    print(peak_memory())
"""
    )
    few, many = (
        int(run_in_a_process_of_its_own(program.format(n=n, points=points)))
        for n, points in ((12, 4096), (48, 16384))
    )
    assert many - few < 100 * 2**20


# Each called with a key and two mixtures.
REFUSED = [
    (
        lambda key, gmms: jaxgmm.pairwise("js", key, gmms),
        TypeError,
        "divergence must be a function of two mixtures",
    ),
    (
        lambda key, gmms: jaxgmm.pairwise(jaxgmm.js_divergence, key, gmms[0]),
        ValueError,
        "gmms is one mixture",
    ),
    (lambda key, gmms: jaxgmm.pairwise(jaxgmm.js_divergence, key, []), ValueError, "gmms is empty"),
    (
        lambda key, gmms: jaxgmm.pairwise(jaxgmm.js_divergence, key, gmms, [3]),
        TypeError,
        r"others\[0\] must be a jaxgmm\.GMM, got int",
    ),
    (
        lambda key, gmms: jaxgmm.pairwise(jaxgmm.js_divergence, None, gmms),
        ValueError,
        "key is None, but .* draws at random",
    ),
    (
        lambda key, gmms: jaxgmm.pairwise(jaxgmm.js_divergence, key, gmms, batch_size=0),
        ValueError,
        "batch_size must be an integer",
    ),
    (
        lambda key, gmms: jaxgmm.pairwise(
            functools.partial(jaxgmm.js_divergence, rule=RULE), key, gmms
        ),
        ValueError,
        "divergence binds a key or a rule",
    ),
    (
        lambda key, gmms: jaxgmm.pairwise(
            jaxgmm.js_divergence, key, gmms, [typed(1, 3, 3, "full")[1]]
        ),
        ValueError,
        r"gmms\[0\] has 2 and others\[0\] has 3; both must live in one space",
    ),
]


def test_what_it_refuses(key):
    gmms = mixtures(2)
    for call, error, match in REFUSED:
        with pytest.raises(error, match=match):
            call(key, gmms)
    broken = jaxgmm.stack(gmms)
    broken = dataclasses.replace(broken, loc=np.array(broken.loc))
    broken.loc[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"gmms\[1\]\.loc holds NaN or infinity"):
        jaxgmm.pairwise(jaxgmm.js_divergence, key, broken)
