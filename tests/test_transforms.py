"""What JAX promises of every public function: jit, vmap, grad, dtypes, no key used twice, and one compilation for a shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import gmm, random_mixture

import jaxgmm

RULE = jaxgmm.Sobol(256)
X = np.random.default_rng(0).normal(size=(7, 2))

# Each as a function of (key, p, q) with static facts bound.
FUNCTIONS = {
    "log_prob": lambda key, p, q: jaxgmm.log_prob(p, X.astype(p.loc.dtype)),
    "component_log_prob": lambda key, p, q: jaxgmm.component_log_prob(p, X.astype(p.loc.dtype)),
    "responsibilities": lambda key, p, q: jaxgmm.responsibilities(p, X.astype(p.loc.dtype)),
    "sample": lambda key, p, q: jaxgmm.sample(key, p, 64),
    "kl_divergence": lambda key, p, q: jaxgmm.kl_divergence(key, p, q, RULE),
    "js_divergence": lambda key, p, q: jaxgmm.js_divergence(key, p, q, RULE),
    "jeffreys_divergence": lambda key, p, q: jaxgmm.jeffreys_divergence(key, p, q, RULE),
    "entropy": lambda key, p, q: jaxgmm.entropy(key, p, RULE),
    "cross_entropy": lambda key, p, q: jaxgmm.cross_entropy(key, p, q, RULE),
    "renyi_divergence": lambda key, p, q: jaxgmm.renyi_divergence(key, p, q, 0.7, RULE),
    "hellinger_distance": lambda key, p, q: jaxgmm.hellinger_distance(key, p, q, RULE),
    "f_divergence": lambda key, p, q: jaxgmm.f_divergence(key, p, q, jnp.square, RULE),
    "component_information": lambda key, p, q: jaxgmm.component_information(key, p, RULE),
    "monte carlo": lambda key, p, q: jaxgmm.kl_divergence(key, p, q, jaxgmm.MonteCarlo(256)),
    "expectation": lambda key, p, q: jaxgmm.expectation(key, p, jaxgmm.log_density(q), RULE),
    "estimate": lambda key, p, q: jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q, rule=RULE, num_replicates=4),
    "gaussian_kl": lambda key, p, q: jaxgmm.gaussian_kl(p, q),
    "gaussian_wasserstein_squared": lambda key, p, q: jaxgmm.gaussian_wasserstein_squared(p, q),
    "mmd": lambda key, p, q: jaxgmm.mmd(p, q, 1.5),
    "kl_moment_matched": lambda key, p, q: jaxgmm.kl_moment_matched(p, q),
    "kl_bounds": lambda key, p, q: jaxgmm.kl_bounds(p, q),
    "mixture_of": lambda key, p, q: jaxgmm.mixture_of([p, q]),
    "condition": lambda key, p, q: jaxgmm.condition(p, (1,), [0.5]),
    "affine": lambda key, p, q: jaxgmm.affine(p, [[1.0, 2.0]], [3.0]),
    "convolve": lambda key, p, q: jaxgmm.convolve(p, q),
    "product": lambda key, p, q: jaxgmm.product(p, q),
    "mixture_covariance": lambda key, p, q: jaxgmm.mixture_covariance(p),
    "mixture_wasserstein": lambda key, p, q: jaxgmm.mixture_wasserstein(p, q),
    "pairwise": lambda key, p, q: jaxgmm.pairwise(jaxgmm.kl_divergence, key, [p, q], rule=RULE),
}
WITHOUT_WEIGHTS = ("component_log_prob", "gaussian_kl", "gaussian_wasserstein_squared")
TYPES = ["full", "tied", "diag", "spherical"]


def pair(covariance_type: str, seed: int, dtype=np.float64) -> tuple[jaxgmm.GMM, jaxgmm.GMM]:
    """A full mixture of three components, and one of two of that covariance type."""
    other = random_mixture(seed + 50, 2, 2)
    covariances = {
        "full": other.covariances,
        "tied": other.covariances[0],
        "diag": np.diagonal(other.covariances, axis1=1, axis2=2),
        "spherical": other.covariances[:, 0, 0],
    }[covariance_type]
    q = jaxgmm.GMM.from_moments(other.weights, other.means, covariances, covariance_type, dtype=dtype)
    return gmm(random_mixture(seed, 3, 2), dtype), q


def stack(mixtures):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *mixtures)


def assert_trees_close(a, b, rtol: float) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol), a, b)


@pytest.mark.long
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_and_vmap(name, key):
    """Under jit, and over stacks of keys and of both mixtures, each function answers as it does one by one."""
    fn = FUNCTIONS[name]
    pairs = [pair("diag", seed) for seed in range(3)]
    keys = jax.random.split(key, 3)
    one_by_one = [fn(key, p, q) for key, (p, q) in zip(keys, pairs, strict=True)]
    assert_trees_close(jax.jit(fn)(keys[0], *pairs[0]), one_by_one[0], 1e-12)
    mapped = jax.vmap(fn)(keys, stack([p for p, _ in pairs]), stack([q for _, q in pairs]))
    assert_trees_close(mapped, stack(one_by_one), 1e-12)


EACH_WITH_EACH_TYPE = [
    pytest.param(name, covariance_type, marks=[pytest.mark.long] if (index + turn) % len(TYPES) else [])
    for index, name in enumerate(FUNCTIONS)
    for turn, covariance_type in enumerate(TYPES)
]


@pytest.mark.usefixtures("each_key_is_used_once")
@pytest.mark.parametrize(("name", "covariance_type"), EACH_WITH_EACH_TYPE)
def test_float32_stays_float32_and_gradients_are_finite(name, covariance_type, key):
    """With x64 enabled, in the value and in the gradient, which has the shapes of the parameters."""
    p, q = pair(covariance_type, 0, np.float32)

    def total(p, q):
        value = FUNCTIONS[name](key, p, q)
        assert {leaf.dtype for leaf in jax.tree.leaves(value)} == {np.dtype(np.float32)}
        # A square, as responsibilities sum to 1 and have no gradient in their sum.
        return sum((leaf * leaf).sum() for leaf in jax.tree.leaves(value))

    gradient = jax.jit(jax.grad(total, argnums=(0, 1)))(p, q)
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, (p, q))
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {np.dtype(np.float32)}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert (np.abs(gradient[0].logits).max() > 0) != (name in WITHOUT_WEIGHTS)


COMPILATIONS = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: COMPILATIONS.append(event) if event == "/jax/core/compile/backend_compile_duration" else None
)


@pytest.mark.usefixtures("each_key_is_used_once")
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "expectation"])  # which is not jitted, and says so
def test_one_compilation_for_a_shape(name):
    """New values, new keys and new Python objects of the same shapes compile nothing; the first call compiles one program."""
    jax.clear_caches()
    pairs = [pair("full", seed) for seed in range(3)]
    smaller = jax.tree.map(lambda leaf: leaf[:2], pairs[0][0])
    keys = list(jax.random.split(jax.random.key(0), 4))
    COMPILATIONS.clear()
    FUNCTIONS[name](keys[0], *pairs[0])
    assert len(COMPILATIONS) == 1
    for key, (p, q) in zip(keys[1:3], pairs[1:], strict=True):
        FUNCTIONS[name](key, p, q)
    assert len(COMPILATIONS) == 1
    FUNCTIONS[name](keys[3], smaller, pairs[0][1])
    assert len(COMPILATIONS) == 2  # the counter counts
