"""Distances between mixtures that have closed forms, by loops over pairs of components."""

import math

import numpy as np

from oracles import gaussians
from oracles.dense import Mixture


def inner(p: Mixture, q: Mixture) -> float:
    """The integral of p q."""
    return float(p.weights @ np.exp(gaussians.table(gaussians.log_overlap, p, q)) @ q.weights)


def squared_l2(p: Mixture, q: Mixture) -> float:
    return inner(p, p) + inner(q, q) - 2 * inner(p, q)


def cauchy_schwarz(p: Mixture, q: Mixture) -> float:
    return -math.log(inner(p, q) / math.sqrt(inner(p, p) * inner(q, q)))


def squared_mmd(p: Mixture, q: Mixture, h: float) -> float:
    """By the mean of the kernel under x - y ~ N(d, S): det(I + S / h^2)^(-1/2) exp(-1/2 d^T (S +
    h^2 I)^-1 d).
    """

    def kernel(a: Mixture, b: Mixture) -> float:
        s, d = a.covariances[0] + b.covariances[0], a.means[0] - b.means[0]
        wide = s + h**2 * np.eye(len(d))
        return float(
            np.linalg.det(wide / h**2) ** -0.5 * np.exp(-0.5 * d @ np.linalg.inv(wide) @ d)
        )

    pp, qq, pq = (
        a.weights @ gaussians.table(kernel, a, b) @ b.weights for a, b in ((p, p), (q, q), (p, q))
    )
    return pp + qq - 2 * pq
