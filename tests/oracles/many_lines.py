"""Quadrature of many pairs of mixtures on the line at once."""

import math

import numpy as np

from oracles.panels import on_panels


def integrals(
    weights: np.ndarray, means: np.ndarray, scales: np.ndarray, order: int = 16
) -> dict[str, np.ndarray]:
    """KL, JS and the entropy of p, of many pairs on the line, from arrays (pairs, 2, K), by panels
    around every component.
    """
    steps = np.array([-12, -8, -5, -3.5, -2, -1, 0, 1, 2, 3.5, 5, 8, 12])
    breaks = np.sort((means[..., None] + scales[..., None] * steps).reshape(len(means), -1), axis=1)
    x, w = on_panels(breaks, order)
    x = x[:, None, None]
    with np.errstate(divide="ignore"):
        terms = (
            np.log(weights / scales)[..., None]
            - 0.5 * ((x - means[..., None]) / scales[..., None]) ** 2
        )
    peak = terms.max(2)
    log_p, log_q = (
        peak + np.log(np.exp(terms - peak[:, :, None]).sum(2)) - 0.5 * math.log(2 * math.pi)
    ).transpose(1, 0, 2)
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    integrands = {
        "kl": np.exp(log_p) * (log_p - log_q),
        "js": 0.5 * np.exp(log_p) * (log_p - log_m) + 0.5 * np.exp(log_q) * (log_q - log_m),
        "entropy": -np.exp(log_p) * log_p,
    }
    return {name: (w * integrand).sum(1) for name, integrand in integrands.items()}
