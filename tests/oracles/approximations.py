"""Approximations of KL by loops over pairs of components, term by term."""

import math

import numpy as np

from oracles import gaussians
from oracles.dense import Mixture


def mean_log(p: Mixture, q: Mixture, kernel: np.ndarray) -> float:
    """sum_k pi_k log sum_j omega_j kernel_kj, term by term."""
    return sum(
        w * math.log(sum(v * kernel[k, j] for j, v in enumerate(q.weights)))
        for k, w in enumerate(p.weights)
    )


def kl_variational(p: Mixture, q: Mixture) -> float:
    return mean_log(p, p, np.exp(-gaussians.table(gaussians.kl, p, p))) - mean_log(
        p, q, np.exp(-gaussians.table(gaussians.kl, p, q))
    )


def kl_product(p: Mixture, q: Mixture) -> float:
    return mean_log(p, p, np.exp(gaussians.table(gaussians.log_overlap, p, p))) - mean_log(
        p, q, np.exp(gaussians.table(gaussians.log_overlap, p, q))
    )


def kl_matched(p: Mixture, q: Mixture) -> float:
    kls = gaussians.table(gaussians.kl, p, q)
    best = [
        min(range(len(q.weights)), key=lambda j, k=k: kls[k, j] - math.log(q.weights[j]))
        for k in range(len(p.weights))
    ]
    return sum(
        w * (kls[k, j] + math.log(w / q.weights[j]))
        for k, (w, j) in enumerate(zip(p.weights, best, strict=True))
    )
