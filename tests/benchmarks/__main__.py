"""KL by jaxgmm against the classical recipe, at the same number of points: `python tests/benchmarks`.

The figure of merit is work, time x variance: what it costs to reach a given standard error. Times are medians of runs that take
turns, after compilation, and every ratio is of times in this run; "cold" is a whole process, import and compilation included.
"""

import argparse
import functools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from pairs import PAIRS, related
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import GMM, _expectation

RTOL = 1e-3


def recipe(p, q, n: int) -> np.ndarray:
    """What people do: sample scikit-learn's mixture, score both, subtract; the terms of the mean."""
    x, _ = p.sample(n)
    return p.score_samples(x) - q.score_samples(x)


def scipy_recipe(p, q, n: int) -> np.ndarray:
    """The same with SciPy's densities, which lose no digits."""
    x, _ = p.sample(n)

    def log_density(m) -> np.ndarray:
        parts = [multivariate_normal(mean, c).logpdf(x) for mean, c in zip(m.means_, dense(m), strict=True)]
        return logsumexp(parts, b=m.weights_[:, None], axis=0)

    return log_density(p) - log_density(q)


def dense(m) -> np.ndarray:
    return m.covariances_ if m.covariances_.ndim == 3 else np.stack([np.diag(v) for v in m.covariances_])


def medians(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each, called in turns after one call that warms up."""
    for function in functions.values():
        jax.block_until_ready(function())
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def floor(p: GMM, q: GMM, n: int) -> Callable[[], jax.Array]:
    """The matrix products alone: placing n points, and whitening them by each component of both mixtures."""
    block = _expectation.batch_length(p)
    num_rows = (p.num_components + q.num_components) * p.num_dims
    rows = jnp.ones((num_rows if p.off_diag is not None else p.num_components + q.num_components, p.num_dims), jnp.float32)
    nodes = jnp.ones((-(-n // block), p.num_dims, block), jnp.float32)

    @jax.jit
    def products(rows: jax.Array, nodes: jax.Array) -> jax.Array:
        def body(total: jax.Array, x: jax.Array):
            return total + jnp.matmul(rows, jnp.matmul(rows[: x.shape[0], :], x) if p.off_diag is not None else x)[0, 0], None

        return jax.lax.scan(body, jnp.zeros(()), nodes)[0]

    return lambda: products(rows, nodes)


def measure(name: str, n: int, rounds: int) -> dict[str, float]:
    p, q = PAIRS[name]()
    key = jax.random.key(0)
    sklearn_p, sklearn_q = jaxgmm.to_sklearn(p), jaxgmm.to_sklearn(q)
    sobol, monte_carlo = jaxgmm.Sobol(n), jaxgmm.MonteCarlo(n)
    gradient = jax.jit(jax.value_and_grad(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, sobol), argnums=(1, 2)))
    points = 2 ** (n - 1).bit_length()
    seconds = medians(
        {
            "recipe": lambda: recipe(sklearn_p, sklearn_q, n),
            "scipy": lambda: scipy_recipe(sklearn_p, sklearn_q, n),
            "monte carlo": lambda: jaxgmm.kl_divergence(key, p, q, monte_carlo),
            "sobol": lambda: jaxgmm.kl_divergence(key, p, q, sobol),
            "gradient": lambda: gradient(key, p, q),
            "floor": floor(p, q, points),
        },
        rounds,
    )
    replicates = 32
    result = jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q, rule=sobol, num_replicates=replicates)
    error = max(float(result.standard_error) * replicates**0.5, 1e-7 * abs(float(result.value)))  # float32 sees no less
    terms = recipe(sklearn_p, sklearn_q, n)
    recipe_error = float(terms.std() / np.sqrt(n))
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, str(pathlib.Path(__file__).with_name("cold.py")), name, str(RTOL)], check=True, capture_output=True
    )
    cold = time.perf_counter() - start
    return {
        "KL": float(result.value),
        "se": error,
        "recipe se": recipe_error,
        "ms": 1e3 * seconds["sobol"],
        "recipe ms": 1e3 * seconds["recipe"],
        "MC speed": seconds["recipe"] / seconds["monte carlo"],
        "work": seconds["recipe"] * recipe_error**2 / (seconds["sobol"] * error**2),
        "scipy work": seconds["scipy"] * recipe_error**2 / (seconds["sobol"] * error**2),
        "grad/value": seconds["gradient"] / seconds["sobol"],
        "time/floor": seconds["sobol"] / seconds["floor"],
        "cold s": cold,
        "recipe s": import_seconds() + seconds["recipe"] * (recipe_error / (RTOL * abs(float(result.value)))) ** 2,
    }


@functools.cache
def import_seconds() -> float:
    """What the recipe pays before it starts."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import sklearn.mixture"], check=True)
    return time.perf_counter() - start


