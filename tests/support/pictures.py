"""What is drawn in tests of pictures."""

import math

import jax
import numpy as np

import jaxgmm
from support.mixtures import PAIRS

LINE, PLANE = PAIRS["overlapping"], PAIRS["plane"]


def noise(key, p, q, rule):
    """As a divergence whose standard error is known: 1 / sqrt(n)."""
    return jax.random.normal(key) / math.sqrt(rule.n)


def fit_result(losses) -> jaxgmm.FitResult:
    return jaxgmm.FitResult(None, np.asarray(losses), np.array(False), np.array(False), None)  # type: ignore[arg-type]
