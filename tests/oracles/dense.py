"""Mixtures as weights, means and dense covariances, whose densities are SciPy's."""

import dataclasses
import itertools

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal


@dataclasses.dataclass
class Mixture:
    """Weights (K,), means (K, D) and covariances (K, D, D)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p(x) at points (n, D), by SciPy."""
        normals = [
            multivariate_normal(m, c) for m, c in zip(self.means, self.covariances, strict=True)
        ]
        log_densities = np.stack([np.reshape(normal.logpdf(x), len(x)) for normal in normals])
        return logsumexp(log_densities, b=self.weights[:, None], axis=0)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        index = rng.choice(len(self.weights), size=n, p=self.weights)
        factors = np.linalg.cholesky(self.covariances)
        return self.means[index] + np.einsum(
            "nij,nj->ni", factors[index], rng.normal(size=(n, self.means.shape[1]))
        )


def mixture(weights, means, covariances) -> Mixture:
    """A mixture from lists; one-dimensional means and variances may be flat."""
    means, covariances = np.asarray(means, float), np.asarray(covariances, float)
    if means.ndim == 1:
        means, covariances = means[:, None], covariances[:, None, None]
    return Mixture(np.asarray(weights, float), means, covariances)


def from_unconstrained(logits, loc, log_diag, off_diag) -> Mixture:
    """A mixture from softmax logits and log-Cholesky factors, as the package defines them, written
    out entry by entry.
    """
    weights = np.exp(logits - logsumexp(logits))
    k, d = loc.shape
    log_diag = np.broadcast_to(log_diag, (k, d))
    off_diag = None if off_diag is None else np.broadcast_to(off_diag, (k, d * (d - 1) // 2))
    factors = np.zeros((k, d, d))
    for component in range(k):
        packed = iter(off_diag[component]) if off_diag is not None else itertools.repeat(0.0)
        for row in range(d):
            for column in range(row):
                factors[component, row, column] = next(packed)
            factors[component, row, row] = np.exp(log_diag[component, row])
    return Mixture(weights, loc, factors @ factors.transpose(0, 2, 1))


def covariances(given, covariance_type: str, k: int, d: int) -> np.ndarray:
    """The K matrices that covariances of that type stand for."""
    given = np.asarray(given)
    if covariance_type == "tied":
        return np.stack([given] * k)
    if covariance_type == "diag":
        return np.stack([np.diag(variances) for variances in given])
    if covariance_type == "spherical":
        return np.stack([variance * np.eye(d) for variance in given])
    return given


def concatenated(mixtures, weights) -> Mixture:
    """The mixture of mixtures with these weights."""
    scaled = [w * m.weights for w, m in zip(weights, mixtures, strict=True)]
    return Mixture(
        np.concatenate(scaled),
        *(np.concatenate([getattr(m, f) for m in mixtures]) for f in ("means", "covariances")),
    )


def midpoint(p: Mixture, q: Mixture) -> Mixture:
    return concatenated((p, q), (0.5, 0.5))


def moments(weights, means, covariances) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the covariance of a whole mixture."""
    mean = weights @ means
    apart = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances) + np.einsum(
        "k,ki,kj->ij", weights, apart, apart
    )


def moment_matched(p: Mixture) -> Mixture:
    """The one Gaussian with those."""
    mean, covariance = moments(p.weights, p.means, p.covariances)
    return Mixture(np.ones(1), mean[None], covariance[None])
