"""Closed forms for single Gaussians, by dense matrices, and tables of them for all pairs of
components.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import sqrtm

from oracles.dense import Mixture


def single(p: Mixture, k: int) -> Mixture:
    """Component k on its own."""
    return Mixture(np.ones(1), p.means[k : k + 1], p.covariances[k : k + 1])


def table(entry: Callable[[Mixture, Mixture], float], p: Mixture, q: Mixture) -> np.ndarray:
    """An entry for every pair of components."""
    return np.array(
        [
            [entry(single(p, k), single(q, j)) for j in range(len(q.weights))]
            for k in range(len(p.weights))
        ]
    )


def kl(p: Mixture, q: Mixture) -> float:
    """The closed form for one Gaussian each."""
    (m0,), (s0,), (m1,), (s1,) = p.means, p.covariances, q.means, q.covariances
    inverse = np.linalg.inv(s1)
    log_ratio = np.linalg.slogdet(s1)[1] - np.linalg.slogdet(s0)[1]
    return 0.5 * float(
        np.trace(inverse @ s0) + (m1 - m0) @ inverse @ (m1 - m0) - len(m0) + log_ratio
    )


def log_overlap(p: Mixture, q: Mixture) -> float:
    total, offset = p.covariances[0] + q.covariances[0], p.means[0] - q.means[0]
    return -0.5 * float(
        np.linalg.slogdet(2 * math.pi * total)[1] + offset @ np.linalg.solve(total, offset)
    )


def bhattacharyya(p: Mixture, q: Mixture) -> float:
    average = (p.covariances[0] + q.covariances[0]) / 2
    offset = p.means[0] - q.means[0]
    log_dets = [np.linalg.slogdet(c)[1] for c in (average, p.covariances[0], q.covariances[0])]
    return float(
        offset @ np.linalg.inv(average) @ offset / 8
        + 0.5 * (log_dets[0] - 0.5 * (log_dets[1] + log_dets[2]))
    )


def wasserstein_squared(p: Mixture, q: Mixture) -> float:
    (a,), (b,) = p.covariances, q.covariances
    root = sqrtm(a).real
    return float(
        np.sum((p.means - q.means) ** 2) + np.trace(a + b - 2 * sqrtm(root @ b @ root).real)
    )


def entropies(p: Mixture) -> np.ndarray:
    return np.array(
        [
            0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
            for covariance in p.covariances
        ]
    )
