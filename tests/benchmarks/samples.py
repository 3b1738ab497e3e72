"""Tests of two samples: rejections where nothing differs, power beside other tests, and coverage of
the bootstrap.
"""

import warnings
from collections.abc import Callable

import jax
import numpy as np
from scipy import stats

import jaxgmm

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, d))


def clusters(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Three, of which two lie apart along different columns."""
    x, which = rng.normal(size=(n, d)), rng.random(n)
    x[which < 0.4, 0] += 4
    x[which > 0.8, 1 % d] += 4
    return x


def skewed(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_gamma(1.0, size=(n, d))


def heavy(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_t(2, size=(n, d))


def integers(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.poisson(2.0, size=(n, d)).astype(float)


def tied(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Half of the rows are one of five."""
    five = np.random.default_rng(0).normal(size=(5, d))
    return np.where(rng.random((n, 1)) < 0.5, five[rng.integers(0, 5, n)], rng.normal(size=(n, d)))


# name: the law, D, the K that is fitted, and the sizes as shares of n
NULLS = {
    "normal, K = 1": (normal, 2, 1, (1, 1)),
    "normal, K = 4": (normal, 2, 4, (1, 1)),
    "clusters, K = 3": (clusters, 2, 3, (1, 1)),
    "clusters, D = 8, K = 2": (clusters, 8, 2, (1, 1)),
    "skewed, K = 2": (skewed, 2, 2, (1, 1)),
    "heavy tails, K = 3": (heavy, 2, 3, (1, 0.5)),
    "integers, K = 2": (integers, 2, 2, (1, 1)),
    "ties, D = 8, K = 1, sizes 1 : 3": (tied, 8, 1, (0.5, 1.5)),
}


def calibration(num_pairs: int, n: int, num_permutations: int = 39) -> bool:
    """Rejections at 0.05, and the p value of their discrete uniform law, of pairs of samples from
    one law; whether all are in order.
    """
    print(f"\n{'nothing differs':36s}{'pairs':>8s}{'p <= .05':>10s}{'5 s.e.':>8s}{'KS p':>8s}")
    every = []
    for i, name in enumerate(NULLS):
        every.append(p_values_of_null(name, num_pairs // len(NULLS), n, num_permutations, i))
        row_of_calibration(name, every[-1], num_permutations)
    return row_of_calibration("all", np.concatenate(every), num_permutations)


def p_values_of_null(name: str, num_pairs: int, n: int, b: int, law: int) -> np.ndarray:
    draw, d, k, shares = NULLS[name]
    p_values = []
    for seed in range(num_pairs):
        rng = np.random.default_rng((law, n, seed))
        x, y = (draw(rng, round(share * n), d) for share in shares)
        p_values.append(p_value(seed, x, y, k, b))
    return np.array(p_values)


def p_value(seed: int, x: np.ndarray, y: np.ndarray, k: int, b: int) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of few distinct values
        test = jaxgmm.two_sample_test(
            jax.random.key(seed), x, y, k, num_permutations=b, num_bootstrap=0
        )
    return test.p_value


def row_of_calibration(name: str, p_values: np.ndarray, b: int) -> bool:
    rejected, allowed = np.mean(p_values <= 0.05), 5 * np.sqrt(0.05 * 0.95 / len(p_values))
    # Less uniform numbers of the size of a step, a discrete uniform law is the continuous one.
    steps = np.random.default_rng(0).random(len(p_values)) / (b + 1)
    uniform = stats.kstest(p_values - steps, "uniform").pvalue
    print(f"{name:36s}{len(p_values):8d}{rejected:10.4f}{allowed:8.4f}{uniform:8.3f}", flush=True)
    return abs(rejected - 0.05) <= allowed and uniform > 0.001
