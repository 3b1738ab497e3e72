"""All pairs of many mixtures by `pairwise`, beside loops over other libraries on the same pairs."""

import importlib
import itertools
import resource
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from pairs import random_gmm

import jaxgmm

K, D, POINTS = 8, 8, 256
NUM_LOOPED = 100  # pairs in a loop over another library
DIVERGENCES = {
    "JS": jaxgmm.js_divergence,
    "kl_variational": jaxgmm.kl_variational,
    "kl_bounds": jaxgmm.kl_bounds,
    "mixture_wasserstein": jaxgmm.mixture_wasserstein,
}


def js_of_peer(library: Any, mixtures: list[tuple[np.ndarray, ...]]) -> Callable[[int, int], Any]:
    parts = [library.GaussianMixture(*mixture) for mixture in mixtures]
    draws = library.divergence.MonteCarlo(sampling=library.sampling.Draw(n_samples=POINTS, rng=0))

    def js(i: int, j: int) -> float:
        options = {"p_to_midpoint": draws, "q_to_midpoint": draws}
        return library.jensen_shannon_divergence(parts[i], parts[j], **options).value

    return js


def variational_of_peer(
    library: Any, mixtures: list[tuple[np.ndarray, ...]]
) -> Callable[[int, int], Any]:
    parts = [library.GaussianMixture(*mixture) for mixture in mixtures]
    estimator = library.divergence.Variational()
    return lambda i, j: library.kl_divergence(parts[i], parts[j], estimator=estimator).value


def transport_of_peer(
    library: Any, mixtures: list[tuple[np.ndarray, ...]]
) -> Callable[[int, int], Any]:
    def distance(i: int, j: int) -> float:
        (a, mean_a, cov_a), (b, mean_b, cov_b) = mixtures[i], mixtures[j]
        return library.gmm.gmm_ot_loss(mean_a, mean_b, cov_a, cov_b, a, b) ** 0.5

    return distance


PEERS = {
    "JS": ("gmm_divergence", js_of_peer),
    "kl_variational": ("gmm_divergence", variational_of_peer),
    "mixture_wasserstein": ("ot", transport_of_peer),
}


def by_pairwise(name: str, gmms: jaxgmm.GMM) -> tuple[Any, float]:
    """The matrix, and the seconds of the second call; the first one compiles."""
    key = jax.random.key(0) if name == "JS" else None
    for _ in range(2):
        start = time.perf_counter()
        values = jaxgmm.pairwise(DIVERGENCES[name], key, gmms, rule=jaxgmm.Sobol(POINTS))
        jax.block_until_ready(values)
        seconds = time.perf_counter() - start
    return values, seconds


def in_a_loop(name: str, mixtures: list[tuple[np.ndarray, ...]], matrix: Any) -> tuple[str, float]:
    """The library, with its largest difference from our matrix, and its seconds for a pair."""
    if name not in PEERS:
        return "without a library to compare with", np.nan
    module, of_peer = PEERS[name]
    try:
        library = importlib.import_module(module)
    except ImportError:
        return f"{module} is not installed", np.nan
    divergence = of_peer(library, mixtures)
    pairs = list(itertools.islice(itertools.combinations(range(len(mixtures)), 2), NUM_LOOPED))
    start = time.perf_counter()
    values = [divergence(*pair) for pair in pairs]
    seconds = (time.perf_counter() - start) / len(pairs)
    ours = np.asarray(matrix)[tuple(np.transpose(pairs))]
    return f"{module}, which differs by at most {np.abs(values - ours).max():.1g}", seconds


def many(num_mixtures: int) -> None:
    """Microseconds for each pair that is computed: symmetric divergences compute half of all."""
    parts = [random_gmm(100 + i, K, D, 1.0) for i in range(num_mixtures)]
    gmms = jaxgmm.stack(parts)
    mixtures = [
        tuple(np.asarray(array, float) for array in (p.weights, p.means, p.covariances))
        for p in parts[: NUM_LOOPED + 1]
    ]
    mixtures = [(a / a.sum(), means, covariances) for a, means, covariances in mixtures]
    print(f"\n{num_mixtures} mixtures, K = {K}, D = {D}, full, float32; JS at {POINTS} points")
    print(f"{'':22s}{'pairs':>10s}{'us a pair':>11s}{'a loop':>10s}{'ratio':>8s}{'peak MB':>9s}")
    for name in DIVERGENCES:
        is_symmetric = name in ("JS", "mixture_wasserstein")
        count = num_mixtures * (num_mixtures + 1) // 2 if is_symmetric else num_mixtures**2
        matrix, seconds = by_pairwise(name, gmms)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        library, theirs = in_a_loop(name, mixtures, matrix)
        print(
            f"{name:22s}{count:10,d}{1e6 * seconds / count:11.1f}{1e6 * theirs:10.1f}"
            f"{theirs * count / seconds:8.1f}{peak:9.0f}  {library}",
            flush=True,
        )