def growth() -> None:
    """Time and peak memory of KL as n, K and D grow, each in a process of its own."""
    print(f"\n{'n':>10s}{'K':>6s}{'D':>6s}{'value s':>10s}{'gradient s':>12s}{'peak MB':>10s}")
    sizes = [(n, 10, 16) for n in (10**4, 10**5, 10**6, 10**7)]
    sizes += [(10**5, k, 16) for k in (1, 64, 256)] + [(10**5, 10, d) for d in (1, 64, 256)]
    for size in sizes:
        out = subprocess.run(
            [sys.executable, __file__, "--size", *map(str, size)], check=True, capture_output=True, text=True
        ).stdout.split()
        print(f"{size[0]:10d}{size[1]:6d}{size[2]:6d}{float(out[0]):10.3f}{float(out[1]):12.3f}{float(out[2]):10.0f}", flush=True)


def one_size(n: int, k: int, d: int) -> None:
    p, q = related(k, d, 2.0)()
    rule, key = jaxgmm.Sobol(n), jax.random.key(0)
    gradient = jax.jit(jax.value_and_grad(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, rule), argnums=(1, 2)))
    times = medians({"v": lambda: jaxgmm.kl_divergence(key, p, q, rule), "g": lambda: gradient(key, p, q)}, 3)
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(times["v"], times["g"], peak)


def batch_lengths(n: int, rounds: int) -> None:
    """The milliseconds of value and gradient by the length of a batch; * marks the length that is used."""
    lengths = [128, 256, 512, 1024, 2048, 4096, 8192]
    print(f"\n{'batch length':22s}" + "".join(f"{length:>16d}" for length in lengths))
    for name, build in PAIRS.items():
        p, q = build()
        cells = [times_with_batches_of(length, p, q, n, rounds) for length in lengths]
        used = _expectation.batch_length(p)
        marks = ["*" if length == used else " " for length in lengths]
        print(f"{name:22s}" + "".join(cell + mark for cell, mark in zip(cells, marks, strict=True)), flush=True)


def times_with_batches_of(length: int, p: GMM, q: GMM, n: int, rounds: int) -> str:
    chosen, key = _expectation.batch_length, jax.random.key(0)
    _expectation.batch_length = lambda gmm: length
    jax.clear_caches()
    value = jax.jit(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, jaxgmm.Sobol(n)))
    gradient = jax.jit(jax.grad(value, argnums=(1, 2)))
    times = medians({"value": lambda: value(key, p, q), "gradient": lambda: gradient(key, p, q)}, rounds)
    _expectation.batch_length = chosen
    return f"{1e3 * times['value']:7.1f}{1e3 * times['gradient']:8.1f}"


def reductions(n: int, rounds: int) -> None:
    """Standard error and milliseconds of KL with each variance reduction left out, over those with all of them."""
    print(f"\n{'left out':22s}{'control: error':>16s}{'time':>8s}{'turn: error':>16s}{'time':>8s}")
    for name, build in PAIRS.items():
        p, q = build()
        errors, calls = {}, {}
        for switch in ("", "_control_is_worth_it", "_turning_is_worth_it"):
            errors[switch], calls[switch] = without(switch, p, q, n)
        times = medians(calls, 3 * rounds)
        cells = [f"{errors[switch] / errors['']:16.3g}{times[switch] / times['']:8.2f}" for switch in calls if switch]
        print(f"{name:22s}" + "".join(cells), flush=True)


def without(switch: str, p: GMM, q: GMM, n: int) -> tuple[float, Callable[[], jax.Array]]:
    """The standard error of KL, and the compiled function, with that switch of the engine off."""
    chosen = getattr(_expectation, switch, None)
    if switch:
        setattr(_expectation, switch, lambda *_: False)
    jax.clear_caches()
    kl = jax.jit(lambda key: jaxgmm.kl_divergence(key, p, q, jaxgmm.Sobol(n)))
    values = [float(kl(key)) for key in jax.random.split(jax.random.key(0), 48)]
    if switch:
        setattr(_expectation, switch, chosen)
    return float(np.std(values, ddof=1)), functools.partial(kl, jax.random.key(0))


