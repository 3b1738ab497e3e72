"""Closed forms of what is ill-conditioned, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import dense, gaussians
from support.mixtures import typed


def test_ill_conditioned_in_float32():
    """Correlations of 0.9999995, where the sum of two covariances has no Cholesky factor in
    float32.
    """
    leaves = np.zeros(1), np.zeros((1, 2)), np.array([[0.0, np.log(1e-3)]]), np.array([[1.0]])
    p, q = (
        jaxgmm.GMM(leaves[0], leaves[1] + shift, leaves[2] + shift, leaves[3])
        for shift in (0.0, 0.5)
    )
    narrow = jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float32), (p, q))
    for fn in (
        jaxgmm.gaussian_kl,
        jaxgmm.bhattacharyya_distance,
        jaxgmm.gaussian_wasserstein_squared,
    ):
        np.testing.assert_allclose(fn(*narrow), fn(p, q), rtol=1e-3)


def test_what_it_refuses():
    _, p = typed(1, 3, 2, "full")
    for bandwidth in (0.0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="bandwidth must be positive and finite, got"):
            jaxgmm.mmd(p, p, bandwidth)
    with pytest.raises(
        ValueError, match=r"bandwidth must be one number, got an array of shape \(2,\)"
    ):
        jaxgmm.mmd(p, p, [1.0, 2.0])
    with pytest.raises(TypeError, match="bandwidth must be a number, got 'wide'"):
        jaxgmm.mmd(p, p, "wide")
    with pytest.raises(ValueError, match="p has 2 and q has 1; both must live in one space"):
        jaxgmm.gaussian_kl(p, typed(1, 3, 1, "full")[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("units", [(1e-3, 1e12), (1e12, 1e-3), (1e10, 1e10), (1e-10, 1e-10)])
def test_wasserstein_in_any_units(units, dtype):
    """In units so different that one coordinate has all of the distance, too."""
    units = np.array(units)
    covariances = np.array([[[1, 0.9], [0.9, 1]]]), np.array([[[1.5, -0.3], [-0.3, 0.7]]])
    means = np.zeros((1, 2)), np.array([[0.3, 0.1]])
    p, q = (
        jaxgmm.GMM.from_moments([1.0], m * units, s * np.outer(units, units), dtype=dtype)
        for m, s in zip(means, covariances, strict=True)
    )
    by_coordinate = [
        means[1][0, i] ** 2 + (covariances[0][0, i, i] ** 0.5 - covariances[1][0, i, i] ** 0.5) ** 2
        for i in (0, 1)
    ]
    pair = [dense.Mixture(np.ones(1), m, s) for m, s in zip(means, covariances, strict=True)]
    alike = gaussians.wasserstein_squared(*pair)
    truth = alike if units[0] == units[1] else by_coordinate[int(np.argmax(units))]
    value = jaxgmm.gaussian_wasserstein_squared(p, q) / np.asarray(units.max(), dtype) ** 2
    np.testing.assert_allclose(value, truth, rtol=2e-5 if dtype == np.float32 else 1e-8)
