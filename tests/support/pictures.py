"""What is drawn in tests of pictures."""

import math

import jax
import numpy as np

import jaxgmm
from support.mixtures import PAIRS, gmm

LINE, PLANE = PAIRS["overlapping"], PAIRS["plane"]


def noise(key, p, q, rule):
    """As a divergence whose standard error is known: 1 / sqrt(n)."""
    return jax.random.normal(key) / math.sqrt(rule.n)


def fit_result(losses) -> jaxgmm.FitResult:
    return jaxgmm.FitResult(None, np.asarray(losses), np.array(False), np.array(False), None)  # type: ignore[arg-type]


def of_two_samples(p_value: float | None, by_column=None) -> jaxgmm.TwoSampleResult:
    chance, p = np.linspace(0.1, 0.3, 41), gmm(LINE[0])
    head = 0.5, 0.001, chance, p_value, 0.3, (0.2, 0.4)
    return jaxgmm.TwoSampleResult(*head, p, p, True, (9, 9), "JS", by_column, {})
