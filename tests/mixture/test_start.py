"""Starting points: k-means++ means with a pooled covariance, and mixtures at random."""

import jax
import numpy as np
import pytest
from scipy.stats import chisquare

from jaxgmm import GMM
from support.covariance_types import TYPES
from support.long import first_by_default

SHAPES = {"full": (4, 3, 3), "tied": (3, 3), "diag": (4, 3), "spherical": (4,)}
X = (
    np.random.default_rng(0).normal(size=(200, 3)) @ np.array([[2, 0, 0], [1, 1, 0], [0, 0.5, 0.3]])
    + 5
)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_from_data(covariance_type, key):
    start = GMM.from_data(key, X, 4, covariance_type, reg_covar=0.01)
    assert start.covariance_type == covariance_type
    assert start.covariances.shape == SHAPES[covariance_type]
    np.testing.assert_allclose(start.weights, 0.25)
    means = np.asarray(start.means)
    distances = np.square(X[:, None] - means).sum(2)
    assert np.all(distances.min(0) == 0)  # the means are points
    assert len(np.unique(distances.argmin(0))) == 4  # and different ones
    apart = X - means[distances.argmin(1)]
    pooled = apart.T @ apart / len(X) + 0.01 * np.eye(3)
    expected = {
        "full": np.broadcast_to(pooled, (4, 3, 3)),
        "tied": pooled,
        "diag": np.broadcast_to(np.diag(pooled), (4, 3)),
        "spherical": np.full(4, np.trace(pooled) / 3),
    }[covariance_type]
    np.testing.assert_allclose(start.covariances, expected, rtol=1e-10)


def test_centres_are_drawn_by_squared_distance(key):
    """The pair of centres of three points: the first is any of them, the second as its squared
    distance from the first.
    """
    x = np.array([[0.0], [1.0], [3.0]])
    means = jax.vmap(lambda key: GMM.from_data(key, x, 2, "diag").means)(
        jax.random.split(key, 6000)
    )
    counts = {}
    for first, second in np.asarray(means)[:, :, 0]:
        counts[first, second] = counts.get((first, second), 0) + 1
    expected = {}
    for first in x[:, 0]:
        squares = np.square(x[:, 0] - first)
        expected |= {
            (first, s): 2000 * square / squares.sum()
            for s, square in zip(x[:, 0], squares, strict=True)
            if square
        }
    assert counts.keys() == expected.keys()
    assert chisquare([counts[pair] for pair in expected], list(expected.values())).pvalue > 1e-6

    three = jax.vmap(lambda key: GMM.from_data(key, x, 3, "diag").means)(jax.random.split(key, 500))
    np.testing.assert_array_equal(
        np.sort(three, axis=1), np.broadcast_to(x, three.shape)
    )  # as none lies at a distance of 0


@pytest.mark.parametrize("covariance_type", first_by_default(TYPES))
def test_random(covariance_type, key):
    keys = jax.random.split(key, 500)
    many = jax.vmap(lambda key: GMM.random(key, 4, 3, covariance_type, spread=3.0))(keys)
    assert jax.tree.map(lambda leaf: leaf[0], many).covariances.shape == SHAPES[covariance_type]
    np.testing.assert_allclose(np.std(many.loc), 3.0, rtol=5 / np.sqrt(2 * many.loc.size))
    np.testing.assert_allclose(np.std(many.logits), 0.5, rtol=5 / np.sqrt(2 * many.logits.size))
    variances = (
        np.exp(2 * np.asarray(many.log_diag)) if covariance_type in ("diag", "spherical") else None
    )
    if variances is not None:
        np.testing.assert_allclose(
            variances.mean(), 1.0, atol=5 * variances.std() / np.sqrt(variances.size)
        )
    else:
        traces = np.array(
            [np.trace(np.asarray(c).reshape(-1, 3, 3)[0]) / 3 for c in map_covariances(many)]
        )
        np.testing.assert_allclose(traces.mean(), 1.0, atol=5 * traces.std() / np.sqrt(len(traces)))


def map_covariances(many):
    return jax.vmap(lambda gmm: gmm.covariances)(many)


def test_dtypes(key):
    assert GMM.random(key, 2, 2, dtype=np.float32).loc.dtype == np.float32
    assert GMM.from_data(key, X.astype(np.float32), 2).log_diag.dtype == np.float32
    assert GMM.from_data(key, [[1], [2]], 1).loc.dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda key: GMM.from_data(key, X[:, 0], 2),
            ValueError,
            r"x must have shape \(n, D\).*; write x\[:, None\]",
        ),
        (
            lambda key: GMM.from_data(key, X[:0], 2),
            ValueError,
            r"x must have shape .* at least 1, got \(0, 3\)",
        ),
        (
            lambda key: GMM.from_data(key, [["a"]], 2),
            TypeError,
            "x must be an array of real numbers",
        ),
        (lambda key: GMM.from_data(key, X * np.nan, 2), ValueError, "x holds NaN or infinity"),
        (
            lambda key: GMM.from_data(key, X, 0),
            ValueError,
            "num_components must be an integer of at least 1, got 0",
        ),
        (
            lambda key: GMM.from_data(key, X, 2, "round"),
            ValueError,
            "covariance_type must be one of .*, got 'round'",
        ),
        (
            lambda key: GMM.from_data(key, X, 2, reg_covar=0.0),
            ValueError,
            "reg_covar must be positive and finite, got 0.0",
        ),
        (lambda key: GMM.from_data(None, X, 2), ValueError, "key is None"),
        (lambda key: GMM.from_data(3, X, 2), TypeError, "key must be a JAX random key, got 3"),
        (lambda key: GMM.random(None, 2, 2), ValueError, "key is None"),
        (
            lambda key: GMM.random(key, 2, 0),
            ValueError,
            "num_dims must be an integer of at least 1, got 0",
        ),
        (
            lambda key: GMM.random(key, 2, 2, spread=-1.0),
            ValueError,
            "spread must be positive and finite, got -1.0",
        ),
        (lambda key: GMM.random(key, 2, 2, dtype=int), TypeError, "dtype must be a floating dtype"),
    ],
)
def test_bad_arguments(call, error, message, key):
    with pytest.raises(error, match=message):
        call(key)


@pytest.mark.parametrize(
    ("x", "count"),
    [([[0.0], [1.0]], 2), ([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]], 2), (np.ones((50, 2)), 1)],
)
def test_too_few_distinct_points_are_an_error(key, x, count):
    """The components would be equal, and no step of a fit could separate them."""
    problem = f"x has only {count} distinct points for 3 components"
    with pytest.raises(ValueError, match=problem):
        GMM.from_data(key, x, 3)
    assert GMM.from_data(key, x, count).num_components == count
