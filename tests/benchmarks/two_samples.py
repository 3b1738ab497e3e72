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


def shifted(x: np.ndarray, size: float) -> np.ndarray:
    return np.column_stack([x[:, :-1], x[:, -1] + size])


def widened(x: np.ndarray, size: float) -> np.ndarray:
    return np.column_stack([x[:, :-1], x[:, -1] * (1 + size)])


def correlated(x: np.ndarray, size: float) -> np.ndarray:
    """With the same marginals, as the last two columns are independent and normal."""
    last = size * x[:, -2] + np.sqrt(1 - size**2) * x[:, -1]
    return np.column_stack([x[:, :-1], last])


def with_cluster(x: np.ndarray, size: float) -> np.ndarray:
    """A share of the rows moves to a small cluster of its own."""
    moved = np.arange(len(x)) < size * len(x)
    return np.where(moved[:, None], 0.3 * x + 2.0, x)


ALTERNATIVES = {
    "mean + 0.3": (shifted, 0.3),
    "deviation x 1.25": (widened, 0.25),
    "correlation 0.4": (correlated, 0.4),
    "cluster of 6 %": (with_cluster, 0.06),
}


def power(num_pairs: int, n: int = 200, d: int = 4, k: int = 3, b: int = 99) -> None:
    """Rejections at 0.05 by this and by other tests, of pairs of samples from laws that differ."""
    names = ["jaxgmm", "by column", "MMD", "energy", "KS by column"]
    print(f"\n{f'n = {n}, D = {d}, K = {k}':24s}" + "".join(f"{name:>14s}" for name in names))
    for name, (change, size) in ALTERNATIVES.items():
        rejected = np.zeros(len(names))
        for seed in range(num_pairs):
            rng = np.random.default_rng((3, seed))
            x, y = clusters(rng, n, d), change(clusters(rng, n, d), size)
            found = jaxgmm.two_sample_test(
                jax.random.key(seed), x, y, k, num_permutations=b, num_bootstrap=0, by_column=True
            )
            columns = min(column.p_value for column in found.by_column.values())
            ours = [found.p_value, columns]
            rejected += np.array([*ours, *kernel_tests(rng, x, y, b), by_ks(x, y)]) <= 0.05
        print(
            f"{name:24s}" + "".join(f"{share:14.2f}" for share in rejected / num_pairs), flush=True
        )


def kernel_tests(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, b: int) -> list[float]:
    """The p values of MMD, with a normal kernel as wide as the median distance, and of the energy
    distance, by permutation; the columns have one scale.
    """
    rows = np.concatenate([x, y])
    rows = (rows - rows.mean(0)) / rows.std(0)
    distances = np.sqrt(np.maximum(np.square(rows[:, None] - rows[None]).sum(2), 0))
    kernels = (np.exp(-0.5 * np.square(distances / np.median(distances))), -distances)
    signs = np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)])
    labellings = np.stack([signs, *(rng.permutation(signs) for _ in range(b))])
    found = [((labellings @ kernel) * labellings).sum(1) for kernel in kernels]
    return [float(np.mean(values >= values[0] - 1e-12)) for values in found]


def by_ks(x: np.ndarray, y: np.ndarray) -> float:
    """The least p value of Kolmogorov and Smirnov's test of each column, times their number."""
    return x.shape[1] * min(stats.ks_2samp(*pair).pvalue for pair in zip(x.T, y.T, strict=True))


def coverage(num_pairs: int, n: int = 200, d: int = 2, k: int = 2) -> None:
    """How often the bootstrap interval of the excess covers the divergence of the populations, of
    pairs whose value is at least three times its mean by chance.
    """
    covered, kept = 0, 0
    for seed in range(num_pairs):
        rng = np.random.default_rng((4, seed))
        means, moved = 2.5 * rng.normal(size=(k, d)), rng.normal(size=(k, d)) / np.sqrt(d)
        roots = rng.normal(size=(k, d, d)) / np.sqrt(2 * d) + np.eye(d)
        weights = [rng.dirichlet(np.full(k, 8.0)) for _ in range(2)]
        covariances = roots @ roots.transpose(0, 2, 1)
        laws = [
            jaxgmm.GMM.from_moments(w, m, covariances)
            for w, m in zip(weights, (means, means + moved), strict=True)
        ]
        keys = jax.random.split(jax.random.key(seed), 4)
        x, y = (jaxgmm.sample(key, law, n) for key, law in zip(keys[:2], laws, strict=True))
        truth = jaxgmm.js_divergence(keys[2], *laws, jaxgmm.Sobol(2**14))
        result = jaxgmm.two_sample_test(keys[3], x, y, k, num_permutations=39)
        if result.value >= 3 * result.chance_mean:
            low, high = result.excess_interval
            covered, kept = covered + (low <= truth <= high), kept + 1
    print(
        f"\nn = {n}, D = {d}, K = {k}: {covered / kept:.3f} of {kept} intervals cover", flush=True
    )


def columns(num_sets: int, n: int = 150, d: int = 4) -> None:
    """How often a column is named that does not differ, beside one that does and is correlated .8
    with all others.
    """
    covariance = np.full((d, d), 0.8) + 0.2 * np.eye(d)
    named = np.zeros((num_sets, d), bool)
    for seed in range(num_sets):
        rng = np.random.default_rng((5, seed))
        x, y = rng.multivariate_normal(np.zeros(d), covariance, (2, n))
        y[:, 0] += 0.6
        options = {"num_permutations": 39, "num_bootstrap": 0, "by_column": True}
        result = jaxgmm.two_sample_test(jax.random.key(seed), x, y, 1, **options)
        named[seed] = [column.p_value <= 0.05 for column in (result.by_column or {}).values()]
    shifted, wrongly = named[:, 0].mean(), named[:, 1:].any(1).mean()
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / num_sets)
    print(
        f"\n{num_sets} sets with one shifted column of {d}: named {shifted:.3f}; "
        f"another named {wrongly:.4f} (at most {allowed:.4f})",
        flush=True,
    )


def samples(scale: float) -> None:
    """All of these, with this share of the full numbers of pairs."""
    calibration(round(4000 * scale), 200)
    calibration(round(1000 * scale), 2000)
    power(max(1, round(100 * scale)))
    coverage(max(1, round(300 * scale)))
    columns(max(1, round(400 * scale)))
