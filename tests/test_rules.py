import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm, qmc

import jaxgmm
from jaxgmm import _rules

RULES = [jaxgmm.MonteCarlo, jaxgmm.Sobol]


def nodes_of(rule, key, k: int, d: int, length: int, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """All nodes (K, D, N) and weights (N,) of a rule, from all of its blocks."""
    num_blocks, block = rule.blocks(key, k, d, length, dtype)
    parts = [block(jnp.uint32(i)) for i in range(num_blocks)]
    return np.concatenate([p[0] for p in parts], -1), np.concatenate([p[1] for p in parts])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("n", "k", "length"), [(1, 1, 64), (1, 5, 64), (1000, 3, 64), (1000, 3, 1), (1024, 1, 2048)])
def test_weights_sum_to_one_and_n_is_met(rule, n, k, length, key):
    nodes, weights = nodes_of(rule(n), key, k, 2, length)
    assert nodes.shape == (k, 2, len(weights))
    assert n <= k * len(weights) <= 2 * n + 2 * k
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_node_is_standard_normal_whatever_its_index(rule):
    """Over 4,000 keys, by Kolmogorov and Smirnov: this sees a distribution function that is off by 0.04."""
    keys = jax.random.split(jax.random.key(3), 4000)

    @jax.jit
    @jax.vmap
    def draw(key):
        _, block = rule(24).blocks(key, 3, 2, 4, np.float64)
        return jnp.concatenate([block(jnp.uint32(0))[0], block(jnp.uint32(1))[0]], -1)

    draws = np.asarray(draw(keys))
    for index in [(0, 0, 0), (1, 1, 0), (2, 0, 5), (0, 1, 7)]:
        assert kstest(draws[:, *index], "norm").pvalue > 1e-6
    pairs = [((0, 0, 1), (1, 0, 1)), ((0, 0, 0), (0, 1, 0)), ((2, 1, 5), (0, 1, 5))]
    for first, second in pairs:  # components and dimensions are independent
        assert abs(np.corrcoef(draws[:, *first], draws[:, *second])[0, 1]) < 5 / np.sqrt(4000)


def test_sobol_points_are_a_net(key):
    """Each of n intervals of length 1/n holds one point, in every dimension, and pairs of dimensions are nets as scipy's are."""
    nodes, _ = nodes_of(jaxgmm.Sobol(3 * 256), key, 3, 5, 16)
    uniform = norm.cdf(nodes)
    cells = np.sort(np.floor(uniform * 256).astype(int), -1)
    np.testing.assert_array_equal(cells, np.broadcast_to(np.arange(256), cells.shape))
    boxes = np.floor(uniform[:, :2] * 16).astype(int)
    for component in boxes:
        assert len({tuple(box) for box in component.T}) == 256


def test_direction_numbers_are_those_of_joe_and_kuo():
    points = np.asarray(_rules._net(jnp.asarray(_rules._directions(7, 6))[:, None, :], jnp.arange(64)))[0].T
    expected = qmc.Sobol(7, scramble=False, bits=32).random(64)
    assert {tuple(row) for row in points / 2.0**32} == {tuple(row) for row in expected}


def test_every_bit_is_scrambled():
    """Over keys, each of the 32 bits of a fixed point is 0 half of the time, to within 5 standard errors."""
    keys = jax.random.split(jax.random.key(4), 2000)

    def point(key):
        directions, shift = _rules._scramble(key, 6, 1, 2)
        return _rules._net(directions, jnp.array([37]))[..., 0] ^ shift

    words = np.asarray(jax.vmap(point)(keys))
    bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_infinity_at_the_ends(dtype):
    ends = _rules._normal_from_bits(jnp.array([0, 2**32 - 1, 2**31 - 1, 2**31], np.uint32), dtype)
    assert ends.dtype == dtype
    np.testing.assert_allclose(ends[0], -ends[1], rtol=1e-6)
    kept = 23 if dtype == np.float32 else 32
    np.testing.assert_allclose(ends[1], norm.isf(2.0 ** -(kept + 1)), rtol=1e-5)
    np.testing.assert_allclose(ends[2:], [-norm.isf(0.5 - 2.0 ** -(kept + 1)), norm.isf(0.5 - 2.0 ** -(kept + 1))], rtol=1e-5)


def test_same_key_same_points(key):
    for rule in RULES:
        first, second = (nodes_of(rule(100), key, 2, 3, 8)[0] for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, nodes_of(rule(100), jax.random.key(1), 2, 3, 8)[0])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "n must be an integer of at least 1, got 0"),
        (-5, ValueError, "n must be an integer of at least 1, got -5"),
        (True, ValueError, "n must be an integer of at least 1, got True"),
        (1e4, TypeError, "n must be an integer, got 10000.0; write n=10_000, say"),
        ("many", TypeError, "n must be an integer, got 'many'"),
    ],
)
def test_bad_n(rule, n, error, message):
    with pytest.raises(error, match=re.escape(message)):
        rule(n)


def test_numpy_integers_are_integers():
    assert jaxgmm.Sobol(np.int64(8)) == jaxgmm.Sobol(8)


def test_limits_of_sobol(key):
    with pytest.raises(ValueError, match=r"at most 2\*\*32 points"):
        jaxgmm.Sobol(2**40).blocks(key, 1, 1, 64, np.float32)
    with pytest.raises(ValueError, match="at most 21201 dimensions, got 21202; use MonteCarlo"):
        jaxgmm.Sobol(4).blocks(key, 1, 21202, 64, np.float32)
