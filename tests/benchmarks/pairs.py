"""The pairs of mixtures that are measured, random ones in a few shapes, as functions of a seed."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxgmm import GMM


def random_gmm(
    seed: int,
    k: int,
    d: int,
    spread: float,
    covariance_type: str = "full",
    weights: np.ndarray | None = None,
) -> GMM:
    """Means with `spread` standard deviations in each coordinate, covariances with eigenvalues
    about 1; float32.
    """
    rng = np.random.default_rng(seed)
    if weights is None:
        weights = rng.dirichlet(np.full(k, 10.0))
    means = spread * rng.normal(size=(k, d))
    if covariance_type == "diag":
        covariances = rng.uniform(0.5, 1.5, (k, d))
    else:
        factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
        covariances = 0.5 * np.eye(d) + 0.5 * factors @ factors.transpose(0, 2, 1)
    return GMM.from_moments(weights, means, covariances, covariance_type, dtype=np.float32)


Build = Callable[..., tuple[GMM, GMM]]


def unrelated(k: int, d: int, spread: float, **kwargs) -> Build:
    """Two mixtures that have nothing to do with each other."""

    def build(seed: int = 0) -> tuple[GMM, GMM]:
        p, q = (random_gmm(10 * seed + i, k, d, spread, **kwargs) for i in (1, 2))
        return p, q

    return build


def related(k: int, d: int, spread: float, **kwargs) -> Build:
    """As of two data sets of one kind: the means of q are those of p, moved by half a standard
    deviation; all else is its own.
    """

    def build(seed: int = 0) -> tuple[GMM, GMM]:
        p, q = unrelated(k, d, spread, **kwargs)(seed)
        move = 0.5 * np.random.default_rng(10 * seed + 5).normal(size=(k, d))
        return p, dataclasses.replace(q, loc=p.loc + jnp.asarray(move, p.loc.dtype))

    return build


PAIRS = {
    "D=1 K=5": related(5, 1, 2.0),
    "D=2 K=5": related(5, 2, 2.0),
    "D=16 K=10 separated": related(10, 16, 2.0),
    "D=16 K=10 overlapping": related(10, 16, 0.5),
    "D=16 K=10 unrelated": unrelated(10, 16, 2.0),
    "D=16 K=10 unequal": related(10, 16, 2.0, weights=np.array([0.91] + [0.01] * 9)),
    "D=64 K=32 separated": related(32, 64, 2.0),
    "D=64 K=32 unrelated": unrelated(32, 64, 2.0),
    "D=256 K=16 diagonal": related(16, 256, 2.0, covariance_type="diag"),
}
