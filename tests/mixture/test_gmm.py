import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import dense
from support.mixtures import random_mixture

COVARIANCES = {
    "full": [[[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 0.5]], [[1.0, 0.0], [0.0, 3.0]]],
    "tied": [[2.0, 0.5], [0.5, 1.0]],
    "diag": [[2.0, 1.0], [1.0, 0.5], [1.0, 3.0]],
    "spherical": [2.0, 1.0, 0.5],
}
WEIGHTS, MEANS = [0.2, 0.5, 0.3], [[0.0, 0.0], [1.0, 2.0], [-3.0, 1.0]]


@pytest.mark.smoke
@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_moments_come_back(covariance_type):
    p = jaxgmm.GMM.from_moments(WEIGHTS, MEANS, COVARIANCES[covariance_type], covariance_type)
    assert p.covariance_type == covariance_type
    assert (p.num_components, p.num_dims) == (3, 2)
    np.testing.assert_allclose(p.weights, WEIGHTS, rtol=1e-14)
    np.testing.assert_allclose(p.means, MEANS, rtol=1e-14)
    np.testing.assert_allclose(p.covariances, COVARIANCES[covariance_type], rtol=1e-14)
    np.testing.assert_allclose(
        p.scale_tril,
        np.linalg.cholesky(dense.covariances(COVARIANCES[covariance_type], covariance_type, 3, 2)),
        atol=1e-14,
    )


@pytest.mark.smoke
@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_properties_of_a_stack(covariance_type):
    """They are those of each mixture."""
    kinds = [
        (2 * np.array(COVARIANCES[covariance_type]), MEANS[::-1]),
        (COVARIANCES[covariance_type], MEANS),
    ]
    one, two = (
        jaxgmm.GMM.from_moments(WEIGHTS, means, covariances, covariance_type)
        for covariances, means in kinds
    )
    both = jaxgmm.stack([one, two])
    assert (both.num_components, both.num_dims) == (3, 2)
    assert both.covariance_type == covariance_type
    for name in ("weights", "log_weights", "means", "covariances", "scale_tril"):
        each = [getattr(gmm, name) for gmm in (one, two)]
        np.testing.assert_allclose(getattr(both, name), each, rtol=1e-14)


def test_leaf_shapes():
    shapes = {
        t: jax.tree.map(jnp.shape, jaxgmm.GMM.from_moments(WEIGHTS, MEANS, c, t))
        for t, c in COVARIANCES.items()
    }
    assert [(s.logits, s.loc, s.log_diag, s.off_diag) for s in shapes.values()] == [
        ((3,), (3, 2), (3, 2), (3, 1)),
        ((3,), (3, 2), (1, 2), (1, 1)),
        ((3,), (3, 2), (3, 2), None),
        ((3,), (3, 2), (3, 1), None),
    ]


def test_a_weight_of_zero_is_legal():
    p = jaxgmm.GMM.from_moments([0.0, 0.4, 0.6], MEANS, COVARIANCES["diag"], "diag")
    np.testing.assert_allclose(p.weights, [0, 0.4, 0.6], rtol=1e-14)


def test_dtypes():
    def dtype_of(weights, means, covariances, **kwargs):
        p = jaxgmm.GMM.from_moments(weights, means, covariances, "spherical", **kwargs)
        return {leaf.dtype for leaf in jax.tree.leaves(p)}

    integers = np.array([1]), np.array([[3]]), np.array([2])
    assert dtype_of(*integers) == {np.dtype(np.float64)}
    assert dtype_of(*(a.astype(np.float32) for a in integers)) == {np.dtype(np.float32)}
    assert dtype_of(*integers, dtype=np.float32) == {np.dtype(np.float32)}
    assert dtype_of([1.0], [[3]], jnp.array([2], np.float32)) == {np.dtype(np.float32)}


def test_it_is_a_pytree_of_its_parameters():
    p = jaxgmm.GMM.from_moments(WEIGHTS, MEANS, COVARIANCES["diag"], "diag")
    assert len(jax.tree.leaves(p)) == 3
    assert isinstance(jax.tree.map(lambda a: a + 1, p), jaxgmm.GMM)
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.loc = p.loc


def moments(**changes):
    return {"weights": WEIGHTS, "means": MEANS, "covariances": COVARIANCES["full"], **changes}


