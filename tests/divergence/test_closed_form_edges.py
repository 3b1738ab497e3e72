"""Closed forms of what is ill-conditioned, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
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
