"""The greedy merging of many components: its costs against mpmath, and its order against the
algorithm of the paper, which looks at all pairs each time.
"""

import mpmath
import numpy as np
import pytest

from jaxgmm._fit import merging

KINDS = ("full", "diag", "spherical")


def moments(seed: int, k: int, d: int, kind: str, smallest: float = 0.1):
    """Weights from ``smallest`` to 1, unordered, and covariances of very different shapes."""
    rng = np.random.default_rng(seed)
    weights = smallest ** rng.uniform(size=k)
    means = 3 * rng.normal(size=(k, d))
    roots = rng.normal(size=(k, d, d)) * np.exp(rng.normal(size=(k, d, 1)))
    covariances = roots @ roots.swapaxes(1, 2) + 0.01 * np.eye(d)
    variances = np.exp(2 * rng.normal(size=(k, d if kind == "diag" else 1)))
    return weights / weights.sum(), means, covariances if kind == "full" else variances


def parts_of(weights, means, covariances):
    kind = merging.FullComponents if covariances.ndim == 3 else merging.Components
    return kind(weights, means, covariances)


def as_full(covariances: np.ndarray, d: int) -> np.ndarray:
    if covariances.ndim == 3:
        return covariances
    return np.broadcast_to(covariances, (len(covariances), d))[:, :, None] * np.eye(d)


def merged(weights, means, covariances):
    """The weight, the mean and the covariance of two components, in the shape of their type."""
    share = weights / weights.sum()
    mean = share @ means
    steps = means - mean
    if covariances.ndim == 3:
        between = steps[:, :, None] * steps[:, None, :]
    else:
        between = (steps**2).reshape(2, covariances.shape[1], -1).mean(2)
    return weights.sum(), mean, np.tensordot(share, covariances + between, 1)


def exact_cost(weights, means, covariances) -> float:
    """Runnalls' bound of two components in 80 digits."""
    with mpmath.workdps(80):
        big = np.vectorize(mpmath.mpf, otypes=[object])
        moments = merged(big(weights), big(means), big(covariances))
        terms = zip(
            (moments[0], *big(weights)), (moments[2], *big(covariances)), (1, -1, -1), strict=True
        )
        d = means.shape[1]

        def log_det(c):
            if c.ndim == 2:
                return mpmath.log(mpmath.det(mpmath.matrix(c.tolist())))
            return sum(mpmath.log(v) for v in c) * (d // len(c))

        return float(sum(sign * w * log_det(c) for w, c, sign in terms) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_costs_keep_their_digits_at_any_weights(kind):
    weights, means, covariances = moments(0, 24, 3, kind, 1e-30)
    assert weights.min() < 1e-28
    parts = parts_of(weights, means, covariances)
    for i in range(5):
        others = np.delete(np.arange(24), i)
        expected = [exact_cost(*(m[[i, j]] for m in (weights, means, covariances))) for j in others]
        np.testing.assert_allclose(parts.costs(i, others), expected, rtol=1e-11)
        assert (parts.bounds(i, slice(None))[others] <= expected).all()


def merge_all_pairs(weights, means, covariances, num_components: int):
    """The greedy algorithm with all costs computed anew each time, by log-determinants."""
    weights, means, covariances = (list(a) for a in (weights, means, covariances))
    while len(weights) > num_components:
        w, m, full = (
            np.array(weights),
            np.array(means),
            as_full(np.array(covariances), len(means[0])),
        )
        i, j = (index.ravel() for index in np.tril_indices(len(w), -1))
        share, step = (w[i] / (w[i] + w[j]))[:, None, None], m[i] - m[j]
        between = step[:, :, None] * step[:, None, :]
        if covariances[0].ndim == 1:
            groups = (step**2).reshape(len(i), len(covariances[0]), -1).mean(2)
            between = as_full(groups, m.shape[1])
        both = share * full[i] + (1 - share) * full[j] + share * (1 - share) * between
        log_det, log_det_of_both = (np.linalg.slogdet(c)[1] for c in (full, both))
        costs = (w[i] + w[j]) * log_det_of_both - w[i] * log_det[i] - w[j] * log_det[j]
        i, j = i[costs.argmin()], j[costs.argmin()]
        pair = (np.array([a[i], a[j]]) for a in (weights, means, covariances))
        weights[i], means[i], covariances[i] = merged(*pair)
        for a in (weights, means, covariances):
            del a[j]
    return np.array(weights), np.array(means), np.array(covariances)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "d", "seed"), [(120, 3, 1), (60, 1, 2), (90, 6, 3)])
def test_the_order_is_that_of_all_pairs(kind, k, d, seed):
    given = moments(seed, k, d, kind)
    expected = merge_all_pairs(*given, 7)
    for mine, theirs in zip(merging.merge_cheapest(*given, 7), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_a_hub_and_copies_are_merged_in_order():
    """One heavy component is the partner of all others, many of which are copies."""
    weights, means, covariances = moments(4, 40, 2, "full", 1e-3)
    weights[11] = 5
    means, covariances = np.concatenate([means, means[:9]]), np.r_[covariances, covariances[:9]]
    weights = np.concatenate([weights, weights[:9]])
    expected = merge_all_pairs(weights, means, covariances, 4)
    result = merging.merge_cheapest(weights, means, covariances, 4)
    np.testing.assert_allclose(np.sort(result[0]), np.sort(expected[0]), rtol=1e-9)


def test_nothing_is_cheaper_than_a_component_of_weight_1e_minus_16():
    """The order of its costs was noise, so it was merged with a far component."""
    weights = np.array([1e-16, 0.3, 0.7, 1e-16])
    means = np.array([[0.0], [1.0], [30.0], [31.0]])
    result = merging.merge_cheapest(weights, means, np.full((4, 1), 1e-3), 2)
    np.testing.assert_allclose(np.sort(result[0]), [0.3, 0.7], rtol=1e-14)
    np.testing.assert_allclose(np.sort(result[1][:, 0]), [1.0, 30.0], rtol=1e-14)


@pytest.mark.long
def test_20000_components_take_little_memory():
    import tracemalloc

    given = moments(5, 20_000, 3, "full")
    tracemalloc.start()
    merging.merge_cheapest(*given, 19_900)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
