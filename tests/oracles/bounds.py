"""Bounds of KL, of JS and of entropies, by loops over pairs of components and a general
optimiser.
"""

import math

import numpy as np
from scipy.optimize import minimize
from scipy.special import rel_entr, softmax

from oracles import gaussians
from oracles.approximations import mean_log
from oracles.dense import Mixture, midpoint, moment_matched


def durrieu(p: Mixture, q: Mixture) -> tuple[float, float]:
    """Durrieu, Thiran and Kelly's bounds."""
    entropy_of_p = p.weights @ gaussians.entropies(p)
    kl_pp, kl_pq = (
        np.exp(-gaussians.table(gaussians.kl, p, p)),
        np.exp(-gaussians.table(gaussians.kl, p, q)),
    )
    overlap_pp, overlap_pq = (
        np.exp(gaussians.table(gaussians.log_overlap, p, p)),
        np.exp(gaussians.table(gaussians.log_overlap, p, q)),
    )
    lower = mean_log(p, p, kl_pp) - mean_log(p, q, overlap_pq) - entropy_of_p
    upper = mean_log(p, p, overlap_pp) - mean_log(p, q, kl_pq) + entropy_of_p
    return lower, upper


def variational(p: Mixture, q: Mixture) -> float:
    """Hershey and Olsen's by a general optimiser; with the best psi, log(phi / psi) is log(sum_k
    phi_kj / omega_j).
    """
    kls = gaussians.table(gaussians.kl, p, q)

    def bound(logits: np.ndarray) -> tuple[float, np.ndarray]:
        conditional = softmax(logits.reshape(kls.shape), axis=1)
        phi = p.weights[:, None] * conditional
        slope = (
            np.log(np.maximum(phi.sum(0), 1e-300) / q.weights)[None] + kls
        )  # a column may go to 0
        value = np.sum(rel_entr(phi.sum(0), q.weights)) + np.sum(phi * kls)
        return float(value), (
            phi * (slope - np.sum(conditional * slope, axis=1, keepdims=True))
        ).ravel()

    starts = ((np.log(q.weights)[None] - c * kls).ravel() for c in (0.0, 1.0))
    return min(
        minimize(bound, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun
        for start in starts
    )


def entropy(p: Mixture) -> tuple[float, float]:
    """The best of all the bounds that are known."""
    mean, weights = p.weights @ gaussians.entropies(p), p.weights
    bhattacharyya, kls = (
        np.exp(-gaussians.table(gaussians.bhattacharyya, p, p)),
        np.exp(-gaussians.table(gaussians.kl, p, p)),
    )
    lower = (
        mean,
        mean - mean_log(p, p, bhattacharyya),
        -mean_log(p, p, np.exp(gaussians.table(gaussians.log_overlap, p, p))),
    )
    upper = (
        mean - weights @ np.log(weights),
        mean - mean_log(p, p, kls),
        gaussians.entropies(moment_matched(p))[0],
    )
    return max(lower), min(upper)


def kl(p: Mixture, q: Mixture) -> tuple[float, float]:
    """The best of all the bounds that are known, and of those from the bounds of an entropy and of
    a cross-entropy.
    """
    lower, upper = entropy(p)
    lower_cross = -mean_log(p, q, np.exp(gaussians.table(gaussians.log_overlap, p, q)))
    upper_cross = p.weights @ gaussians.entropies(p) - mean_log(
        p, q, np.exp(-gaussians.table(gaussians.kl, p, q))
    )
    convex = p.weights @ gaussians.table(gaussians.kl, p, q) @ q.weights
    least, most = durrieu(p, q)
    return max(0, least, lower_cross - upper), min(
        convex, most, upper_cross - lower, variational(p, q)
    )


def js(p: Mixture, q: Mixture) -> tuple[float, float]:
    m = midpoint(p, q)
    (low, high), (low_p, high_p), (low_q, high_q) = map(entropy, (m, p, q))
    convex = 0.5 * (variational(p, m) + variational(q, m))
    return max(0, low - 0.5 * (high_p + high_q)), min(
        math.log(2), high - 0.5 * (low_p + low_q), convex
    )
