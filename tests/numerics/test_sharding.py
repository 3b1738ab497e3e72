"""Stacks of mixtures and of data on a mesh of four devices, in a process of their own."""

import pytest

from support.paths import ROOT
from support.processes import run_in_a_process_of_its_own
from support.public_functions import FUNCTIONS

SHARDED = f"""
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
sys.path.insert(0, {str(ROOT / "tests")!r})
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
import jaxgmm
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from support.mixtures import stack
from support.public_functions import FUNCTIONS, RULE, pair

b = PartitionSpec("b")
explicit = jax.make_mesh((4,), ("b",), axis_types=(AxisType.Explicit,))
auto = jax.make_mesh((4,), ("b",), axis_types=(AxisType.Auto,))
pairs = [pair("full", seed) for seed in range(4)]
plain = jax.random.split(jax.random.key(0), 4), *(stack(side) for side in zip(*pairs))

def on(mesh, tree):
    return jax.device_put(tree, NamedSharding(mesh, b))

def check(got, expected):
    def same(got, expected):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)
        assert got.sharding.spec[0] == "b", got.sharding
    jax.tree.map(same, got, expected)

def check_all(fn, with_the_mesh=True):
    mapped = jax.jit(jax.vmap(fn))
    expected = mapped(*plain)
    check(mapped(*on(explicit, plain)), expected)
    split = jax.shard_map(jax.vmap(fn), mesh=explicit, in_specs=b, out_specs=b)
    check(jax.jit(split)(*on(explicit, plain)), expected)
    if with_the_mesh:
        check(mapped(*on(auto, plain)), expected)
        with jax.set_mesh(explicit):
            check(mapped(*on(explicit, plain)), expected)
    return expected
"""


def run(program: str) -> None:
    assert run_in_a_process_of_its_own(SHARDED + program).endswith("done\n")


def test_a_divergence_of_stacks_and_the_density_of_sharded_points():
    """And a gradient, which JAX itself takes of Explicit axes only where their mesh is set."""
    run("""
grid = jaxgmm.GaussHermite(3)
kl = lambda key, p, q: jaxgmm.kl_divergence(None, p, q, grid)
check(jax.vmap(kl)(*on(explicit, plain)), check_all(kl))
gradient = jax.vmap(jax.grad(kl, argnums=(1, 2)))
with jax.set_mesh(explicit):
    check(gradient(*on(explicit, plain)), jax.jit(gradient)(*plain))
keys, p, q = plain[0], pairs[0][0], plain[2]
for fn in (kl, lambda key, p, q: jaxgmm.expectation(None, p, jaxgmm.log_density(q), grid)):
    mapped = lambda p, keys, q: jax.vmap(lambda key, q: fn(key, p, q))(keys, q)
    split = jax.shard_map(mapped, mesh=auto, in_specs=(PartitionSpec(), b, b), out_specs=b)
    of_p = lambda fn: jax.jit(jax.grad(lambda p: fn(p, keys, q).sum()))(p)
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9)
    jax.tree.map(close, of_p(split), of_p(mapped))
x = np.arange(16.0).reshape(8, 2)
for of_points in (jaxgmm.log_prob, jaxgmm.component_log_prob):
    check(of_points(pairs[0][0], on(explicit, x)), of_points(pairs[0][0], x))
print("done")
""")


GROUPS = [list(FUNCTIONS)[i::9] for i in range(9)]


@pytest.mark.long
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_every_function_of_stacks(names):
    run(f"""
for turn, name in enumerate({names}):
    print(name, flush=True)
    check_all(FUNCTIONS[name], with_the_mesh=turn == 0)
print("done")
""")


@pytest.mark.long
def test_the_loops_of_many_dimensions():
    """The control variate, the rotation, sums of covariances, and distances between components."""
    run("""
# The integrand of components that overlap varies in all directions, so rounding turns none of them.
one_by_one = [[jaxgmm.GMM.random(key, k, 6, spread=0.3) for key in plain[0]] for k in (2, 3)]
plain = plain[0], *map(stack, one_by_one)
check_all(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, jaxgmm.Sobol(2**12)))
check_all(lambda key, p, q: jaxgmm.gaussian_wasserstein_squared(p, q))
check_all(lambda key, p, q: jaxgmm.convolve(p, q))
print("done")
""")
