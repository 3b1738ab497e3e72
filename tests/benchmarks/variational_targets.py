"""Unnormalised log-densities with known evidence, in JAX, and their evidence in NumPy and SciPy."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm
from scipy import integrate, optimize, special, stats
from sklearn.datasets import load_breast_cancer


@dataclasses.dataclass(frozen=True)
class Target:
    """A log-density of points (n, D), the logarithm of its integral, and how that is known."""

    log_f: Callable[[Array], Array]
    num_dims: int
    log_z: Callable[[], float]
    known_by: str
    spread: float  # of the means at the start, and about the scale of the target


def banana(x: Array) -> Array:
    return norm.logpdf(x[:, 0]) + norm.logpdf(x[:, 1], x[:, 0] ** 2, 0.5)


def funnel(x: Array) -> Array:
    """Neal's: the first coordinate is the log-variance of the others."""
    others = norm.logpdf(x[:, 1:], 0.0, jnp.exp(x[:, :1] / 2))
    return norm.logpdf(x[:, 0], 0.0, 3.0) + others.sum(1)


def modes(centres: np.ndarray, x: Array) -> Array:
    """Equal standard normals about the centres (M, D)."""
    logs = norm.logpdf(x[:, None] - jnp.asarray(centres, x.dtype)[None]).sum(2)
    return jax.nn.logsumexp(logs, axis=1) - math.log(len(centres))


RING = 8 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)
CORNERS = 8 * np.eye(10)[:5]  # 11 standard deviations apart


@functools.cache
def cancer() -> tuple[np.ndarray, np.ndarray]:
    """Twelve standardised columns and a constant, (569, 13), times the sign of the label."""
    data = load_breast_cancer()
    x = data.data[:, [0, 1, 4, 5, 8, 9, 10, 11, 14, 20, 21, 24]]
    x = np.concatenate([(x - x.mean(0)) / x.std(0), np.ones((len(x), 1))], axis=1)
    return np.where(data.target[:, None] == 1, x, -x), data.target


def logistic(x: Array) -> Array:
    """Logistic regression with standard normal priors."""
    margins = x @ jnp.asarray(cancer()[0].T, x.dtype)
    return norm.logpdf(x).sum(1) + jax.nn.log_sigmoid(margins).sum(1)


def logistic_log_z(num_points: int = 400_000) -> float:
    """By importance sampling from a t distribution about the mode, to 0.002."""
    rows = cancer()[0]

    def minus_log_f(x: np.ndarray) -> np.ndarray:
        log_prior = -0.5 * np.square(x).sum(-1) - 6.5 * math.log(2 * math.pi)
        return -log_prior + np.logaddexp(0, -x @ rows.T).sum(-1)

    mode = optimize.minimize(minus_log_f, np.zeros(13)).x
    p = special.expit(rows @ mode)
    precision = np.eye(13) + (rows.T * (p * (1 - p))) @ rows
    proposal = stats.multivariate_t(mode, np.linalg.inv(precision), df=6, seed=0)
    parts = [proposal.rvs(20_000) for _ in range(num_points // 20_000)]
    logs = np.concatenate([-minus_log_f(x) - proposal.logpdf(x) for x in parts])
    return float(special.logsumexp(logs) - math.log(num_points))


EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def schools(x: Array) -> Array:
    """Rubin's eight schools: mu, log tau, and eight standardised effects."""
    mu, log_tau, eta = x[:, :1], x[:, 1:2], x[:, 2:]
    half_cauchy = math.log(2 / (5 * math.pi)) - jnp.log1p(jnp.exp(2 * log_tau) / 25)
    prior = norm.logpdf(mu, 0.0, 5.0) + half_cauchy + log_tau + norm.logpdf(eta).sum(1)[:, None]
    effects, errors = (jnp.asarray(a, x.dtype)[None] for a in (EFFECTS, ERRORS))
    return prior[:, 0] + norm.logpdf(effects, mu + jnp.exp(log_tau) * eta, errors).sum(1)


def schools_log_z() -> float:
    """All but tau in closed form, and tau by quadrature."""

    def at(log_tau: float) -> float:
        tau = math.exp(log_tau)
        covariance = np.diag(ERRORS**2 + tau**2) + 25
        likelihood = stats.multivariate_normal.pdf(EFFECTS, np.zeros(8), covariance)
        return likelihood * stats.halfcauchy.pdf(tau, scale=5) * tau

    return math.log(integrate.quad(at, -20, 12, limit=500, epsabs=0, epsrel=1e-8)[0])


def zero() -> float:
    return 0.0


TARGETS = {
    "banana": Target(banana, 2, zero, "closed form", 1.0),
    "funnel, D = 2": Target(funnel, 2, zero, "closed form", 1.0),
    "funnel, D = 10": Target(funnel, 10, zero, "closed form", 1.0),
    "logistic, D = 13": Target(logistic, 13, logistic_log_z, "4e5 points of a t", 0.3),
    "8 schools, D = 10": Target(schools, 10, schools_log_z, "quadrature", 1.0),
    "8 modes, D = 2": Target(functools.partial(modes, RING), 2, zero, "closed form", 6.0),
    "5 modes, D = 10": Target(functools.partial(modes, CORNERS), 10, zero, "closed form", 3.0),
}
