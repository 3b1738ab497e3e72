"""An example that the command runs: divergences and a fit of two built-in mixtures."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgmm
from jaxgmm import GMM, Estimate, Sobol

NUM_STEPS = 300


def example_mixtures() -> tuple[GMM, GMM]:
    means = [[0.0, 0.0], [3.0, 1.0], [-1.0, 3.0]]
    covariances = [[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 0.8]], [[1.5, 0.0], [0.0, 0.3]]]
    p = GMM.from_moments([0.5, 0.3, 0.2], means, covariances)
    means = [[0.5, 0.5], [2.0, 2.0]]
    covariances = [[[1.5, 0.3], [0.3, 1.5]], [[2.0, 0.0], [0.0, 1.0]]]
    return p, GMM.from_moments([0.6, 0.4], means, covariances)


def timed(fn: Callable[[], Any]) -> tuple[Any, str]:
    """The result of fn, the time of its first call, which compiles it, and that of its second."""
    start = time.perf_counter()
    result = jax.block_until_ready(fn())
    middle = time.perf_counter()
    jax.block_until_ready(fn())
    return result, f"{middle - start:5.2f} s, again {1e3 * (time.perf_counter() - middle):4.0f} ms"


def line(name: str, value: Estimate, duration: str) -> str:
    return f"  {name:12s}{value.value:9.5f} +- {value.standard_error:.5f} nats    ({duration})"


def demo() -> None:
    """Print divergences between two mixtures, a check against a closed form, and a fit."""
    p, q = example_mixtures()
    key = jax.random.key(0)
    print(f"jaxgmm {jaxgmm.__version__}, JAX {jax.__version__} on {jax.devices()[0].platform}\n")

    components = f"{p.num_components} and {q.num_components} components"
    print(f"Two mixtures of {components} in {p.num_dims} dimensions (+-: standard error)")
    for name, divergence, pair in [
        ("KL(p || q)", jaxgmm.kl_divergence, (p, q)),
        ("KL(q || p)", jaxgmm.kl_divergence, (q, p)),
        ("JS(p, q)", jaxgmm.js_divergence, (p, q)),
    ]:
        print(line(name, *timed(functools.partial(jaxgmm.estimate, divergence, key, *pair))))

    a = GMM.from_moments([1.0], [[0.0, 0.0]], [[1.0, 2.0]], "diag")
    b = GMM.from_moments([1.0], [[1.0, -1.0]], [[2.0, 1.5]], "diag")
    exact = float(jaxgmm.gaussian_kl(a, b)[0, 0])
    result, duration = timed(lambda: jaxgmm.estimate(jaxgmm.kl_divergence, key, a, b))
    print("\nOne Gaussian each, where a closed form exists")
    print(line("KL(a || b)", result, duration))
    off = abs(result.value - exact) / result.standard_error
    print(f"  {'exact':12s}{exact:9.5f}    (off by {off:.1f} standard errors)")
    print_fit(key, p, q)


def print_fit(key: jax.Array, p: GMM, q: GMM) -> None:
    loss = jaxgmm.forward_kl_loss(p, Sobol(1024))
    fit = functools.partial(jaxgmm.fit, key, loss, q, optax.adam(3e-2), NUM_STEPS)
    result, duration = timed(fit)
    steps = f"{NUM_STEPS} steps of optax.adam on KL(p || q), weights included"
    print(f"\nFit q to p: {steps}    ({duration})")
    for step in jnp.linspace(0, NUM_STEPS - 1, 6).astype(int).tolist():
        print(f"  step {step:4d}  KL {result.losses[step]:8.5f}")
    fitted = result.params
    before, after = (np.asarray(gmm.weights).round(3) for gmm in (q, fitted))
    print(f"  weights of q: {before} -> {after}")
    print(line("KL(p || q)", *timed(lambda: jaxgmm.estimate(jaxgmm.kl_divergence, key, p, fitted))))
