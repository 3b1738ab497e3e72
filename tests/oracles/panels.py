"""Gauss-Legendre quadrature between given points."""

import numpy as np


def on_panels(breaks: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """The nodes and weights (..., n) of all the panels between neighbours among the breaks (...,
    m).
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(breaks)[..., None] / 2
    x = breaks[..., :-1, None] + half * (1 + nodes)
    return x.reshape(*breaks.shape[:-1], -1), (half * weights).reshape(*breaks.shape[:-1], -1)
