import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from scipy.special import roots_hermitenorm
from scipy.stats import kstest, norm, qmc

import jaxgmm
from jaxgmm._quadrature import sobol
from support.long import first_by_default

RULES = [jaxgmm.MonteCarlo, jaxgmm.Sobol]


EVEN = np.full(4, 0.25)
UNEQUAL = np.array([0.91] + [0.01] * 9)


def nodes_of(
    rule, key, weights, d: int, length: int, dtype=np.float64
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The nodes (D, n_k) and weights (n_k,) of each component, from all batches."""
    num_batches, batch = rule.batches(key, jnp.asarray(weights, dtype), d, length)
    parts = jax.tree.map(
        lambda *leaves: np.concatenate(leaves), *[batch(jnp.uint32(i)) for i in range(num_batches)]
    )
    of = [parts.component == k for k in range(len(weights))]
    return [
        (np.concatenate(parts.nodes[mine], -1), parts.node_weights[mine].ravel()) for mine in of
    ]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "sizes",
    first_by_default(
        [(9000, 7, 99), (1, 5, 64), (1000, 3, 1), (1024, 1, 2048), (1, 1, 64), (1000, 3, 64)], 3
    ),
)
@pytest.mark.parametrize("weights", first_by_default(["unequal", "even", "one has all"]))
def test_weights_sum_to_one_and_n_is_met(rule, sizes, weights, key):
    n, k, length = sizes
    rng = np.random.default_rng(k)
    weights = {
        "even": np.full(k, 1 / k),
        "unequal": rng.dirichlet(np.full(k, 0.3)),
        "one has all": np.eye(k)[0],
    }[weights]
    nodes = nodes_of(rule(n), key, weights, 2, length)
    total = sum(len(node_weights) for _, node_weights in nodes)
    assert n <= total <= 2 * n + 2 * k
    for points, node_weights in nodes:
        assert points.shape == (2, len(node_weights))
        np.testing.assert_allclose(node_weights.sum(), 1, rtol=1e-12)


def test_directions_are_those_of_scipy():
    """Its file and its public generator agree, in every dimension; fails when the file moves, and
    jaxgmm then starts slower.
    """
    table = pathlib.Path(scipy.__file__).parent / "stats" / "_sobol_direction_numbers.npz"
    for num_dims, num_bits in ((1, 20), (5, 20), (qmc.Sobol.MAXDIM, 8)):
        from_points = sobol.directions_from_points(num_dims, num_bits)
        np.testing.assert_array_equal(
            sobol.directions_from_table(table, num_dims)[:num_bits], from_points
        )
        np.testing.assert_array_equal(sobol.directions_of(num_dims, num_bits), from_points)


@pytest.mark.parametrize("rule", first_by_default([jaxgmm.Sobol, jaxgmm.MonteCarlo]))
def test_points_go_where_the_weights_are(rule, key):
    """Independent points: within 1.5 of the least variance; weight gradients within 2 of the
    deviation of an even split.
    """
    for weights in (
        UNEQUAL,
        EVEN,
        np.full(10, 0.1),
        np.random.default_rng(0).dirichlet(np.ones(30)),
    ):
        shares = np.array(
            [len(node_weights) for _, node_weights in nodes_of(rule(2**14), key, weights, 5, 256)]
        )
        shares = shares / shares.sum()
        assert (weights**2 / shares).sum() <= 1.5
        assert shares.min() * len(weights) >= 1 / 4


@pytest.mark.smoke
def test_equal_weights_of_a_power_of_two_share_evenly(key):
    for weights in (EVEN, EVEN * (1 + np.array([1e-7, -1e-7, 1e-7, 0]))):
        assert [len(w) for _, w in nodes_of(jaxgmm.Sobol(1024), key, weights, 1, 256)] == [256] * 4


@pytest.mark.parametrize("rule", RULES)
def test_a_node_is_standard_normal_whatever_its_index(rule):
    """Over 4,000 keys, by Kolmogorov and Smirnov: this sees a distribution function that is off by
    0.04.
    """
    keys = jax.random.split(jax.random.key(3), 4000)

    @jax.jit
    @jax.vmap
    def draw(key):
        num_batches, batch = rule(32).batches(key, jnp.full(4, 0.25), 2, 8)
        strata = jnp.concatenate([batch(jnp.uint32(i)).nodes for i in range(num_batches)])
        return strata.reshape(4, -1, 2, strata.shape[-1]).swapaxes(1, 2).reshape(4, 2, -1)

    draws = np.asarray(draw(keys))
    assert draws.shape[1:] == (4, 2, 8)
    for index in [(0, 0, 0), (1, 1, 0), (2, 0, 5), (0, 1, 7)]:
        assert kstest(draws[:, *index], "norm").pvalue > 1e-6
    pairs = [((0, 0, 1), (1, 0, 1)), ((0, 0, 0), (0, 1, 0)), ((2, 1, 5), (0, 1, 5))]
    for first, second in pairs:  # components and dimensions are independent
        assert abs(np.corrcoef(draws[:, *first], draws[:, *second])[0, 1]) < 5 / np.sqrt(4000)


def test_sobol_points_are_a_net(key):
    """Each of n intervals of length 1/n holds one point, in every dimension, and pairs of
    dimensions are nets as scipy's are.
    """
    uniform = norm.cdf([nodes for nodes, _ in nodes_of(jaxgmm.Sobol(1024), key, EVEN, 5, 64)])
    cells = np.sort(np.floor(uniform * 256).astype(int), -1)
    np.testing.assert_array_equal(cells, np.broadcast_to(np.arange(256), cells.shape))
    boxes = np.floor(uniform[:, :2] * 16).astype(int)
    for component in boxes:
        assert len({tuple(box) for box in component.T}) == 256


@pytest.mark.smoke
def test_direction_numbers_are_those_of_joe_and_kuo():
    points = np.asarray(
        sobol.net(
            jnp.asarray(sobol.directions_of(7, 6))[:, None, :],
            jnp.arange(64, dtype=np.uint32)[None],
        )
    )[0].T
    expected = qmc.Sobol(7, scramble=False, bits=32).random(64)
    assert {tuple(row) for row in points / 2.0**32} == {tuple(row) for row in expected}


def test_every_bit_is_scrambled():
    """Over keys, each of the 32 bits of a fixed point is 0 half of the time, to within 5 standard
    errors.
    """
    keys = jax.random.split(jax.random.key(4), 2000)

    def point(key):
        directions, shift = sobol.scrambled(key, 6, 1, 2)
        return sobol.net(directions, jnp.array([[37]], np.uint32))[..., 0] ^ shift

    words = np.asarray(jax.vmap(point)(keys))
    bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_infinity_at_the_ends(dtype):
    ends = sobol.normal_from_bits(jnp.array([0, 2**32 - 1, 2**31 - 1, 2**31], np.uint32), dtype)
    assert ends.dtype == dtype
    np.testing.assert_allclose(ends[0], -ends[1], rtol=1e-6)
    kept = 23 if dtype == np.float32 else 32
    np.testing.assert_allclose(ends[1], norm.isf(2.0 ** -(kept + 1)), rtol=1e-5)
    np.testing.assert_allclose(
        ends[2:],
        [-norm.isf(0.5 - 2.0 ** -(kept + 1)), norm.isf(0.5 - 2.0 ** -(kept + 1))],
        rtol=1e-5,
    )


def test_same_key_same_points(key):
    for rule in RULES:
        first, second = (nodes_of(rule(100), key, EVEN, 3, 8)[0][0] for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, nodes_of(rule(100), jax.random.key(1), EVEN, 3, 8)[0][0])


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


def test_every_dimension_of_the_tables(key):
    """In 21,201 dimensions each coordinate is a net still."""
    ((nodes, _),) = nodes_of(jaxgmm.Sobol(8), key, [1.0], 21201, 8)
    cells = np.sort(np.floor(norm.cdf(nodes) * 8).astype(int), -1)
    np.testing.assert_array_equal(cells, np.broadcast_to(np.arange(8), (21201, 8)))


def test_limits_of_sobol(key):
    with pytest.raises(
        ValueError,
        match=r"n must be at most 2\*\*32 for Sobol' points, got 1099511627776; use MonteCarlo",
    ):
        jaxgmm.Sobol(2**40)
    with pytest.raises(ValueError, match="at most 21201 dimensions, got 21202; use MonteCarlo"):
        jaxgmm.Sobol(4).batches(key, jnp.ones(1), 21202, 64)


def test_antithetic_nodes_come_in_pairs(key):
    for n in (1000, 1001):
        for nodes, _ in nodes_of(jaxgmm.MonteCarlo(n, antithetic=True), key, EVEN, 3, 64):
            np.testing.assert_allclose(np.sort(nodes, -1), -np.sort(nodes, -1)[:, ::-1])
            assert len(np.unique(np.abs(nodes[0]))) == nodes.shape[1] // 2


@pytest.mark.smoke
def test_gauss_hermite_is_exact_for_polynomials():
    """E[eps^2k] is (2k - 1)!!, up to degree 2 order - 1; in two dimensions, products."""
    ((nodes, node_weights),) = nodes_of(jaxgmm.GaussHermite(6), None, [1.0], 2, 10)
    assert (node_weights > 0).sum() == 36
    for power, moment in [(0, 1), (1, 0), (2, 1), (4, 3), (6, 15), (8, 105), (10, 945), (11, 0)]:
        np.testing.assert_allclose(
            (nodes**power) @ node_weights, moment, atol=1e-10 * max(1, moment)
        )
    np.testing.assert_allclose((nodes[0] ** 4 * nodes[1] ** 6) @ node_weights, 45, rtol=1e-12)


def test_gauss_hermite_of_high_order():
    ((nodes, node_weights),) = nodes_of(jaxgmm.GaussHermite(1000), None, [1.0], 1, 256)
    np.testing.assert_allclose(np.cos(nodes[0]) @ node_weights, np.exp(-0.5), rtol=1e-12)


def test_gauss_hermite_says_what_to_use_instead():
    with pytest.raises(
        ValueError,
        match=r"GaussHermite\(order=10\) has 10\*\*7 nodes for each component, "
        r"more than .* use Sobol",
    ):
        jaxgmm.GaussHermite(10).batches(None, jnp.ones(1), 7, 64)
    with pytest.raises(ValueError, match="order must be an integer of at least 1, got 0"):
        jaxgmm.GaussHermite(0)


@pytest.mark.parametrize("d", [1, 3, 40])
def test_sigma_points_have_the_moments_of_a_normal_to_degree_3(d):
    for nodes, node_weights in nodes_of(jaxgmm.SigmaPoints(), None, EVEN, d, 16):
        np.testing.assert_allclose(nodes @ node_weights, 0, atol=1e-12)
        np.testing.assert_allclose((nodes * node_weights) @ nodes.T, np.eye(d), atol=1e-12)


@pytest.mark.parametrize(("order", "d"), [(40, 1), (128, 1), (300, 1), (64, 2), (200, 2)])
def test_nodes_without_weight_are_left_out(order, d):
    """In float32, where weights underflow and log-densities far out may too."""
    rule, narrow = jaxgmm.GaussHermite(order), np.float32
    (nodes, weights), *_ = nodes_of(rule, None, [1.0], d, 2**22, narrow)
    root_weights = roots_hermitenorm(order)[1]
    products = root_weights / root_weights.sum() if d == 1 else np.outer(*[root_weights] * 2)
    products = products / products.sum()
    assert len(weights) <= 1.01 * (products > np.finfo(narrow).tiny).sum()
    assert len(weights) < order**d or order == 40
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose((weights * nodes[-1] ** 4).sum(), 3, rtol=1e-4)
    p, q = (
        jaxgmm.GMM.from_moments([1.0], np.zeros((1, d)), [s], "spherical", dtype=narrow)
        for s in (1.0, 1e-36)
    )
    value = jaxgmm.kl_divergence(None, p, q, rule)
    np.testing.assert_allclose(value, d / 2 * (1e36 - 1 + np.log(1e-36)), rtol=1e-5)
