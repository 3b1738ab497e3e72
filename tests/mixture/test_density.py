import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxgmm
from oracles import dense, digits
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, random_mixture

DIAGONAL = ("diag", "spherical")


def factors_of(rng: np.random.Generator, covariance_type: str, k: int, d: int, spread: float = 0.3):
    """log_diag and off_diag of the shapes of that covariance type, and the factors (K, D, D) they
    stand for.
    """
    rows = 1 if covariance_type == "tied" else k
    columns = 1 if covariance_type == "spherical" else d
    log_diag = spread * rng.normal(size=(rows, columns))
    off_diag = (
        None
        if covariance_type in DIAGONAL
        else rng.normal(size=(rows, d * (d - 1) // 2)) / np.sqrt(d)
    )
    factors = np.zeros((k, d, d))
    lower = np.tril_indices(d, -1)
    for component in range(k):
        if off_diag is not None:
            factors[component][lower] = off_diag[component % rows]
        np.fill_diagonal(factors[component], np.exp(log_diag[component % rows]))
    return log_diag, off_diag, factors


def build(covariance_type: str, k: int, d: int, dtype=np.float64, offset: float = 0.0):
    rng = np.random.default_rng(7)
    log_diag, off_diag, factors = factors_of(rng, covariance_type, k, d)
    logits, loc = rng.normal(size=k), offset + 2 * rng.normal(size=(k, d))
    leaves = [
        None if a is None else jnp.asarray(a, dtype) for a in (logits, loc, log_diag, off_diag)
    ]
    return jaxgmm.GMM(*leaves), factors


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("d", [1, 3, 128])
def test_log_prob_is_scipys(covariance_type, d):
    p, factors = build(covariance_type, 4, d)
    oracle = dense.Mixture(
        np.asarray(p.weights), np.asarray(p.loc), factors @ factors.transpose(0, 2, 1)
    )
    x = 3 * np.random.default_rng(1).normal(size=(20, d))
    expected = oracle.log_prob(x)
    np.testing.assert_allclose(jaxgmm.log_prob(p, x), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        jaxgmm.log_density(p)(jnp.asarray(x)), expected, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("d", [1, 128])
def test_float32(covariance_type, offset, d):
    p, _ = build(covariance_type, 4, d, np.float32, offset)
    leaves = jax.tree.map(lambda a: np.asarray(a, np.float64), p)
    _, _, factors = factors_of(np.random.default_rng(7), covariance_type, 4, d)
    exact_factors = np.where(
        np.eye(d, dtype=bool),
        np.exp(np.broadcast_to(leaves.log_diag, (4, d)))[:, :, None],
        factors.astype(np.float32),
    )
    oracle = dense.Mixture(
        np.asarray(jax.nn.softmax(jnp.asarray(leaves.logits))),
        leaves.loc,
        exact_factors @ exact_factors.transpose(0, 2, 1),
    )
    x = np.float32(offset + 3 * np.random.default_rng(1).normal(size=(20, d)))
    density = jaxgmm.log_prob(p, x)
    assert density.dtype == np.float32
    np.testing.assert_allclose(density, oracle.log_prob(x.astype(np.float64)), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_thousand_standard_deviations_away(dtype, covariance_type):
    p, factors = build(covariance_type, 3, 4, dtype)
    x = jnp.full((4,), 1000, dtype)
    value, gradient = jax.value_and_grad(jaxgmm.log_prob, argnums=(0, 1))(p, x)
    exact = digits.log_prob(p.logits, p.loc, factors, x)
    np.testing.assert_allclose(value, exact, rtol=1e-4 if dtype == np.float32 else 1e-10)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_condition_number_of_1e8():
    d = 6
    rng = np.random.default_rng(3)
    orthogonal, _ = np.linalg.qr(rng.normal(size=(d, d)))
    covariance = orthogonal @ np.diag(np.logspace(0, -8, d)) @ orthogonal.T
    p = jaxgmm.GMM.from_moments([0.4, 0.6], rng.normal(size=(2, d)), [covariance, np.eye(d)])
    # The oracle takes the factors as they were stored: the loss of digits in a Cholesky
    # factorisation is not in question.
    for x in rng.multivariate_normal(p.loc[0], covariance, size=3):
        exact = digits.log_prob(p.logits, p.loc, np.asarray(p.scale_tril), x)
        np.testing.assert_allclose(jaxgmm.log_prob(p, x), exact, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_component_without_weight(covariance_type):
    alive, _ = build(covariance_type, 3, 2)
    dead = jaxgmm.GMM(alive.logits.at[1].set(-jnp.inf), alive.loc, alive.log_diag, alive.off_diag)
    x = jnp.array([[0.5, -1.0], [40.0, 3.0]])
    rows = np.array([0, 2])
    others = jaxgmm.GMM(
        alive.logits[rows],
        alive.loc[rows],
        alive.log_diag if covariance_type == "tied" else alive.log_diag[rows],
        alive.off_diag
        if covariance_type == "tied" or alive.off_diag is None
        else alive.off_diag[rows],
    )
    np.testing.assert_allclose(jaxgmm.log_prob(dead, x), jaxgmm.log_prob(others, x), rtol=1e-12)
    gradient = jax.grad(lambda p: jaxgmm.log_prob(p, x).sum())(dead)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    np.testing.assert_array_equal(jaxgmm.responsibilities(dead, x)[:, 1], 0)


@pytest.mark.parametrize("covariance_type", first_by_default(["full", "tied", "diag", "spherical"]))
def test_derivatives_to_second_order(covariance_type):
    p, _ = build(covariance_type, 3, 3)
    x = jnp.array([0.3, -0.7, 1.1])
    check_grads(jaxgmm.log_prob, (p, x), order=2, modes=["fwd", "rev"], rtol=1e-5)


@pytest.mark.smoke
def test_components_and_responsibilities():
    oracle = random_mixture(0, 4, 3)
    p = gmm(oracle)
    x = np.random.default_rng(2).normal(size=(2, 5, 3))
    parts = [
        dense.Mixture(np.ones(1), oracle.means[[k]], oracle.covariances[[k]]).log_prob(
            x.reshape(-1, 3)
        )
        for k in range(4)
    ]
    parts = np.stack(parts, -1).reshape(2, 5, 4)
    np.testing.assert_allclose(jaxgmm.component_log_prob(p, x), parts, rtol=1e-11)
    joint = oracle.weights * np.exp(parts)
    np.testing.assert_allclose(
        jaxgmm.responsibilities(p, x), joint / joint.sum(-1, keepdims=True), rtol=1e-10
    )
    assert jaxgmm.log_prob(p, x).shape == (2, 5)
    assert jaxgmm.log_prob(p, x[0, 0]).shape == ()


@pytest.mark.smoke
def test_integer_points_are_points():
    p = gmm(random_mixture(0, 4, 3))
    np.testing.assert_array_equal(
        jaxgmm.log_prob(p, [[1, 2, 3]]), jaxgmm.log_prob(p, [[1.0, 2.0, 3.0]])
    )
    np.testing.assert_array_equal(
        jaxgmm.log_prob(p, jnp.array([1, 2, 3])), jaxgmm.log_prob(p, jnp.array([1.0, 2.0, 3.0]))
    )


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 2)), r"x must have shape \(\.\.\., 3\), as gmm\.num_dims is 3; got \(5, 2\)"),
        (0.0, r"x must have shape"),
        ([[np.nan, 0, 0]], "x holds NaN or infinity"),
        (jnp.array([np.inf, 0, 0]), "x holds NaN or infinity"),
    ],
)
def test_bad_points(x, message):
    with pytest.raises(ValueError, match=message):
        jaxgmm.log_prob(gmm(random_mixture(0, 4, 3)), x)


def test_points_on_the_line_without_an_axis_for_it():
    with pytest.raises(ValueError, match=r"got \(5,\); write x\[\.\.\., None\] for one dimension"):
        jaxgmm.log_prob(gmm(PAIRS["overlapping"][0]), np.zeros(5))


def test_points_that_are_not_numbers():
    with pytest.raises(TypeError, match="x must be an array of real numbers"):
        jaxgmm.log_prob(gmm(random_mixture(0, 4, 3)), ["a", "b", "c"])
