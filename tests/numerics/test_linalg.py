import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgmm._numerics.linalg import (
    cholesky_if_definite,
    inv_tril,
    log_det_and_mahalanobis,
    orthogonal_factor,
    pack_tril,
    procrustes,
    tril_of,
    unpack_tril,
)


def triangles(k: int, d: int, dtype=np.float64) -> jax.Array:
    rng = np.random.default_rng(d)
    lower = np.tril(rng.normal(size=(k, d, d)), -1) / np.sqrt(d)
    return jnp.asarray(lower + np.exp(0.3 * rng.normal(size=(k, d)))[:, :, None] * np.eye(d), dtype)


@pytest.mark.smoke
def test_unpacks_row_by_row():
    packed = unpack_tril(jnp.log(jnp.array([[1.0, 4.0, 6.0]])), jnp.array([[2.0, 3.0, 5.0]]), 3)
    np.testing.assert_allclose(packed[0], [[1, 0, 0], [2, 4, 0], [3, 5, 6]], rtol=1e-15)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 16, 17, 128])
def test_inverse(d):
    lower = triangles(3, d)
    np.testing.assert_allclose(inv_tril(lower), np.linalg.inv(lower), rtol=1e-10, atol=1e-12)


def test_inverse_in_float32():
    lower = triangles(2, 64, np.float32)
    inverse = inv_tril(lower)
    exact = np.linalg.inv(np.asarray(lower, np.float64))
    assert inverse.dtype == np.float32
    np.testing.assert_allclose(inverse, exact, atol=3e-6 * np.abs(exact).max())


def test_derivatives_of_the_inverse():
    check_grads(
        lambda lower: inv_tril(jnp.tril(lower)),
        (triangles(2, 5),),
        order=2,
        modes=["fwd", "rev"],
        rtol=1e-6,
    )


@pytest.mark.smoke
def test_packing_is_the_inverse_of_unpacking():
    lower = triangles(3, 4)
    np.testing.assert_allclose(unpack_tril(*pack_tril(lower), 4), lower, rtol=1e-14)


@pytest.mark.parametrize("d", [1, 2, 5, 64])
def test_triangle_of_a_sum(d):
    a, b = triangles(3, d), triangles(3, d)[::-1]
    lower, inverse = tril_of(jnp.concatenate([a, b], axis=2))
    exact = np.linalg.cholesky(a @ a.mT + b @ b.mT)
    np.testing.assert_allclose(lower, exact, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(inverse, np.linalg.inv(exact), rtol=1e-10, atol=1e-12)


def test_triangle_of_what_is_ill_conditioned():
    """The error grows with the condition number of the root, not with its square, which that of the
    sum is.
    """
    rng = np.random.default_rng(0)
    lower = np.tril(rng.normal(size=(5, 5)), -1) + np.diag([1, 0.1, 1, 1e-5, 1])
    condition = np.linalg.cond(lower)
    assert 1e6 < condition < 1e8
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    factor, inverse = tril_of(jnp.asarray(lower @ rotation)[None])
    np.testing.assert_allclose(factor[0], lower, rtol=0, atol=1e-15 * condition)
    np.testing.assert_allclose(inverse[0] @ lower, np.eye(5), atol=1e-15 * condition)


def test_derivatives_of_the_triangle_of_a_sum():
    roots = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)))
    check_grads(jax.jit(tril_of), (roots,), order=2, modes=["rev"], rtol=1e-6)


def test_log_det_and_mahalanobis():
    rng = np.random.default_rng(1)
    roots, offsets = (
        jnp.concatenate([triangles(2, 3), 0.3 * rng.normal(size=(2, 3, 2))], axis=2),
        jnp.asarray(rng.normal(size=(2, 4, 3))),
    )
    log_det, squares = log_det_and_mahalanobis(roots, offsets)
    total = np.asarray(roots @ roots.mT)
    np.testing.assert_allclose(log_det, 0.5 * np.linalg.slogdet(total)[1], rtol=1e-12)
    np.testing.assert_allclose(
        squares, np.einsum("rnd,rde,rne->rn", offsets, np.linalg.inv(total), offsets), rtol=1e-12
    )
    check_grads(
        jax.jit(log_det_and_mahalanobis),
        (roots, offsets),
        order=2,
        modes=["rev"],
        rtol=1e-6,
        eps=1e-5,
    )


@pytest.mark.parametrize("condition", [1e2, 1e8])
def test_orthogonal_factor(condition):
    """For singular values down to 1e-8, at once with a lower bound that is far too low."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(2))
    matrix = 3 * (left * np.geomspace(1, 1 / condition, 6)) @ right
    for smallest in (3 / condition, 1e-12):
        factor = orthogonal_factor(jnp.asarray(matrix)[None], jnp.array([smallest]))[0]
        np.testing.assert_allclose(factor.T @ factor, np.eye(6), atol=1e-13)
        np.testing.assert_allclose(factor, left @ right, atol=1e-15 * condition)


def test_orthogonal_factor_of_what_has_rank_one_to_rounding():
    """Whose largest singular value is its norm, where a step of Newton and Schulz may turn a
    sign.
    """
    matrices = jnp.asarray(np.diag([1.0, 1e-13, 1e-13]))[None]
    np.testing.assert_allclose(
        orthogonal_factor(matrices, jnp.array([1e-30]))[0], np.eye(3), atol=1e-13
    )


@pytest.mark.parametrize("d", [3, 32])
def test_procrustes(d):
    """Against the nuclear norm from singular values; between equal triangles, and nearly so, no
    digits cancel.
    """
    a, b = triangles(3, d), triangles(3, d)[::-1]
    nuclear = np.linalg.svd(a.mT @ b, compute_uv=False).sum(-1)
    exact = np.square(a).sum((1, 2)) + np.square(b).sum((1, 2)) - 2 * nuclear
    np.testing.assert_allclose(procrustes(a, b), exact, rtol=1e-11, atol=1e-12)
    assert procrustes(a, a).max() < 1e-25
    if d == 3:
        check_grads(jax.jit(procrustes), (a, b), order=1, modes=["fwd", "rev"], rtol=1e-6)


@pytest.mark.long
def test_cholesky_of_what_may_not_be_definite():
    """NumPy's factor where it has one, with its derivative; else the identity and a gradient 0."""
    lower = triangles(3, 5)
    matrices = lower @ lower.mT
    shifts = jnp.array([0.0, 0.1, -100.0])

    def factor(shifts):
        shifted = matrices + shifts[:, None, None] * jnp.eye(5)[None]
        return cholesky_if_definite(shifted, jnp.full(3, 1e-12))

    found, definite = factor(shifts)
    exact = np.linalg.cholesky(matrices[:2] + shifts[:2, None, None] * np.eye(5)[None])
    np.testing.assert_allclose(found[:2], exact, rtol=1e-9, atol=1e-12)
    assert definite.tolist() == [True, True, False]
    assert (found[2] == np.eye(5)).all()
    check_grads(lambda shifts: factor(shifts)[0], (shifts,), order=2, rtol=1e-4)
    assert jax.grad(lambda shifts: factor(shifts)[0].sum())(shifts)[2] == 0


def test_a_matrix_of_rank_one_is_not_definite():
    """Nor is what is so to rounding alone, nor what has a negative square at the end."""
    matrices = jnp.array([[[1.0, 1.0], [1.0, 1.0 + 1e-15]], [[1.0, 0], [0, -1]]])
    assert cholesky_if_definite(matrices, jnp.full(2, 1e-14))[1].tolist() == [False, False]
