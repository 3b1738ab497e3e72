"""`fit_em` against scikit-learn: a step from the same parameters, and fits from 10 starts."""

import functools
import os
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.mixture import GaussianMixture
from timing import medians

import jaxgmm
from jaxgmm._fit.em_steps import em_step

N, D, K = 100_000, 16, 10


def rows(spread: float) -> np.ndarray:
    """Standardised float32 points (N, D) of K components whose means are so far apart."""
    rng = np.random.default_rng(0)
    component = rng.integers(K, size=N)
    roots = np.eye(D) + rng.normal(size=(K, D, D)) / 4
    normals = np.einsum("nij,nj->ni", roots[component], rng.normal(size=(N, D)))
    x = spread * rng.normal(size=(K, D))[component] + normals
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32)


def steps(x: np.ndarray, covariance_type: str, rounds: int) -> dict[str, float]:
    """The median seconds of one step of each."""
    model = GaussianMixture(K, covariance_type=covariance_type, max_iter=1, random_state=0)
    model.fit(x)
    start = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), jaxgmm.from_sklearn(model))
    points, weights, floor = jnp.asarray(x), jnp.ones(N), jnp.full(D, 1e-6)
    step = jax.jit(em_step)

    def theirs() -> None:
        model._m_step(x, model._e_step(x)[1])

    ours = functools.partial(step, start, points, weights, floor)
    return medians({"ours": ours, "theirs": theirs}, rounds)


def whole(x: np.ndarray, num_starts: int, **keywords) -> tuple[float, float]:
    """The seconds of the better of two fits, after one that compiles, and its log-likelihood."""
    fit = functools.partial(jaxgmm.fit_em, x=x, num_components=K, num_starts=num_starts, **keywords)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        value = float(fit(jax.random.key(0)).log_likelihood)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]), value


def em(rounds: int) -> None:
    warnings.simplefilter("ignore")  # scikit-learn's step alone does not converge
    print(f"\nEM, {N:,} x {D}, K = {K}, float32; load {os.getloadavg()[0]:.1f}")
    for covariance_type in ("full", "tied", "diag", "spherical"):
        times = steps(rows(0.5), covariance_type, rounds)
        print(
            f"a step, {covariance_type:10s} {1e3 * times['ours']:8.1f} ms, scikit-learn "
            f"{1e3 * times['theirs']:8.1f} ms, ratio {times['theirs'] / times['ours']:5.1f}",
            flush=True,
        )
    for name, spread in (("separated", 1.5), ("overlapping", 0.5)):
        x = rows(spread)
        seconds, value = whole(x, 10)
        begin = time.perf_counter()
        model = GaussianMixture(K, n_init=10, random_state=0).fit(x)
        theirs = time.perf_counter() - begin
        print(
            f"10 starts, {name:12s} {seconds:6.2f} s ({value:.4f} nats), scikit-learn "
            f"{theirs:6.2f} s ({model.score(x):.4f}), ratio {theirs / seconds:.1f}; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
