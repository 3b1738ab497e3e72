"""Mixture reduction: Runnalls' merging against a direct evaluation, and its refinement on real data
against the usual way.
"""

import jax
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import jaxgmm
from oracles import dense
from support.covariance_types import TYPES
from support.long import first_by_default
from support.mixtures import gmm, random_mixture, typed


def merge_directly(mixture, k):
    """The greedy algorithm in the words of the paper, over all pairs of full covariances each
    time.
    """
    parts = list(zip(mixture.weights, mixture.means, mixture.covariances, strict=True))
    while len(parts) > k:
        best = None
        for i in range(len(parts)):
            for j in range(i):
                (wi, _, ci), (wj, _, cj) = parts[i], parts[j]
                weight = wi + wj
                pair = [np.array(t) for t in zip(parts[i], parts[j], strict=True)]
                mean, covariance = dense.moments(pair[0] / weight, pair[1], pair[2])
                log_dets = [np.linalg.slogdet(c)[1] for c in (covariance, ci, cj)]
                cost = 0.5 * (weight * log_dets[0] - wi * log_dets[1] - wj * log_dets[2])
                if best is None or cost < best[0]:
                    best = cost, i, j, (weight, mean, covariance)
        _, i, j, both = best
        parts = [part for index, part in enumerate(parts) if index not in (i, j)] + [both]
    return [np.array(t) for t in zip(*parts, strict=True)]


def sorted_by_weight(weights, means, covariances):
    order = np.argsort(weights)
    return np.asarray(weights)[order], np.asarray(means)[order], np.asarray(covariances)[order]


def test_it_is_runnalls_algorithm():
    mixture = random_mixture(0, 12, 3)
    q = jaxgmm.reduce(gmm(mixture), 4)
    expected = sorted_by_weight(*merge_directly(mixture, 4))
    for mine, theirs in zip(
        sorted_by_weight(q.weights, q.means, q.covariances), expected, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def mixture_of_nine(covariance_type: str) -> jaxgmm.GMM:
    return typed(1, 9, 3, covariance_type, 2.0)[1]


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_moments_of_the_whole_are_kept(covariance_type, k):
    """The mean always; of the covariance what the type can hold of each component."""
    p = mixture_of_nine(covariance_type)
    q = jaxgmm.reduce(p, k)
    assert q.num_components == k
    assert q.covariance_type == {"tied": "full"}.get(covariance_type, covariance_type)

    def whole(g):
        factors = np.asarray(g.scale_tril)
        return dense.moments(
            np.asarray(g.weights), np.asarray(g.means), factors @ factors.transpose(0, 2, 1)
        )

    (mean, covariance), (exact_mean, exact_covariance) = whole(q), whole(p)
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-12)
    if covariance_type in ("full", "tied"):
        np.testing.assert_allclose(covariance, exact_covariance, rtol=1e-12)
    elif covariance_type == "diag":
        np.testing.assert_allclose(np.diag(covariance), np.diag(exact_covariance), rtol=1e-12)
    else:
        np.testing.assert_allclose(np.trace(covariance), np.trace(exact_covariance), rtol=1e-12)


@pytest.mark.smoke
def test_copies_are_merged_first_and_for_nothing(key):
    """A mixture that was split into equal parts comes back as it was."""
    mixture = random_mixture(2, 4, 2)
    thrice = jaxgmm.GMM.from_moments(
        np.tile(mixture.weights / 3, 3),
        np.tile(mixture.means, (3, 1)),
        np.tile(mixture.covariances, (3, 1, 1)),
    )
    assert abs(jaxgmm.kl_divergence(key, gmm(mixture), jaxgmm.reduce(thrice, 4))) < 1e-12


def test_dead_components_go_and_few_enough_stay():
    p = jaxgmm.GMM.from_moments([0.5, 0.0, 0.5], [[0.0], [1.0], [2.0]], [[1.0]] * 3, "diag")
    assert jaxgmm.reduce(p, 3) is p
    assert jaxgmm.reduce(p, 1).num_components == 1
    np.testing.assert_array_equal(jaxgmm.reduce(p, 2).means, [[0.0], [2.0]])
    np.testing.assert_allclose(jaxgmm.reduce(p, 1).covariances, [[2.0]])


