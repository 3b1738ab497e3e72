"""Integrals over the line and the plane, and the divergences that are such."""

from collections.abc import Callable

import numpy as np

from oracles.dense import Mixture, midpoint
from oracles.panels import on_panels


def integral(
    fn: Callable[[np.ndarray], np.ndarray], *mixtures: Mixture, refine: float = 1.0
) -> float:
    """The integral of fn over the line, by Gauss-Legendre panels around every component, or over
    the plane, on a grid.
    """
    x, w = (panels if mixtures[0].means.shape[1] == 1 else _grid)(mixtures, refine)
    return float(w @ fn(x))


def panels(mixtures: tuple[Mixture, ...], refine: float) -> tuple[np.ndarray, np.ndarray]:
    centres = np.concatenate([m.means[:, 0] for m in mixtures])
    scales = np.concatenate([np.sqrt(m.covariances[:, 0, 0]) for m in mixtures])
    steps = np.array([-12, -8, -5, -3, -1.5, 0, 1.5, 3, 5, 8, 12])
    breaks = np.unique(np.round(centres[:, None] + scales[:, None] * steps, 12))
    x, w = on_panels(breaks, int(24 * refine))
    return x[:, None], w


def _grid(mixtures: tuple[Mixture, ...], refine: float) -> tuple[np.ndarray, np.ndarray]:
    """The trapezoidal rule, which converges exponentially for analytic functions that die out."""
    covariances = np.concatenate([m.covariances for m in mixtures])
    means = np.concatenate([m.means for m in mixtures])
    reach = 9 * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    step = np.sqrt(np.linalg.eigvalsh(covariances).min()) / (4 * refine)
    axes = [
        np.arange(low, high, step)
        for low, high in zip((means - reach).min(0), (means + reach).max(0), strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return points, np.full(len(points), step**2)


def kl(p: Mixture, q: Mixture, refine: float = 1.0) -> float:
    """KL(p || q), by quadrature in one or two dimensions."""

    def integrand(x: np.ndarray) -> np.ndarray:
        log_p = p.log_prob(x)
        return np.exp(log_p) * (log_p - q.log_prob(x))

    return integral(integrand, p, q, refine=refine)


def js(p: Mixture, q: Mixture) -> float:
    """JS(p, q) by its definition through the midpoint."""
    middle = midpoint(p, q)
    return 0.5 * kl(p, middle) + 0.5 * kl(q, middle)


def entropy(p: Mixture) -> float:
    def integrand(x: np.ndarray) -> np.ndarray:
        log_p = p.log_prob(x)
        return -np.exp(log_p) * log_p

    return integral(integrand, p)


def cross_entropy(p: Mixture, q: Mixture) -> float:
    return integral(lambda x: -np.exp(p.log_prob(x)) * q.log_prob(x), p, q)
