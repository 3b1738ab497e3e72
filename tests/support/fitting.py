"""A target of three components, and mixtures of two to fit to it."""

import numpy as np

import jaxgmm
from jaxgmm import GMM
from oracles import dense
from support.mixtures import gmm

THREE = dense.mixture(
    [0.45, 0.35, 0.2],
    [[-6, 0], [0, 0.5], [6, 0]],
    [[[1, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 0.8]], [[0.5, 0], [0, 1]]],
)
RULE = jaxgmm.Sobol(2**10)
FORWARD = jaxgmm.forward_kl_loss(gmm(THREE), RULE)


def two(dtype=np.float64) -> GMM:
    return GMM.from_moments(
        [0.5, 0.5], [[-3, 0.1], [2, -0.2]], 4 * np.stack([np.eye(2)] * 2), dtype=dtype
    )
