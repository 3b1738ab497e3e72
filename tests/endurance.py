"""Thousands of calls of every jitted public function in one process: `python tests/endurance.py
[CALLS]`.

It prints a line for each, and ends with an error if memory grows or a shape is compiled twice. That
it ends at all is the point: on two cores, XLA can deadlock in programs that call LAPACK.
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp

jax.config.update("jax_numpy_rank_promotion", "raise")

import jaxgmm  # noqa: E402
from support.compilations import COMPILATIONS  # noqa: E402
from support.public_functions import FUNCTIONS, OF_FUNCTIONS, RULE, pair  # noqa: E402

MAX_GROWTH = 20  # MB


def target(x: jax.Array) -> jax.Array:
    return -jnp.sum(x**4, axis=-1)


# Those that take a function are not jitted: their caller is.
ENDURING = {name: fn for name, fn in FUNCTIONS.items() if name not in OF_FUNCTIONS} | {
    "expectation": jax.jit(lambda key, p, q: jaxgmm.expectation(key, p, target, RULE)),
    "elbo": jax.jit(lambda key, p, q: jaxgmm.elbo(key, p, target, RULE)),
    "importance_weights": jax.jit(
        lambda key, p, q: jaxgmm.importance_weights(key, p, target, 64)[:5]
    ),
}


def resident() -> float:
    """The memory of this process, in MB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(
        int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")
    )


def endures(name: str, num_calls: int) -> bool:
    """Whether so many calls compile nothing and keep nothing."""
    p, q = pair("full", 1)
    keys = list(jax.random.split(jax.random.key(0), num_calls))
    fn = ENDURING[name]
    for key in keys[: num_calls // 10]:  # in which allocators come to rest
        jax.block_until_ready(fn(key, p, q))
    COMPILATIONS.clear()
    before, start = resident(), time.perf_counter()
    for key in keys:
        jax.block_until_ready(fn(key, p, q))
    seconds, growth = time.perf_counter() - start, resident() - before
    print(
        f"{name:30s}{1e3 * seconds / num_calls:8.2f} ms{growth:8.1f} MB"
        f"{len(COMPILATIONS):4d} compilations",
        flush=True,
    )
    return growth < MAX_GROWTH and not COMPILATIONS


if __name__ == "__main__":
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    failed = [name for name in ENDURING if not endures(name, calls)]
    sys.exit(f"not so: {', '.join(failed)}" if failed else 0)
