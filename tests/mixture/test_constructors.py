"""Mixtures from precisions, from logarithms of weights, and from arrays of other programs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn.mixture import GaussianMixture

import jaxgmm

X = np.random.default_rng(0).normal(size=(60, 3)) @ [[2, 1, 0], [0, 1, 0.5], [0, 0, 0.3]]
TYPES = ("full", "tied", "diag", "spherical")
MEANS, COVARIANCES = np.zeros((2, 3)), np.stack([np.eye(3), np.diag([1.0, 4.0, 9.0])])


@pytest.mark.parametrize("covariance_type", TYPES)
def test_precisions_are_those_of_scikit_learn(covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    for given in ("precisions", "precisions_cholesky"):
        p = jaxgmm.GMM.from_precisions(
            model.weights_,
            model.means_,
            **{given: getattr(model, f"{given}_")},
            covariance_type=covariance_type,
        )
        assert p.covariance_type == covariance_type
        np.testing.assert_allclose(p.covariances, model.covariances_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(p.weights, model.weights_)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_precisions_in_any_unit(covariance_type):
    """The units of x are 1e150, or with roots 1e250, and their inverses."""
    roots = np.array([[0.5, 0.2, 0.1], [0, 2, -0.3], [0, 0, 1]])  # upper
    roots = {"full": roots[None], "tied": roots, "diag": np.diag(roots)[None], "spherical": [0.5]}
    root = np.asarray(roots[covariance_type])
    square = root @ root.swapaxes(-1, -2) if root.ndim > 1 and root.shape[-2] > 1 else root**2

    def tril(**given):
        p = jaxgmm.GMM.from_precisions([1.0], [[0.0] * 3], **given, covariance_type=covariance_type)
        return np.asarray(p.scale_tril)

    expected = tril(precisions=square)
    for power in (-1, 1):
        of_squares = tril(precisions=square * 1e150 ** (2 * power)) * 1e150**power
        np.testing.assert_allclose(of_squares, expected, rtol=1e-12)
        of_roots = tril(precisions_cholesky=root * 1e250**power) * 1e250**power
        np.testing.assert_allclose(of_roots, expected, rtol=1e-12)
    if covariance_type in ("full", "tied"):
        np.testing.assert_allclose(np.linalg.inv(square.reshape(3, 3)), expected[0] @ expected[0].T)


def of_weights(weights=None, **options) -> jaxgmm.GMM:
    means = np.zeros((3, 1))
    return jaxgmm.GMM.from_moments(weights, means, np.ones(3), "spherical", **options)


@pytest.mark.parametrize(
    "logs", [[-1.0, -1.5, -0.5], [800.0, 801.0, 799.0], [-900.0, -np.inf, 0.0]]
)
def test_log_weights_keep_what_weights_would_lose(logs):
    for given in (logs, special.log_softmax(logs)):
        p = of_weights(log_weights=given, normalize=given is logs)
        np.testing.assert_allclose(p.log_weights, special.log_softmax(logs), rtol=1e-12)


def test_counts_as_weights():
    np.testing.assert_allclose(of_weights([2, 5, 3], normalize=True).weights, [0.2, 0.5, 0.3])
    np.testing.assert_allclose(of_weights([0.0, 2, 2], normalize=True).weights, [0, 0.5, 0.5])


LAST = COVARIANCES.transpose(1, 2, 0)  # (D, D, K)
CUBE = np.stack([np.diag([1.0, 4.0, 9.0]) + 0.1 * k for k in range(3)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"covariances": LAST}, "got (3, 3, 2); with components on the last axis, as in MATLAB"),
        ({"covariances": LAST}, "pass covariances.transpose(2, 0, 1)"),
        (
            {"covariances": np.ones((1, 3, 2)), "covariance_type": "diag"},
            "pass covariances[0].T",
        ),
        ({"means": MEANS.T, "covariances": COVARIANCES}, "pass means.T"),
    ],
)
def test_components_on_the_last_axis(arguments, message):
    """As in MATLAB, and in the package mclust of R."""
    arguments = {"weights": [0.5, 0.5], "means": MEANS, **arguments}
    with pytest.raises(ValueError, match=re.escape(message)):
        jaxgmm.GMM.from_moments(**arguments)


def test_components_on_the_last_of_equal_axes():
    """Then no slice along the first axis is symmetric, but all along the last one are."""
    weights, means = np.ones(3) / 3, np.zeros((3, 3))
    assert jaxgmm.GMM.from_moments(weights, means, CUBE).num_components == 3
    with pytest.raises(ValueError, match="with components on the last axis"):
        jaxgmm.GMM.from_moments(weights, means, CUBE.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass precisions or precisions_cholesky, got 0 of them"),
        ({"precisions": COVARIANCES, "precisions_cholesky": COVARIANCES}, "got 2 of them"),
        ({"precisions": -COVARIANCES}, "precisions[0] is not positive definite"),
        ({"precisions_cholesky": -COVARIANCES}, "precisions_cholesky[0] is"),
        (
            {"precisions_cholesky": COVARIANCES + np.tril(np.ones((3, 3)), -1)},
            "precisions_cholesky must be upper triangles",
        ),
        ({"precisions": np.ones((2, 3)), "covariance_type": "full"}, "precisions must have shape"),
        ({"precisions": [1.0, 0.0], "covariance_type": "spherical"}, "precisions[1] is 0.0"),
    ],
)
def test_bad_precisions(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jaxgmm.GMM.from_precisions([0.5, 0.5], MEANS, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass weights or log_weights, got 0 of them"),
        ({"weights": [0.2, 0.3, 0.5], "log_weights": [0.0] * 3}, "got 2 of them"),
        ({"log_weights": [0.0, 0.0, 0.0]}, "exp(log_weights) must sum to 1"),
        ({"log_weights": [-np.inf] * 3, "normalize": True}, "the sum is 0"),
        ({"log_weights": [0.0, np.nan, 0.0]}, "log_weights holds NaN or infinity"),
        ({"log_weights": [1e300, np.inf, 0.0]}, "log_weights holds NaN or infinity"),
        ({"weights": [-1.0, 0.0, 0.0], "normalize": True}, "weights must not be negative"),
        ({"weights": [0.0, 0.0, 0.0], "normalize": True}, "the sum is 0"),
    ],
)
def test_bad_weights(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        of_weights(**arguments)


def test_replace():
    p = of_weights([0.2, 0.3, 0.5])
    moved = jax.jit(lambda p: p.replace(loc=p.loc + 1))(p)
    np.testing.assert_array_equal(moved.means, np.ones((3, 1)))
    np.testing.assert_array_equal(moved.weights, p.weights)
    with pytest.raises(TypeError, match="means"):
        p.replace(means=jnp.zeros((3, 1)))
