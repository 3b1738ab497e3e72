"""Derivatives of any function, by central differences."""

from collections.abc import Callable

import numpy as np


def gradient(fn: Callable[[np.ndarray], float], x: np.ndarray, step: float = 2e-3) -> np.ndarray:
    """The gradient of fn at an array, by differences of fourth order."""
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[index] = step
        near, far = fn(x + unit) - fn(x - unit), fn(x + 2 * unit) - fn(x - 2 * unit)
        slopes[index] = (8 * near - far) / (12 * step)
    return slopes


def hessian(fn: Callable[[np.ndarray], float], x: np.ndarray, step: float = 5e-3) -> np.ndarray:
    """The Hessian of fn at a vector, by differences of differences, of fourth order each."""
    size = len(x)
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    second = np.zeros((size, size))
    unit = np.eye(size) * step
    for i in range(size):
        for j in range(i + 1):
            terms = (
                a * b * fn(x + m * unit[i] + n * unit[j])
                for m, a in weights.items()
                for n, b in weights.items()
            )
            second[i, j] = second[j, i] = sum(terms) / step**2
    return second
