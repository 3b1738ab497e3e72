"""What JAX promises of every public function: jit, vmap, grad, dtypes, no key used twice, and one
compilation for a shape.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jaxgmm
from oracles import dense, differences, quadrature
from support.compilations import COMPILATIONS
from support.covariance_types import TYPES
from support.long import first_by_default
from support.mixtures import PAIRS, gmm, stack
from support.processes import run_in_a_process_of_its_own
from support.public_functions import FUNCTIONS, OF_FUNCTIONS, RULE, pair

WITHOUT_WEIGHTS = ("component_log_prob", "gaussian_kl", "gaussian_wasserstein_squared")


def assert_trees_close(a, b, rtol: float) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol), a, b)


@pytest.mark.long
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_and_vmap(name, key):
    """Under jit, and over stacks of keys and of both mixtures, each function answers as it does one
    by one.
    """
    fn = FUNCTIONS[name]
    pairs = [pair("diag", seed) for seed in range(3)]
    keys = jax.random.split(key, 3)
    one_by_one = [fn(key, p, q) for key, (p, q) in zip(keys, pairs, strict=True)]
    assert_trees_close(jax.jit(fn)(keys[0], *pairs[0]), one_by_one[0], 1e-12)
    mapped = jax.vmap(fn)(keys, stack([p for p, _ in pairs]), stack([q for _, q in pairs]))
    assert_trees_close(mapped, stack(one_by_one), 1e-12)


# Every fourth function runs by default, with one type; all of them with the long tests.
EVERY_FOURTH = list(FUNCTIONS)[::4]
EACH_WITH_EACH_TYPE = [
    pytest.param(name, covariance_type, marks=[] if is_default else pytest.mark.long)
    for index, name in enumerate(FUNCTIONS)
    for turn, covariance_type in enumerate(TYPES)
    for is_default in [name in EVERY_FOURTH and (index + turn) % len(TYPES) == 0]
]
# The others take a function, are not jitted, and say so.
JITTED = [name for name in FUNCTIONS if name not in OF_FUNCTIONS]
JITTED.sort(key=lambda name: name not in EVERY_FOURTH)


@pytest.mark.usefixtures("each_key_is_used_once")
@pytest.mark.parametrize(("name", "covariance_type"), EACH_WITH_EACH_TYPE)
def test_float32_stays_float32_and_gradients_are_finite(name, covariance_type, key):
    """With x64 enabled, in the value and in the gradient, which has the shapes of the
    parameters.
    """
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


@pytest.mark.usefixtures("each_key_is_used_once")
@pytest.mark.parametrize("name", first_by_default(JITTED, 8))
def test_one_compilation_for_a_shape(name):
    """New values, new keys and new Python objects of the same shapes compile nothing; the first
    call compiles one program.
    """
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


def test_no_leaked_tracers_and_one_program_without_jit(key):
    """The check of leaks ends, and `jax.disable_jit` does not compile operations one by one."""
    p, q = pair("full", 0)
    with jax.checking_leaks():
        jaxgmm.kl_divergence(None, p, q, jaxgmm.GaussHermite(2))
    start = time.process_time()
    with jax.disable_jit():
        value = jaxgmm.kl_divergence(key, p, q, RULE)
    assert time.process_time() - start < 5
    assert value == jaxgmm.kl_divergence(key, p, q, RULE)


def test_derivatives_in_every_mode():
    """Forward, reverse, forward over reverse, and forward of a stack, against differences."""
    p, q = PAIRS["overlapping"]
    flat, unravel = ravel_pytree(gmm(q))

    def value(x):
        return jaxgmm.kl_divergence(None, gmm(p), unravel(x), jaxgmm.GaussHermite(160))

    def truth(x):
        leaves = unravel(jnp.asarray(x))
        parts = (leaves.logits, leaves.loc, leaves.log_diag, leaves.off_diag)
        return quadrature.kl(p, dense.from_unconstrained(*map(np.asarray, parts)))

    def stacked(x):
        return jax.jvp(jax.vmap(value), (x[None],), (jnp.ones_like(x)[None],))[1][0]

    modes = jax.jacfwd(value), jax.jacrev(value), jax.jacfwd(jax.grad(value)), stacked
    forward, reverse, second, along = jax.jit(lambda x: [mode(x) for mode in modes])(flat)
    exact = differences.gradient(truth, np.asarray(flat))
    np.testing.assert_allclose(forward, exact, atol=1e-7)
    np.testing.assert_allclose(reverse, exact, atol=1e-7)
    np.testing.assert_allclose(along, exact.sum(), atol=1e-7)
    np.testing.assert_allclose(second, differences.hessian(truth, np.asarray(flat)), atol=1e-5)


def test_exported_functions_of_our_types(key, tmp_path):
    """A process that imports the package loads and calls them, and nobody registers a type."""
    pytest.importorskip("flatbuffers")
    p, q = (jaxgmm.GMM.random(key, k, 1, "diag", dtype=np.float32) for k in (1, 2))
    losses, no = np.zeros(2, np.float32), np.zeros((), bool)
    functions = {
        "GMM": lambda p, q: jaxgmm.mixture_of([p, q]),
        "Divergences": lambda p, q: jaxgmm.Divergences(*jnp.arange(6.0)),
        "Estimate": lambda p, q: jaxgmm.Estimate(q.loc, p.loc, 4, None, True),
        "FitResult": lambda p, q: jaxgmm.FitResult(p, losses, no, no, None),
        "ImportanceWeights": lambda p, q: jaxgmm.ImportanceWeights(*[losses] * 5, None),
        "EMResult": lambda p, q: jaxgmm.EMResult(p, losses[0], losses[1], np.int32(3), no),
    }
    for name, function in functions.items():
        exported = jax.export.export(jax.jit(function))(p, q)
        (tmp_path / name).write_bytes(exported.serialize())
    leaves = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves((p, q))]
    out = run_in_a_process_of_its_own(f"""
    import pathlib, jax, jaxgmm, jax.numpy as jnp
    arrays = [jnp.asarray(leaf, jnp.float32) for leaf in {leaves}]
    p, q = jaxgmm.GMM(*arrays[:3], None), jaxgmm.GMM(*arrays[3:], None)
    for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
        result = jax.export.deserialize(bytearray(path.read_bytes())).call(p, q)
        print(type(result).__name__, getattr(result, "converged", None))
    """)
    expected = "Divergences None, EMResult False, Estimate True, FitResult False, GMM None, "
    expected += "ImportanceWeights None"
    assert ", ".join(out.splitlines()) == expected


@pytest.mark.parametrize("dtype", first_by_default([jnp.bfloat16, jnp.float16]))
def test_half_precision_is_computed_in_float32(dtype, key):
    """The divergence of the rounded parameters, rounded once, and the points of float32."""
    p, q = (jax.tree.map(lambda leaf: leaf.astype(dtype), gmm(m)) for m in PAIRS["overlapping"])
    names = ("logits", "loc", "log_diag", "off_diag")
    leaves = ([np.asarray(getattr(m, name), float) for name in names] for m in (p, q))
    truth = quadrature.kl(*(dense.from_unconstrained(*of_one) for of_one in leaves))
    kl = jax.value_and_grad(jaxgmm.kl_divergence, argnums=2)
    value, gradient = kl(None, p, q, jaxgmm.GaussHermite(100))
    assert {leaf.dtype for leaf in jax.tree.leaves((value, gradient))} == {np.dtype(dtype)}
    np.testing.assert_allclose(float(value), truth, rtol=float(jnp.finfo(dtype).eps))
    wide = jax.tree.map(lambda leaf: leaf.astype(np.float32), p)
    points = jaxgmm.sample(key, wide, 50)
    np.testing.assert_array_equal(jaxgmm.sample(key, p, 50), points.astype(dtype))
    means = [jaxgmm.expectation(key, m, lambda x: x, RULE) for m in (p, wide)]
    np.testing.assert_array_equal(*means)
    assert jaxgmm.mmd(p, q, 1.5).dtype == dtype  # whatever the dtype of a number
    assert jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q, rule=RULE).value.dtype == dtype
