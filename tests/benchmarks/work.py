"""KL and JS by jaxgmm against the classical recipe, and against the products of matrices in KL."""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from pairs import PAIRS
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from timing import medians

import jaxgmm
from jaxgmm import GMM
from jaxgmm._mixture.sampling import batch_length

RTOL = 1e-3


def recipe(p, q, n: int) -> np.ndarray:
    """What people do: sample scikit-learn's mixture, score both, subtract; the terms of the
    mean.
    """
    x, _ = p.sample(n)
    return p.score_samples(x) - q.score_samples(x)


def js_recipe(p, q, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for JS: under each mixture, the terms of its mean against the midpoint."""
    terms = []
    for own, other in ((p, q), (q, p)):
        x, _ = own.sample(n)
        log_own = own.score_samples(x)
        midpoint = np.logaddexp(log_own, other.score_samples(x)) - np.log(2)
        terms.append(log_own - midpoint)
    return terms[0], terms[1]


def scipy_recipe(p, q, n: int) -> np.ndarray:
    """The same with SciPy's densities, which lose no digits."""
    x, _ = p.sample(n)

    def log_density(m) -> np.ndarray:
        parts = [
            multivariate_normal(mean, c).logpdf(x)
            for mean, c in zip(m.means_, dense(m), strict=True)
        ]
        return logsumexp(parts, b=m.weights_[:, None], axis=0)

    return log_density(p) - log_density(q)


def dense(m) -> np.ndarray:
    return (
        m.covariances_
        if m.covariances_.ndim == 3
        else np.stack([np.diag(v) for v in m.covariances_])
    )


def floor(p: GMM, q: GMM, n: int) -> Callable[[], jax.Array]:
    """The matrix products alone: placing n points, and whitening them by each component of both
    mixtures.
    """
    block = batch_length(p)
    num_rows = (p.num_components + q.num_components) * p.num_dims
    rows = jnp.ones(
        (num_rows if p.off_diag is not None else p.num_components + q.num_components, p.num_dims),
        jnp.float32,
    )
    nodes = jnp.ones((-(-n // block), p.num_dims, block), jnp.float32)

    @jax.jit
    def products(rows: jax.Array, nodes: jax.Array) -> jax.Array:
        def body(total: jax.Array, x: jax.Array):
            return total + jnp.matmul(
                rows, jnp.matmul(rows[: x.shape[0], :], x) if p.off_diag is not None else x
            )[0, 0], None

        return jax.lax.scan(body, jnp.zeros(()), nodes)[0]

    return lambda: products(rows, nodes)


def measure(name: str, n: int, rounds: int, seed: int) -> dict[str, float]:
    p, q = PAIRS[name](seed)
    seconds = times(p, q, n, rounds)
    rule = jaxgmm.Sobol(n)
    num_replicates = int(np.clip(5 / seconds["sobol"], 32, 512))
    kl, error = value_and_error(p, q, rule, num_replicates)
    js, js_error = value_and_error(p, q, rule, num_replicates, jaxgmm.js_divergence)
    sklearn_pair = jaxgmm.to_sklearn(p), jaxgmm.to_sklearn(q)
    recipe_error = float(recipe(*sklearn_pair, n).std() / np.sqrt(n))
    js_recipe_error = float(np.hypot(*(x.std() for x in js_recipe(*sklearn_pair, n))) / 2 / n**0.5)
    return {
        "KL": kl,
        "se": error,
        "recipe se": recipe_error,
        "ms": 1e3 * seconds["sobol"],
        "recipe ms": 1e3 * seconds["recipe"],
        "MC speed": seconds["recipe"] / seconds["monte carlo"],
        "work": seconds["recipe"] * recipe_error**2 / (seconds["sobol"] * error**2),
        "scipy work": seconds["scipy"] * recipe_error**2 / (seconds["sobol"] * error**2),
        "JS": js,
        "JS se": js_error,
        "JS work": seconds["js recipe"] * js_recipe_error**2 / (seconds["js"] * js_error**2),
        "grad/value": seconds["gradient"] / seconds["sobol"],
        "time/floor": seconds["sobol"] / seconds["floor"],
        "cold s": cold_seconds(name),
        "cached s": cached_seconds(name),
        "recipe s": import_seconds() + seconds["recipe"] * (recipe_error / (RTOL * abs(kl))) ** 2,
    }


def times(p: GMM, q: GMM, n: int, rounds: int) -> dict[str, float]:
    """The median seconds of the recipes, of KL by two rules, of JS, of KL with its gradient, and of
    the floor.
    """
    key, sobol, monte_carlo = jax.random.key(0), jaxgmm.Sobol(n), jaxgmm.MonteCarlo(n)
    sklearn_p, sklearn_q = jaxgmm.to_sklearn(p), jaxgmm.to_sklearn(q)
    gradient = jax.jit(
        jax.value_and_grad(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, sobol), argnums=(1, 2))
    )
    calls = {
        "recipe": lambda: recipe(sklearn_p, sklearn_q, n),
        "scipy": lambda: scipy_recipe(sklearn_p, sklearn_q, n),
        "monte carlo": lambda: jaxgmm.kl_divergence(key, p, q, monte_carlo),
        "sobol": lambda: jaxgmm.kl_divergence(key, p, q, sobol),
        "js recipe": lambda: js_recipe(sklearn_p, sklearn_q, n),
        "js": lambda: jaxgmm.js_divergence(key, p, q, sobol),
        "gradient": lambda: gradient(key, p, q),
        "floor": floor(p, q, 2 ** (n - 1).bit_length()),
    }
    return medians(calls, rounds)


def value_and_error(
    p: GMM,
    q: GMM,
    rule: jaxgmm.Rule,
    num_replicates: int,
    divergence: Callable[..., jax.Array] = jaxgmm.kl_divergence,
) -> tuple[float, float]:
    """A divergence and the standard error of one run, of which float32 sees no less than 1e-7."""
    result = jaxgmm.estimate(
        divergence, jax.random.key(0), p, q, rule=rule, num_replicates=num_replicates
    )
    value = float(result.value)
    return value, max(float(result.standard_error) * num_replicates**0.5, 1e-7 * abs(value))


def cold_seconds(name: str, **settings: str) -> float:
    """One estimate in a process of its own, from its start to its end."""
    start = time.perf_counter()
    program = str(pathlib.Path(__file__).with_name("cold.py"))
    subprocess.run(
        [sys.executable, program, name, str(RTOL)],
        check=True,
        capture_output=True,
        env=os.environ | settings,
    )
    return time.perf_counter() - start


def cached_seconds(name: str) -> float:
    """The same when JAX has kept what it compiled in an earlier process."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        cold_seconds(name, **settings)
        return cold_seconds(name, **settings)


@functools.cache
def import_seconds() -> float:
    """What the recipe pays before it starts."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import sklearn.mixture"], check=True)
    return time.perf_counter() - start
