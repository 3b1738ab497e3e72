"""The strictest flags that JAX has, and the pairs of mixtures that tests share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import dense

import jaxgmm

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_nans", True)

PAIRS = {
    "overlapping": (
        dense.mixture([0.35, 0.65], [-1, 1.25], [0.35, 0.8]),
        dense.mixture([0.55, 0.45], [-0.4, 2], [0.6, 1.1]),
    ),
    "nested": (
        dense.mixture([0.2, 0.8], [0, 0.3], [0.04, 4.0]),
        dense.mixture([0.6, 0.4], [0.1, -0.2], [1.0, 9.0]),
    ),
    "far": (
        dense.mixture([0.5, 0.5], [-12, -9], [0.5, 1.0]),
        dense.mixture([0.3, 0.7], [9, 14], [1.0, 2.0]),
    ),
    "unequal": (
        dense.mixture([0.98, 0.02], [0, 6], [1.0, 0.1]),
        dense.mixture([0.03, 0.97], [-4, 0.5], [0.2, 1.5]),
    ),
    "plane": (
        dense.mixture([0.3, 0.7], [[0, 0], [1.5, 1]], [[[1, 0.6], [0.6, 1]], [[0.5, -0.2], [-0.2, 0.8]]]),
        dense.mixture([0.6, 0.4], [[0.5, -0.5], [1, 2]], [[[1.2, 0], [0, 0.7]], [[0.9, 0.5], [0.5, 1.5]]]),
    ),
    "plane far": (
        dense.mixture([0.9, 0.1], [[-6, 0], [-5, 3]], [[[1, 0.6], [0.6, 1]], [[0.5, -0.2], [-0.2, 0.8]]]),
        dense.mixture([0.5, 0.5], [[6, -0.5], [4, 2]], [[[1.2, 0], [0, 0.7]], [[0.9, 0.5], [0.5, 1.5]]]),
    ),
}
POINTS = np.random.default_rng(0).normal(size=(40, 2)).round(6)


def gmm(mixture: dense.Mixture, dtype=np.float64) -> jaxgmm.GMM:
    """The package's mixture for an oracle's."""
    return jaxgmm.GMM.from_moments(mixture.weights, mixture.means, mixture.covariances, dtype=dtype)


def random_mixture(seed: int, k: int, d: int, spread: float = 2.0) -> dense.Mixture:
    """Unequal weights, and covariances with eigenvalues about 1."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 3.0))
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    return dense.Mixture(weights, spread * rng.normal(size=(k, d)), 0.5 * np.eye(d) + 0.5 * factors @ factors.transpose(0, 2, 1))


@pytest.fixture(scope="module", autouse=True)
def room_for_more_programs():
    """A process may map only so many pieces of memory, and compiled programs are made of them: XLA crashes at the limit."""
    yield
    jax.clear_caches()


@pytest.fixture
def as_optax_needs_it(request):
    """Optax mixes dtypes and ranks in its optimisers; `test_optax_still_mixes_dtypes_strictly` tells when it no longer does."""
    if "strictly" in request.node.name:
        yield
    else:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            yield


@pytest.fixture
def nan_is_meant():
    with jax.debug_nans(False):
        yield


@pytest.fixture
def each_key_is_used_once():
    """For tests that do not themselves use one twice, to compare."""
    with jax.debug_key_reuse(True):
        yield


@pytest.fixture
def saved_files(tmp_path, monkeypatch):
    """A folder of mixtures and of points, to work in."""
    monkeypatch.chdir(tmp_path)
    overlapping = PAIRS["overlapping"]
    jaxgmm.save("a.npz", gmm(overlapping[0]))
    jaxgmm.save("b.npz", gmm(overlapping[1], np.float32))
    jaxgmm.save("plane.npz", gmm(PAIRS["plane"][0]))
    jaxgmm.save("stack.npz", jaxgmm.stack([gmm(mixture) for mixture in overlapping]))
    jaxgmm.save("tree.npz", [np.ones(2)])
    np.save("x.npy", POINTS)


@pytest.fixture
def key():
    return jax.random.key(20)


def assert_same(a, b) -> None:
    """The same structure, types, dtypes and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert type(x) is type(y)
        assert (np.asarray(x).dtype, np.shape(x)) == (np.asarray(y).dtype, np.shape(y))
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def assert_within(estimate: jaxgmm.Estimate, truth, catches: float) -> None:
    """Every number within 5 standard errors of the truth, and the smallest error that is then caught is at most `catches`.

    What happens in less than 5 of all the points may not have been seen at all, and then no standard error knows of it.
    """
    for value, error, exact in zip(*map(jax.tree.leaves, (estimate.value, estimate.standard_error, truth)), strict=True):
        value, error, exact = (np.asarray(a, float) for a in (value, error, exact))
        bound = 5 * error + 1e-11 * np.abs(exact)  # which is what quadrature is good for
        bound = bound + 5 / estimate.num_points
        assert np.all(np.abs(value - exact) <= bound), f"{value} +- {error}, should be {exact}"
        assert np.all(bound <= catches), f"5 standard errors are {5 * error}: too many to see an error of {catches}"
