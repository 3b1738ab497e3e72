"""Oracles: NumPy, SciPy, mpmath and quadrature, in float64, with none of the package's code."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import mpmath
import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import minimize
from scipy.special import logsumexp, rel_entr, softmax
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


def single(p: Mixture, k: int) -> Mixture:
    """Component k on its own."""
    return Mixture(np.ones(1), p.means[k : k + 1], p.covariances[k : k + 1])


def table(entry: Callable[[Mixture, Mixture], float], p: Mixture, q: Mixture) -> np.ndarray:
    """An entry for every pair of components."""
    return np.array([[entry(single(p, k), single(q, j)) for j in range(len(q.weights))] for k in range(len(p.weights))])


def gaussian_log_overlap(p: Mixture, q: Mixture) -> float:
    total, offset = p.covariances[0] + q.covariances[0], p.means[0] - q.means[0]
    return -0.5 * float(np.linalg.slogdet(2 * math.pi * total)[1] + offset @ np.linalg.solve(total, offset))


def gaussian_bhattacharyya(p: Mixture, q: Mixture) -> float:
    average = (p.covariances[0] + q.covariances[0]) / 2
    offset = p.means[0] - q.means[0]
    log_dets = [np.linalg.slogdet(c)[1] for c in (average, p.covariances[0], q.covariances[0])]
    return float(offset @ np.linalg.inv(average) @ offset / 8 + 0.5 * (log_dets[0] - 0.5 * (log_dets[1] + log_dets[2])))


def gaussian_wasserstein_squared(p: Mixture, q: Mixture) -> float:
    (a,), (b,) = p.covariances, q.covariances
    root = sqrtm(a).real
    return float(np.sum((p.means - q.means) ** 2) + np.trace(a + b - 2 * sqrtm(root @ b @ root).real))


def inner(p: Mixture, q: Mixture) -> float:
    """The integral of p q."""
    return float(p.weights @ np.exp(table(gaussian_log_overlap, p, q)) @ q.weights)


def squared_l2(p: Mixture, q: Mixture) -> float:
    return inner(p, p) + inner(q, q) - 2 * inner(p, q)


def cauchy_schwarz(p: Mixture, q: Mixture) -> float:
    return -math.log(inner(p, q) / math.sqrt(inner(p, p) * inner(q, q)))


def squared_mmd(p: Mixture, q: Mixture, h: float) -> float:
    """By the mean of the kernel under x - y ~ N(d, S): det(I + S / h^2)^(-1/2) exp(-1/2 d^T (S + h^2 I)^-1 d)."""

    def kernel(a: Mixture, b: Mixture) -> float:
        s, d = a.covariances[0] + b.covariances[0], a.means[0] - b.means[0]
        wide = s + h**2 * np.eye(len(d))
        return float(np.linalg.det(wide / h**2) ** -0.5 * np.exp(-0.5 * d @ np.linalg.inv(wide) @ d))

    pp, qq, pq = (a.weights @ table(kernel, a, b) @ b.weights for a, b in ((p, p), (q, q), (p, q)))
    return pp + qq - 2 * pq


def mean_log(p: Mixture, q: Mixture, kernel: np.ndarray) -> float:
    """sum_k pi_k log sum_j omega_j kernel_kj, term by term."""
    return sum(w * math.log(sum(v * kernel[k, j] for j, v in enumerate(q.weights))) for k, w in enumerate(p.weights))


def kl_variational(p: Mixture, q: Mixture) -> float:
    return mean_log(p, p, np.exp(-table(gaussian_kl, p, p))) - mean_log(p, q, np.exp(-table(gaussian_kl, p, q)))


def kl_product(p: Mixture, q: Mixture) -> float:
    return mean_log(p, p, np.exp(table(gaussian_log_overlap, p, p))) - mean_log(p, q, np.exp(table(gaussian_log_overlap, p, q)))


def kl_matched(p: Mixture, q: Mixture) -> float:
    kls = table(gaussian_kl, p, q)
    best = [min(range(len(q.weights)), key=lambda j, k=k: kls[k, j] - math.log(q.weights[j])) for k in range(len(p.weights))]
    return sum(w * (kls[k, j] + math.log(w / q.weights[j])) for k, (w, j) in enumerate(zip(p.weights, best, strict=True)))


def moment_matched(p: Mixture) -> Mixture:
    mean = p.weights @ p.means
    second = np.einsum("k,kij->ij", p.weights, p.covariances) + np.einsum("k,ki,kj->ij", p.weights, p.means, p.means)
    return Mixture(np.ones(1), mean[None], (second - np.outer(mean, mean))[None])


def gaussian_entropies(p: Mixture) -> np.ndarray:
    return np.array([0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1] for covariance in p.covariances])


def durrieu(p: Mixture, q: Mixture) -> tuple[float, float]:
    """Durrieu, Thiran and Kelly's bounds."""
    entropy_of_p = p.weights @ gaussian_entropies(p)
    kl_pp, kl_pq = np.exp(-table(gaussian_kl, p, p)), np.exp(-table(gaussian_kl, p, q))
    overlap_pp, overlap_pq = np.exp(table(gaussian_log_overlap, p, p)), np.exp(table(gaussian_log_overlap, p, q))
    lower = mean_log(p, p, kl_pp) - mean_log(p, q, overlap_pq) - entropy_of_p
    upper = mean_log(p, p, overlap_pp) - mean_log(p, q, kl_pq) + entropy_of_p
    return lower, upper