def fitting(rounds: int) -> None:
    """A step of `fit` over the value and gradient in it; and reduction on real data, refined, against EM on a sample."""
    print(f"\n{'one step of fit':22s}{'ms':>10s}{'over its gradient':>20s}")
    steps, key = 200, jax.random.key(0)
    for name in ("D=2 K=5", "D=16 K=10 separated", "D=64 K=32 separated"):
        p, q = PAIRS[name]()
        loss, optimizer = jaxgmm.forward_kl_loss(p), optax.adam(1e-3)
        gradient = jax.jit(jax.value_and_grad(loss, argnums=1))
        calls = {"fit": lambda: jaxgmm.fit(key, loss, q, optimizer, steps).losses, "gradient": lambda: gradient(key, q)}  # noqa: B023
        times = medians(calls, rounds)
        print(f"{name:22s}{1e3 * times['fit'] / steps:10.2f}{times['fit'] / steps / times['gradient']:20.2f}", flush=True)

    print(f"\n{'digits, reduced':22s}{'KL':>10s}{'error':>10s}{'seconds':>10s}")
    for family, d, k, fewer in (("full", 16, 64, 10), ("diag", 32, 200, 20)):
        for name, q, kl, seconds in reduced_digits(family, d, k, fewer):
            print(f"{f'{family} {k} to {q}: {name}':22s}{kl.value:10.4f}{kl.standard_error:10.4f}{seconds:10.1f}", flush=True)


def reduced_digits(family: str, d: int, k: int, fewer: int):
    """For each way to reduce a mixture of the digits: its name, the components left, the forward KL and the seconds it took."""
    x = PCA(d, random_state=0).fit_transform(load_digits().data)
    fitted = GaussianMixture(k, covariance_type=family, reg_covar=1e-2, random_state=0).fit(x / x.std(0))
    p, key = jaxgmm.from_sklearn(fitted), jax.random.key(0)
    ways = {
        "refined": lambda: jaxgmm.reduce(p, fewer, refine=jaxgmm.cross_entropy_loss, key=key),
        "merged": lambda: jaxgmm.reduce(p, fewer),
        "EM": lambda: jaxgmm.from_sklearn(
            GaussianMixture(fewer, covariance_type=family, random_state=0).fit(fitted.sample(100_000)[0])
        ),
    }
    for name, way in ways.items():
        start = time.perf_counter()
        q = way()
        seconds = time.perf_counter() - start
        kl = jaxgmm.estimate(jaxgmm.kl_divergence, jax.random.key(1), p, q, rule=jaxgmm.Sobol(2**16))
        yield name, q.num_components, kl, seconds


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}, float32"


def plot(rows: dict[str, dict[str, float]], path: pathlib.Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 0.4 * len(rows) + 1.2), layout="constrained")
    axes.barh(list(rows)[::-1], [row["work"] for row in list(rows.values())[::-1]], color="0.4")
    axes.set(xscale="log", xlabel="work of the classical recipe, over that of jaxgmm, for the same standard error")
    axes.axvline(1, color="k", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000, help="points of each run (100,000)")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each (5)")
    parser.add_argument("--only", default="", help="pairs whose name contains this")
    parser.add_argument("--growth", action="store_true", help="also time and memory as n, K and D grow")
    parser.add_argument("--fitting", action="store_true", help="also a step of fit, and mixture reduction on real data")
    parser.add_argument("--reductions", action="store_true", help="also what each variance reduction brings, and costs")
    parser.add_argument("--batches", action="store_true", help="also times by the length of a batch")
    parser.add_argument("--output", type=pathlib.Path, help="a folder for the table as JSON, and a plot if matplotlib is there")
    parser.add_argument("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        one_size(*arguments.size)
        return
    print(f"{machine()}; {arguments.points:,} points")
    rows = {}
    for name in PAIRS:
        if arguments.only in name:
            rows[name] = measure(name, arguments.points, arguments.rounds)
            if len(rows) == 1:
                print(f"{'':22s}" + "".join(f"{column:>11s}" for column in rows[name]))
            print(f"{name:22s}" + "".join(f"{value:11.4g}" for value in rows[name].values()), flush=True)
    if arguments.growth:
        growth()
    if arguments.fitting:
        fitting(arguments.rounds)
    if arguments.reductions:
        reductions(arguments.points, arguments.rounds)
    if arguments.batches:
        batch_lengths(arguments.points, arguments.rounds)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "work.json").write_text(json.dumps({"machine": machine(), "pairs": rows}, indent=2))
        plot(rows, arguments.output / "work.png")


if __name__ == "__main__":
    main()