def test_dtype_is_kept():
    p = jax.tree.map(lambda leaf: leaf.astype(np.float32), mixture_of_nine("full"))
    assert jaxgmm.reduce(p, 2).loc.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: jaxgmm.reduce(3, 2), TypeError, "gmm must be a jaxgmm.GMM, got int"),
        (
            lambda p: jaxgmm.reduce(p, 0),
            ValueError,
            "num_components must be an integer of at least 1, got 0",
        ),
        (
            lambda p: jaxgmm.reduce(p, 2, refine=jaxgmm.cross_entropy_loss),
            ValueError,
            "key is None, but refine draws",
        ),
        (
            lambda p: jaxgmm.reduce(p, 2, refine=3, key=jax.random.key(0)),
            TypeError,
            "refine must make a loss",
        ),
        (
            lambda p: jax.jit(lambda p: jaxgmm.reduce(p, 2))(p),
            TypeError,
            "gmm is traced, and reduce runs in NumPy",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(mixture_of_nine("full"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("covariance_type", "d", "k", "fewer"), [("full", 16, 64, 10), ("diag", 32, 200, 20)]
)
def test_refined_reduction_beats_merging_and_sampling_on_the_digits(covariance_type, d, k, fewer):
    """Below merging alone and below EM on a sample, by more than 3 standard errors; the benchmarks
    show the times.
    """
    x = PCA(d, random_state=0).fit_transform(load_digits().data)
    fitted = GaussianMixture(
        k, covariance_type=covariance_type, reg_covar=1e-2, random_state=0
    ).fit(x / x.std(0))
    p = jaxgmm.from_sklearn(fitted, np.float32)
    usual = GaussianMixture(fewer, covariance_type=covariance_type, random_state=0).fit(
        fitted.sample(100_000)[0]
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        refined = jaxgmm.reduce(p, fewer, refine=jaxgmm.cross_entropy_loss, key=jax.random.key(0))
    refined_kl, *others = (
        jaxgmm.estimate(
            jaxgmm.kl_divergence,
            jax.random.key(1),
            p,
            q,
            rule=jaxgmm.Sobol(2**14),
            num_replicates=8,
        )
        for q in (refined, jaxgmm.reduce(p, fewer), jaxgmm.from_sklearn(usual, np.float32))
    )
    for other in others:
        assert other.value - refined_kl.value > 3 * np.hypot(
            other.standard_error, refined_kl.standard_error
        )


def pair_of_clusters(unit: float) -> jaxgmm.GMM:
    return jaxgmm.GMM.from_moments(
        [0.2, 0.3, 0.25, 0.25],
        unit * np.array([[0, 0], [1, 0.5], [4, 3], [5, 3.5]]),
        unit**2 * np.array([[1, 0.5], [0.6, 1.2], [0.4, 0.8], [1, 0.3]]),
        "diag",
    )


def kl_of_reduced(key, p: jaxgmm.GMM, **options) -> float:
    q = jaxgmm.reduce(p, 2, key=key, **options)
    return float(jaxgmm.kl_divergence(key, p, q, jaxgmm.GaussHermite(40)))


def test_refined_results_do_not_depend_on_units(key):
    """A step of 0.03 was a step of 30 standard deviations in units of a thousandth."""
    refine = {"refine": jaxgmm.cross_entropy_loss}
    kl = kl_of_reduced(None, pair_of_clusters(1.0))
    with jax.numpy_dtype_promotion("standard"):
        refined = [kl_of_reduced(key, pair_of_clusters(u), **refine) for u in (1, 1e-3, 1e-6, 1e6)]
    assert refined[0] < 0.98 * kl
    np.testing.assert_allclose(refined[1:], refined[0], rtol=1e-6)


@pytest.mark.parametrize("covariance_type", first_by_default(["full", "spherical"]))
def test_refinement_keeps_the_type_and_is_never_worse(key, covariance_type):
    """Steps that are so large that the loss rises leave the merged mixture."""
    p = mixture_of_nine(covariance_type)
    leap = {"refine": jaxgmm.cross_entropy_loss, "optimizer": optax.adam(1.5), "num_steps": 3}
    merged = jaxgmm.reduce(p, 4)
    with jax.numpy_dtype_promotion("standard"):
        refined = jaxgmm.reduce(p, 4, key=key, **leap)
    assert jax.tree.map(lambda a, b: bool((a == b).all()), merged, refined) == jax.tree.map(
        lambda _: True, merged
    )
    with jax.numpy_dtype_promotion("standard"):
        better = jaxgmm.reduce(p, 4, key=key, refine=jaxgmm.cross_entropy_loss)
    assert better.covariance_type == merged.covariance_type
    kl = [jaxgmm.kl_divergence(key, p, q) for q in (better, merged)]
    assert kl[0] < 0.99 * kl[1]
