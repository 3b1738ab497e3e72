"""KL by jaxgmm against the classical recipe, at the same number of points: `python tests/benchmarks`.

The figure of merit is work, time x variance: what it costs to reach a given standard error. All times are medians of runs
that take turns, after compilation; every ratio is of times in this run.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from pairs import PAIRS

import jaxgmm


def recipe(p, q, n: int) -> np.ndarray:
    """What people do: sample scikit-learn's mixture, score both, subtract; the terms of the mean."""
    x, _ = p.sample(n)
    return p.score_samples(x) - q.score_samples(x)


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


def measure(p: jaxgmm.GMM, q: jaxgmm.GMM, n: int, rounds: int) -> dict[str, float]:
    key = jax.random.key(0)
    sklearn_p, sklearn_q = jaxgmm.to_sklearn(p), jaxgmm.to_sklearn(q)
    sobol, monte_carlo = jaxgmm.Sobol(n), jaxgmm.MonteCarlo(n)
    gradient = jax.jit(jax.value_and_grad(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, sobol), argnums=(1, 2)))
    seconds = medians(
        {
            "recipe": lambda: recipe(sklearn_p, sklearn_q, n),
            "monte carlo": lambda: jaxgmm.kl_divergence(key, p, q, monte_carlo),
            "sobol": lambda: jaxgmm.kl_divergence(key, p, q, sobol),
            "gradient": lambda: gradient(key, p, q),
        },
        rounds,
    )
    replicates = 32
    errors = {
        "recipe": recipe(sklearn_p, sklearn_q, n).std() / np.sqrt(n),
        "sobol": jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q, rule=sobol, num_replicates=replicates).standard_error
        * np.sqrt(replicates),
    }
    return {
        "recipe s": seconds["recipe"],
        "sobol s": seconds["sobol"],
        "speed MC": seconds["recipe"] / seconds["monte carlo"],
        "speed Sobol": seconds["recipe"] / seconds["sobol"],
        "grad/value": seconds["gradient"] / seconds["sobol"],
        "recipe se": errors["recipe"],
        "sobol se": float(errors["sobol"]),
        "se ratio": errors["recipe"] / float(errors["sobol"]),
        "work": seconds["recipe"] / seconds["sobol"] * (errors["recipe"] / float(errors["sobol"])) ** 2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000, help="points of each run (100,000)")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each (7)")
    parser.add_argument("--only", default="", help="pairs whose name contains this")
    arguments = parser.parse_args()
    rows = {}
    for name, build in PAIRS.items():
        if arguments.only in name:
            rows[name] = measure(*build(), arguments.points, arguments.rounds)
            if len(rows) == 1:
                print(f"{'':24s}" + "".join(f"{column:>13s}" for column in rows[name]))
            print(f"{name:24s}" + "".join(f"{value:13.4g}" for value in rows[name].values()), flush=True)


if __name__ == "__main__":
    main()