def variational_bound(p: Mixture, q: Mixture) -> float:
    """Hershey and Olsen's by a general optimiser; with the best psi, log(phi / psi) is log(sum_k phi_kj / omega_j)."""
    kls = table(gaussian_kl, p, q)

    def bound(logits: np.ndarray) -> tuple[float, np.ndarray]:
        conditional = softmax(logits.reshape(kls.shape), axis=1)
        phi = p.weights[:, None] * conditional
        slope = np.log(np.maximum(phi.sum(0), 1e-300) / q.weights)[None] + kls  # a column may go to 0
        value = np.sum(rel_entr(phi.sum(0), q.weights)) + np.sum(phi * kls)
        return float(value), (phi * (slope - np.sum(conditional * slope, axis=1, keepdims=True))).ravel()

    starts = ((np.log(q.weights)[None] - c * kls).ravel() for c in (0.0, 1.0))
    return min(minimize(bound, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun for start in starts)


def entropy_bounds(p: Mixture) -> tuple[float, float]:
    """The best of all the bounds that are known."""
    mean, weights = p.weights @ gaussian_entropies(p), p.weights
    bhattacharyya, kls = np.exp(-table(gaussian_bhattacharyya, p, p)), np.exp(-table(gaussian_kl, p, p))
    lower = mean, mean - mean_log(p, p, bhattacharyya), -mean_log(p, p, np.exp(table(gaussian_log_overlap, p, p)))
    upper = mean - weights @ np.log(weights), mean - mean_log(p, p, kls), gaussian_entropies(moment_matched(p))[0]
    return max(lower), min(upper)


def kl_bounds(p: Mixture, q: Mixture) -> tuple[float, float]:
    """The best of all the bounds that are known, and of those from the bounds of an entropy and of a cross-entropy."""
    lower, upper = entropy_bounds(p)
    lower_cross = -mean_log(p, q, np.exp(table(gaussian_log_overlap, p, q)))
    upper_cross = p.weights @ gaussian_entropies(p) - mean_log(p, q, np.exp(-table(gaussian_kl, p, q)))
    convex = p.weights @ table(gaussian_kl, p, q) @ q.weights
    least, most = durrieu(p, q)
    return max(0, least, lower_cross - upper), min(convex, most, upper_cross - lower, variational_bound(p, q))


def midpoint(p: Mixture, q: Mixture) -> Mixture:
    return Mixture(
        *(
            np.concatenate(leaves)
            for leaves in ((p.weights / 2, q.weights / 2), (p.means, q.means), (p.covariances, q.covariances))
        )
    )


def js_bounds(p: Mixture, q: Mixture) -> tuple[float, float]:
    m = midpoint(p, q)
    (low, high), (low_p, high_p), (low_q, high_q) = map(entropy_bounds, (m, p, q))
    variational = 0.5 * (variational_bound(p, m) + variational_bound(q, m))
    return max(0, low - 0.5 * (high_p + high_q)), min(math.log(2), high - 0.5 * (low_p + low_q), variational)


def on_lines(weights: np.ndarray, means: np.ndarray, scales: np.ndarray, order: int = 16) -> dict[str, np.ndarray]:
    """KL, JS and the entropy of p, of many pairs on the line, from arrays (pairs, 2, K), by panels around every component."""
    steps = np.array([-12, -8, -5, -3.5, -2, -1, 0, 1, 2, 3.5, 5, 8, 12])
    breaks = np.sort((means[..., None] + scales[..., None] * steps).reshape(len(means), -1), axis=1)
    nodes, node_weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(breaks)[:, :, None] / 2
    x = (breaks[:, :-1, None] + half * (1 + nodes)).reshape(len(means), 1, 1, -1)
    w = (half * node_weights).reshape(len(means), -1)
    with np.errstate(divide="ignore"):
        terms = np.log(weights / scales)[..., None] - 0.5 * ((x - means[..., None]) / scales[..., None]) ** 2
    peak = terms.max(2)
    log_p, log_q = (peak + np.log(np.exp(terms - peak[:, :, None]).sum(2)) - 0.5 * math.log(2 * math.pi)).transpose(1, 0, 2)
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    integrands = {
        "kl": np.exp(log_p) * (log_p - log_q),
        "js": 0.5 * np.exp(log_p) * (log_p - log_m) + 0.5 * np.exp(log_q) * (log_q - log_m),
        "entropy": -np.exp(log_p) * log_p,
    }
    return {name: (w * integrand).sum(1) for name, integrand in integrands.items()}
