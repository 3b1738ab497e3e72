"""What a mixture is written as, to other shapes, libraries and files, is read as the same mixture
again.
"""

import jax
import numpy as np
import pytest
from hypothesis import given, settings

import jaxgmm
from jaxgmm import GMM
from support.covariance_types import TYPES
from support.libraries import SILENCED, WRITERS, lenient
from support.strategies import mixtures
from support.trees import assert_same

pytestmark = pytest.mark.long


def assert_same_mixture(p: GMM, q: GMM, rtol: float = 1e-9) -> None:
    """The same moments; covariances to their scale, as of far smaller ones some digits are lost in
    a sum.
    """
    np.testing.assert_allclose(q.weights, p.weights, rtol=rtol)
    np.testing.assert_array_equal(q.means, p.means)
    np.testing.assert_allclose(
        q.scale_tril, p.scale_tril, rtol=rtol, atol=rtol * float(abs(p.scale_tril).max())
    )


@pytest.mark.parametrize("covariance_type", TYPES)
def test_moments(covariance_type):
    @given(mixtures(2, 2, covariance_type))
    def check(p):
        again = GMM.from_moments(p.weights, p.means, p.covariances, covariance_type)
        assert again.covariance_type == covariance_type
        assert_same_mixture(p, again)
        for name in ("weights", "means", "covariances"):
            np.testing.assert_allclose(
                getattr(again, name), getattr(p, name), rtol=1e-12, err_msg=name
            )

    check()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_sklearn(covariance_type):
    @given(mixtures(2, 2, covariance_type))
    def check(p):
        again = jaxgmm.from_sklearn(jaxgmm.to_sklearn(p))
        assert again.covariance_type == covariance_type
        assert_same_mixture(p, again)

    check()


@pytest.mark.parametrize("library", [pytest.param(name, marks=SILENCED) for name in WRITERS])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_distributions(covariance_type, library):
    @settings(max_examples=5)
    @given(mixtures(2, 2, covariance_type))
    def check(p):
        with lenient():
            again = jaxgmm.from_distribution(WRITERS[library](p))
        assert_same_mixture(p, again)

    check()


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files(covariance_type, dtype, tmp_path):
    """Bit for bit, read as a mixture and as a part of another pytree."""

    @given(mixtures(3, 2, covariance_type, dtype))
    def check(p):
        jaxgmm.save(tmp_path / "p.npz", p)
        assert_same(jaxgmm.load(tmp_path / "p.npz"), p)
        whole = {"key": jax.random.key(1), "mixtures": [p, p]}
        jaxgmm.save(tmp_path / "whole.npz", whole)
        like = {"key": jax.random.key(0), "mixtures": [jax.tree.map(jax.numpy.zeros_like, p)] * 2}
        assert_same(jaxgmm.load(tmp_path / "whole.npz", like=like), whole)

    check()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_stacks(covariance_type):
    @given(mixtures(2, 2, covariance_type), mixtures(2, 2, covariance_type))
    def check(p, q):
        both = jaxgmm.stack([p, q])
        assert_same([jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in (0, 1)], [p, q])

    check()
