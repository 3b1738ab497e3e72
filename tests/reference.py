"""Oracles: NumPy, SciPy, mpmath and quadrature, in float64, with none of the package's code."""

import dataclasses
import itertools
from collections.abc import Callable

import mpmath
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
        normals = [multivariate_normal(m, c) for m, c in zip(self.means, self.covariances, strict=True)]
        log_densities = np.stack([np.reshape(normal.logpdf(x), len(x)) for normal in normals])
        return logsumexp(log_densities, b=self.weights[:, None], axis=0)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        index = rng.choice(len(self.weights), size=n, p=self.weights)
        factors = np.linalg.cholesky(self.covariances)
        return self.means[index] + np.einsum("nij,nj->ni", factors[index], rng.normal(size=(n, self.means.shape[1])))


def mixture(weights, means, covariances) -> Mixture:
    """A mixture from lists; one-dimensional means and variances may be flat."""
    means, covariances = np.asarray(means, float), np.asarray(covariances, float)
    if means.ndim == 1:
        means, covariances = means[:, None], covariances[:, None, None]
    return Mixture(np.asarray(weights, float), means, covariances)


def from_unconstrained(logits, loc, log_diag, off_diag) -> Mixture:
    """A mixture from softmax logits and log-Cholesky factors, as the package defines them, written out entry by entry."""
    weights = np.exp(logits - logsumexp(logits))
    k, d = loc.shape
    factors = np.zeros((k, d, d))
    for component in range(k):
        packed = iter(off_diag[component]) if off_diag is not None else itertools.repeat(0.0)
        for row in range(d):
            for column in range(row):
                factors[component, row, column] = next(packed)
            factors[component, row, row] = np.exp(log_diag[component, row])
    return Mixture(weights, loc, factors @ factors.transpose(0, 2, 1))


def quadrature(fn: Callable[[np.ndarray], np.ndarray], *mixtures: Mixture, refine: float = 1.0) -> float:
    """The integral of fn over the line, by Gauss-Legendre panels around every component, or over the plane, on a grid."""
    x, w = (_panels if mixtures[0].means.shape[1] == 1 else _grid)(mixtures, refine)
    return float(w @ fn(x))


def _panels(mixtures: tuple[Mixture, ...], refine: float) -> tuple[np.ndarray, np.ndarray]:
    centres = np.concatenate([m.means[:, 0] for m in mixtures])
    scales = np.concatenate([np.sqrt(m.covariances[:, 0, 0]) for m in mixtures])
    steps = np.array([-12, -8, -5, -3, -1.5, 0, 1.5, 3, 5, 8, 12])
    breaks = np.unique(np.round(centres[:, None] + scales[:, None] * steps, 12))
    x, w = np.polynomial.legendre.leggauss(int(24 * refine))
    half = np.diff(breaks) / 2
    return (breaks[:-1, None] + half[:, None] * (1 + x)).reshape(-1, 1), (half[:, None] * w).ravel()


def _grid(mixtures: tuple[Mixture, ...], refine: float) -> tuple[np.ndarray, np.ndarray]:
    """The trapezoidal rule, which converges exponentially for analytic functions that die out."""
    covariances = np.concatenate([m.covariances for m in mixtures])
    means = np.concatenate([m.means for m in mixtures])
    reach = 9 * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    step = np.sqrt(np.linalg.eigvalsh(covariances).min()) / (4 * refine)
    axes = [np.arange(low, high, step) for low, high in zip((means - reach).min(0), (means + reach).max(0), strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return points, np.full(len(points), step**2)


def kl(p: Mixture, q: Mixture, refine: float = 1.0) -> float:
    """KL(p || q), by quadrature in one or two dimensions."""

    def integrand(x: np.ndarray) -> np.ndarray:
        log_p = p.log_prob(x)
        return np.exp(log_p) * (log_p - q.log_prob(x))

    return quadrature(integrand, p, q, refine=refine)


def midpoint(p: Mixture, q: Mixture) -> Mixture:
    return Mixture(
        *(
            np.concatenate(leaves)
            for leaves in ((p.weights / 2, q.weights / 2), (p.means, q.means), (p.covariances, q.covariances))
        )
    )


def js(p: Mixture, q: Mixture) -> float:
    """JS(p, q) by its definition through the midpoint."""
    middle = midpoint(p, q)
    return 0.5 * kl(p, middle) + 0.5 * kl(q, middle)


def entropy(p: Mixture) -> float:
    def integrand(x: np.ndarray) -> np.ndarray:
        log_p = p.log_prob(x)
        return -np.exp(log_p) * log_p

    return quadrature(integrand, p)


def cross_entropy(p: Mixture, q: Mixture) -> float:
    return quadrature(lambda x: -np.exp(p.log_prob(x)) * q.log_prob(x), p, q)


def gaussian_kl(p: Mixture, q: Mixture) -> float:
    """The closed form for one Gaussian each."""
    (m0,), (s0,), (m1,), (s1,) = p.means, p.covariances, q.means, q.covariances
    inverse = np.linalg.inv(s1)
    log_ratio = np.linalg.slogdet(s1)[1] - np.linalg.slogdet(s0)[1]
    return 0.5 * float(np.trace(inverse @ s0) + (m1 - m0) @ inverse @ (m1 - m0) - len(m0) + log_ratio)


def central_differences(fn: Callable[[np.ndarray], float], x: np.ndarray, step: float = 2e-3) -> np.ndarray:
    """The gradient of fn at an array, by differences of fourth order."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[index] = step
        near, far = fn(x + unit) - fn(x - unit), fn(x + 2 * unit) - fn(x - 2 * unit)
        gradient[index] = (8 * near - far) / (12 * step)
    return gradient


def exact_log_prob(logits, loc, factors, x) -> float:
    """log p(x) at one point from Cholesky factors (K, D, D), with 60 digits."""
    with mpmath.workdps(60):
        total = mpmath.fsum(mpmath.exp(mpmath.mpf(float(a))) for a in logits)
        terms = []
        for a, mean, factor in zip(logits, loc, factors, strict=True):
            lower = mpmath.matrix([[mpmath.mpf(float(v)) for v in row] for row in factor])
            z = mpmath.lu_solve(
                lower, mpmath.matrix([mpmath.mpf(float(u)) - mpmath.mpf(float(v)) for u, v in zip(x, mean, strict=True)])
            )
            log_det = mpmath.fsum(mpmath.log(lower[i, i]) for i in range(len(mean)))
            quadratic = mpmath.fsum(v**2 for v in z)
            terms.append(
                mpmath.mpf(float(a)) - mpmath.log(total) - log_det - len(mean) * mpmath.log(2 * mpmath.pi) / 2 - quadratic / 2
            )
        largest = max(terms)
        return float(largest + mpmath.log(mpmath.fsum(mpmath.exp(t - largest) for t in terms)))


def central_differences_of_gradient(fn: Callable[[np.ndarray], float], x: np.ndarray, step: float = 5e-3) -> np.ndarray:
    """The Hessian of fn at a vector, by differences of differences, of fourth order each."""
    size = len(x)
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    hessian = np.zeros((size, size))
    unit = np.eye(size) * step
    for i in range(size):
        for j in range(i + 1):
            terms = (a * b * fn(x + m * unit[i] + n * unit[j]) for m, a in weights.items() for n, b in weights.items())
            hessian[i, j] = hessian[j, i] = sum(terms) / step**2
    return hessian
