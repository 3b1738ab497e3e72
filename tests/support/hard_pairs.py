"""Pairs of mixtures that are hard for quadrature, for sampling and for float32."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm import GMM


def line(weights, means, scales) -> GMM:
    with np.errstate(divide="ignore"):
        logits = np.log(np.asarray(weights, float))
    columns = np.asarray(means, float)[:, None], np.log(np.asarray(scales, float))[:, None]
    return GMM(*map(jnp.asarray, (logits, *columns)), jnp.zeros((len(logits), 0)))


def cast(dtype, *mixtures: GMM) -> tuple[GMM, ...]:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), mixtures)


def without_off_diagonal(*mixtures: GMM) -> tuple[GMM, ...]:
    return tuple(dataclasses.replace(mixture, off_diag=None) for mixture in mixtures)


QUARTERS, ONES = [0.25] * 4, [1.0] * 4
# Four components each, on the line, so that all share their compilations; some of weight exactly 0.
PAIRS = {
    "nearly equal": (
        line([0.3, 0.2, 0.5, 0], [0, 1, 3, 0], [1, 0.5, 0.8, 1]),  # KL is 1.7e-8
        line([0.3, 0.2, 0.5, 0], [1e-4, 1.0001, 2.9998, 0], [1, 0.5, 0.80008, 1]),
    ),
    "far": (
        line(QUARTERS, [0, 1, 2, 0], ONES),
        line(QUARTERS, [1414, 1415, 1416, 1414], ONES),
    ),  # KL is 1e6
    "needle in the first": (
        line(QUARTERS, [0, 0.3, 0.3, -0.5], [1, 1e-6, 1e-3, 1]),
        line(QUARTERS, [0, 1, -1, 0], [1, 1, 1, 2]),
    ),
    "needle in the second": (
        line(QUARTERS, [0, 1, -1, 0], [1, 1, 1, 2]),
        line(QUARTERS, [0, 0.3, 0.3, -0.5], [1, 1e-6, 1e-3, 1]),
    ),
    "needles in both": (
        line([0.5, 0.1, 0.2, 0.2], [0, 0.3, -0.3, 0.7], [1, 1e-6, 1e-6, 1e-4]),
        line([0.5, 0.1, 0.2, 0.2], [0, 0.3, 0.300001, 0.7], [1, 2e-6, 1e-6, 1e-4]),
    ),
    "tiny weights": (
        line([1, 1e-10, 1e-100, 1e-300], [0, 3, 40, -5], ONES),
        line([1e-300, 1e-10, 1, 1e-20], [0, 1, 2, 30], ONES),
    ),
    "tiny weight where p lives": (
        line([0.5, 0.5, 0, 0], [0, 30, 0, 0], ONES),
        line([1, 1e-300, 0, 0], [0, 30, 30, 0], ONES),
    ),
    "dead in both": (
        line([0.5, 0, 0.5, 0], [0, 9, 2, 1], [1, 1e-6, 1, 1]),
        line([0, 0, 0.5, 0.5], [0, 9, 2, 1], ONES),
    ),
    "duplicates": (
        line([0.1, 0.2, 0.3, 0.4], ONES, ONES),
        line([0.4, 0.1, 0.4, 0.1], [0, 0, 2, 2], ONES),
    ),
    "at a million": (
        line([0.1, 0.2, 0.3, 0.4], [1e6, 1e6 + 1, 1e6 + 3, 1e6 - 1], [1, 0.5, 2, 1]),
        line([0.4, 0.1, 0.4, 0.1], [1e6, 1e6 + 2, 1e6 + 1, 1e6], [1, 0.5, 1, 1]),
    ),
    "two million apart": (
        line([0.1, 0.2, 0.3, 0.4], [1e6, 1e6 + 1, -1e6, -1e6 - 1], [1, 0.5, 2, 1]),
        line([0.4, 0.1, 0.4, 0.1], [1e6, 1e6 + 2, -1e6, -1e6], [1, 0.5, 1, 1]),
    ),
    "scales from 1e-6 to 1e6": (
        line(QUARTERS, [0, 0, 0, 0], [1e-6, 1e-3, 1, 1e6]),
        line([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0], [1e-5, 1e-2, 10, 1e6]),
    ),
}
