"""The density of a mixture, and what follows from it at a point."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import ArrayLike

from jaxgmm._door import check_mixture, door
from jaxgmm._gmm import GMM, log_det
from jaxgmm._linalg import HIGHEST, inv_tril, unpack_tril


def log_density(gmm: GMM) -> Callable[[Array], Array]:
    r"""The function :math:`x \mapsto \log \sum_k \pi_k N(x; \mu_k, \Sigma_k)` of a mixture.

    What does not depend on the point is computed here, once, so that this is what to use inside `expectation`, or in a
    loop. It is not jitted; `log_prob` is.

    Args:
      gmm: the mixture.

    Returns:
      A function from points (..., D) to their log-densities (...), in nats. A density is per unit of volume, so its logarithm
      may well be positive.

    Raises:
      TypeError, ValueError: gmm is not a mixture, or its shapes disagree.

    Example:
      >>> import jax.numpy as jnp
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{log_density(p)(jnp.zeros(1)):.4f}")
      -1.6118
    """
    check_mixture("gmm", gmm)
    weighted = _weighted_log_densities(gmm)
    return lambda x: jax.nn.logsumexp(weighted(_columns(x)), axis=0).reshape(x.shape[:-1])


@door()
def log_prob(gmm: GMM, x: ArrayLike) -> Array:
    r"""The log-density :math:`\log p(x)` of a mixture.

    Args:
      gmm: the mixture.
      x: points (..., D).

    Returns:
      (...), in nats.

    Raises:
      TypeError, ValueError: gmm is not a mixture, x has another dimension, or either holds NaN or infinity.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> [f"{value:.4f}" for value in log_prob(p, [[0.0], [2.0]])]
      ['-1.6118', '-2.9189']
    """
    return log_density(gmm)(jnp.asarray(x))


@door()
def component_log_prob(gmm: GMM, x: ArrayLike) -> Array:
    r"""The log-density :math:`\log N(x; \mu_k, \Sigma_k)` of every component, without its weight.

    Args:
      gmm: the mixture.
      x: points (..., D).

    Returns:
      (..., K), in nats.

    Raises:
      TypeError, ValueError: gmm is not a mixture, x has another dimension, or either holds NaN or infinity.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> [f"{value:.4f}" for value in component_log_prob(p, [0.0])]
      ['-0.9189', '-8.9189']
    """
    x = jnp.asarray(x)
    return _log_densities(gmm)(_columns(x)).T.reshape(*x.shape[:-1], -1)


@door()
def responsibilities(gmm: GMM, x: ArrayLike) -> Array:
    r"""The posterior probability :math:`\pi_k N(x; \mu_k, \Sigma_k) / p(x)` of every component.

    Args:
      gmm: the mixture.
      x: points (..., D).

    Returns:
      (..., K), which sums to 1 over the last axis.

    Raises:
      TypeError, ValueError: gmm is not a mixture, x has another dimension, or either holds NaN or infinity.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(responsibilities(p, [[2.0]]))
      [[0.5 0.5]]
    """
    weighted, x = _weighted_log_densities(gmm), jnp.asarray(x)
    return jax.nn.softmax(weighted(_columns(x)), axis=0).T.reshape(*x.shape[:-1], -1)


def _columns(x: Array) -> Array:
    """Points (..., D) as columns (D, n): sums over dimensions and components then run along the points, which is fast."""
    return x.reshape(-1, x.shape[-1]).T


def _weighted_log_densities(gmm: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> log pi_k N(x; mu_k, Sigma_k), (K, n)."""
    log_densities, log_weights = _log_densities(gmm), jax.nn.log_softmax(gmm.logits)
    return lambda x: log_weights[:, None] + log_densities(x)


def _log_densities(gmm: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> log N(x; mu_k, Sigma_k), (K, n)."""
    whiten = _whitening(gmm)
    log_peak = -log_det(gmm) - 0.5 * gmm.num_dims * math.log(2 * math.pi)
    return lambda x: log_peak[:, None] - 0.5 * jnp.square(whiten(x)).sum(1)


def _whitening(gmm: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> L_k^{-1} (x - mu_k), (K, D, n)."""
    if gmm.off_diag is None:
        loc, inverse_scale = gmm.loc[:, :, None], jnp.exp(-gmm.log_diag)[:, :, None]
        return lambda x: inverse_scale * (x[None] - loc)
    inverse = inv_tril(unpack_tril(gmm.log_diag, gmm.off_diag, gmm.num_dims))
    # W x - W mu cancels far from the origin; from the mixture's own centre it does not.
    centre = jax.lax.stop_gradient(gmm.loc.mean(0))
    offset = jnp.matmul(inverse, (gmm.loc - centre[None, :])[:, :, None], precision=HIGHEST)
    rows = inverse.reshape(-1, gmm.num_dims)  # one matrix product for all components is three times faster than K

    def whiten(x: Array) -> Array:
        projected = jnp.matmul(rows, x - centre[:, None], precision=HIGHEST)
        return projected.reshape(*inverse.shape[:2], -1) - offset

    return whiten
