import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgmm._linalg import inv_tril, unpack_tril


def triangles(k: int, d: int, dtype=np.float64) -> jax.Array:
    rng = np.random.default_rng(d)
    lower = np.tril(rng.normal(size=(k, d, d)), -1) / np.sqrt(d)
    return jnp.asarray(lower + np.exp(0.3 * rng.normal(size=(k, d)))[:, :, None] * np.eye(d), dtype)


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
    check_grads(lambda lower: inv_tril(jnp.tril(lower)), (triangles(2, 5),), order=2, modes=["fwd", "rev"], rtol=1e-6)
