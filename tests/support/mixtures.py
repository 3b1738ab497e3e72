"""The pairs of mixtures that tests share, and mixtures as the package's and as an oracle's."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxgmm
from oracles import dense
from support.covariance_types import of_type

PAIRS = {
    "overlapping": (
        dense.mixture([0.35, 0.65], [-1, 1.25], [0.35, 0.8]),
        dense.mixture([0.55, 0.45], [-0.4, 2], [0.6, 1.1]),
    ),
    "nested": (
        dense.mixture([0.2, 0.8], [0, 0.3], [0.04, 4.0]),
        dense.mixture([0.6, 0.4], [0.1, -0.2], [1.0, 9.0]),
    ),
    "far": (
        dense.mixture([0.5, 0.5], [-12, -9], [0.5, 1.0]),
        dense.mixture([0.3, 0.7], [9, 14], [1.0, 2.0]),
    ),
    "unequal": (
        dense.mixture([0.98, 0.02], [0, 6], [1.0, 0.1]),
        dense.mixture([0.03, 0.97], [-4, 0.5], [0.2, 1.5]),
    ),
    "plane": (
        dense.mixture(
            [0.3, 0.7], [[0, 0], [1.5, 1]], [[[1, 0.6], [0.6, 1]], [[0.5, -0.2], [-0.2, 0.8]]]
        ),
        dense.mixture(
            [0.6, 0.4], [[0.5, -0.5], [1, 2]], [[[1.2, 0], [0, 0.7]], [[0.9, 0.5], [0.5, 1.5]]]
        ),
    ),
    "plane far": (
        dense.mixture(
            [0.9, 0.1], [[-6, 0], [-5, 3]], [[[1, 0.6], [0.6, 1]], [[0.5, -0.2], [-0.2, 0.8]]]
        ),
        dense.mixture(
            [0.5, 0.5], [[6, -0.5], [4, 2]], [[[1.2, 0], [0, 0.7]], [[0.9, 0.5], [0.5, 1.5]]]
        ),
    ),
}
POINTS = np.random.default_rng(0).normal(size=(40, 2)).round(6)


def gmm(mixture: dense.Mixture, dtype=np.float64) -> jaxgmm.GMM:
    """The package's mixture for an oracle's."""
    return jaxgmm.GMM.from_moments(mixture.weights, mixture.means, mixture.covariances, dtype=dtype)


def random_mixture(seed: int, k: int, d: int, spread: float = 2.0) -> dense.Mixture:
    """Unequal weights, and covariances with eigenvalues about 1."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 3.0))
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    return dense.Mixture(
        weights,
        spread * rng.normal(size=(k, d)),
        0.5 * np.eye(d) + 0.5 * factors @ factors.transpose(0, 2, 1),
    )


def typed(
    seed: int, k: int, d: int, covariance_type: str, spread: float = 1.0, dtype=np.float64
) -> tuple[dense.Mixture, jaxgmm.GMM]:
    """A random mixture of that covariance type, as an oracle's and as the package's."""
    mixture = random_mixture(seed, k, d, spread)
    given = of_type(mixture.covariances, covariance_type)
    oracle = dense.Mixture(
        mixture.weights, mixture.means, dense.covariances(given, covariance_type, k, d)
    )
    return oracle, jaxgmm.GMM.from_moments(
        mixture.weights, mixture.means, given, covariance_type, dtype
    )


def read(p: jaxgmm.GMM) -> dense.Mixture:
    """The mixture that the leaves stand for, dead components left out."""
    leaves = [np.asarray(leaf) for leaf in (p.logits, p.loc, p.log_diag)]
    k, d = p.loc.shape
    off_diag = None if p.off_diag is None else np.broadcast_to(p.off_diag, (k, d * (d - 1) // 2))
    mixture = dense.from_unconstrained(
        leaves[0], leaves[1], np.broadcast_to(leaves[2], (k, d)), off_diag
    )
    alive = mixture.weights > 0
    return dense.Mixture(mixture.weights[alive], mixture.means[alive], mixture.covariances[alive])


def stack(mixtures):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *mixtures)