BAD_COVARIANCES = np.array(COVARIANCES["full"])
ASYMMETRIC, INDEFINITE, NAN = BAD_COVARIANCES.copy(), BAD_COVARIANCES.copy(), BAD_COVARIANCES.copy()
ASYMMETRIC[1, 0, 1] += 0.1
INDEFINITE[2] = [[1, 2], [2, 1]]
NAN[0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            moments(covariances=ASYMMETRIC),
            ValueError,
            "covariances[1] is not symmetric; pass (C + C.T) / 2",
        ),
        (
            moments(covariances=INDEFINITE),
            ValueError,
            "covariances[2] is not positive definite: its smallest eigenvalue is -1",
        ),
        (moments(covariances=NAN), ValueError, "covariances holds NaN or infinity"),
        (moments(means=np.full((3, 2), np.inf)), ValueError, "means holds NaN or infinity"),
        (moments(weights=[0.5, np.nan, 0.5]), ValueError, "weights holds NaN or infinity"),
        (
            moments(weights=[-0.1, 0.6, 0.5]),
            ValueError,
            "weights must not be negative, but weights[0] is -0.1",
        ),
        (
            moments(weights=[0.2, 0.5, 0.4]),
            ValueError,
            "the sum is 1.1; pass weights / weights.sum()",
        ),
        (
            moments(weights=[0.2, 0.5, 0.3 + 2e-6]),
            ValueError,
            "the sum is 1.000002; pass weights / weights.sum()",
        ),
        (
            moments(weights=[0.5, 0.5]),
            ValueError,
            "weights has 2 components, but means of shape (3, 2) has 3",
        ),
        (
            moments(weights=1.0),
            ValueError,
            "weights must have shape (K,) with K at least 1, got ()",
        ),
        (
            moments(weights=[]),
            ValueError,
            "weights must have shape (K,) with K at least 1, got (0,)",
        ),
        (
            moments(means=[1.0, 2.0, 3.0]),
            ValueError,
            "means must have shape (K, D) with D at least 1, got (3,); write means[:, None]",
        ),
        (
            moments(covariances=np.eye(2)),
            ValueError,
            "covariances must have shape (3, 2, 2) for covariance_type 'full'",
        ),
        (
            moments(covariance_type="round"),
            ValueError,
            "covariance_type must be one of full, tied, diag, spherical, got 'round'",
        ),
        (
            moments(covariances=[1.0, 0.0, 2.0], covariance_type="spherical"),
            ValueError,
            "covariances[1] is 0.0: every variance must",
        ),
        (
            moments(covariances=-np.ones((3, 2)), covariance_type="diag"),
            ValueError,
            "every variance must be positive",
        ),
        (moments(weights=["a", "b", "c"]), TypeError, "weights must be an array of real numbers"),
        (moments(means=np.full((3, 2), 1j)), TypeError, "means must be an array of real numbers"),
        (moments(means=[[1.0, 2.0], [1.0]]), TypeError, "means must be an array of real numbers"),
        (moments(covariances=None), TypeError, "covariances must be an array of real numbers"),
        (moments(dtype=int), TypeError, "dtype must be a floating dtype"),
    ],
)
def test_bad_moments(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        jaxgmm.GMM.from_moments(**arguments)


def test_weights_may_be_off_by_the_rounding_of_float32():
    assert jaxgmm.GMM.from_moments(**moments(weights=[0.2, 0.5, 0.3 + 8e-7])).num_components == 3


@pytest.mark.smoke
def test_traced_moments():
    with pytest.raises(TypeError, match=r"means is traced, and GMM\.from_moments runs in NumPy"):
        jax.jit(lambda means: jaxgmm.GMM.from_moments(WEIGHTS, means, COVARIANCES["full"]))(
            jnp.array(MEANS)
        )


GOOD = jaxgmm.GMM.from_moments(WEIGHTS, MEANS, COVARIANCES["full"], dtype=np.float32)
OTHER = jaxgmm.GMM.from_moments([1.0], [[0.0]], [1.0], "spherical", dtype=np.float32)
STACK = jax.tree.map(lambda *leaves: jnp.stack(leaves), GOOD, GOOD)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (
            random_mixture(0, 2, 2),
            TypeError,
            "p must be a jaxgmm.GMM, got Mixture; build one with GMM.from_moments",
        ),
        (OTHER, ValueError, "mixtures of different dimension: p has 1 and q has 2"),
        (STACK, ValueError, "p is a stack of 2 mixtures (loc has shape (2, 3, 2)); use jax.vmap"),
        (
            dataclasses.replace(GOOD, logits=jnp.zeros(2)),
            ValueError,
            "p.logits must have shape (3,) beside loc of shape (3, 2), got (2,)",
        ),
        (
            dataclasses.replace(GOOD, off_diag=jnp.zeros((3, 2))),
            ValueError,
            "p.off_diag must have shape (3, 1) or (1, 1)",
        ),
        (
            dataclasses.replace(GOOD, log_diag=jnp.zeros((2, 2))),
            ValueError,
            "p.log_diag must have shape (3, 2) or (1, 2)",
        ),
        (
            dataclasses.replace(GOOD, loc=jnp.zeros((3, 0))),
            ValueError,
            "p.loc must have shape (K, D) with K and D at least 1",
        ),
        (
            dataclasses.replace(GOOD, loc=jnp.zeros((3, 2), int)),
            TypeError,
            "p.loc must be floating, got int64",
        ),
        (
            dataclasses.replace(GOOD, logits=[0.0, 0.0, 0.0]),
            TypeError,
            "p.logits must be an array, got list; write jnp.asarray(logits)",
        ),
        (
            dataclasses.replace(GOOD, loc=np.full_like(GOOD.loc, np.nan)),
            ValueError,
            "p.loc holds NaN or infinity",
        ),
        (
            dataclasses.replace(GOOD, logits=GOOD.logits * jnp.float32(np.inf)),
            ValueError,
            "p.logits holds NaN or infinity",
        ),
    ],
)
def test_bad_mixtures(bad, error, message, key):
    with pytest.raises(error, match=re.escape(message)):
        jaxgmm.kl_divergence(key, bad, GOOD)
