"""Mixtures of mixtures, stacks of mixtures, and a common origin for two."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxgmm._mixture.gmm import GMM, centre_of, is_diagonal
from jaxgmm._mixture.moments import checked_weights
from jaxgmm._mixture.validation import Mixture, Mixtures, one_space, unstacked
from jaxgmm._numerics.linalg import power_of_two
from jaxgmm._numerics.special import log_or_minus_infinity
from jaxgmm._validation.checks import finite_array
from jaxgmm._validation.validated_jit import validated, validated_jit


@validated(one_space)
def centred(p: Mixture, q: Mixture) -> tuple[GMM, GMM]:
    r"""Both mixtures, translated so that the mean of p is at the origin.

    .. math:: p(x + \bar\mu), \quad q(x + \bar\mu), \quad \bar\mu = \sum_k \pi_k \mu_k

    A common translation changes no divergence. It saves digits where both mixtures are far from the
    origin, as floating-point numbers are dense near 0. Every estimated divergence begins with it.

    Args:
      p, q: mixtures in one space.

    Returns:
      The translated mixtures (p, q). The translation is constant in derivatives.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite, or the dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[10.0], [14.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[13.0]], [1.0], "spherical")
      >>> print(centred(p, q)[1].means)
      [[1.]]
    """
    centre = centre_of(p)
    return translate(p, -centre), translate(q, -centre)


def translate(gmm: GMM, shift: Array) -> GMM:
    return gmm.replace(loc=gmm.loc + shift[None, :])


def units_of(gmm: GMM) -> Array:
    """Powers of two (D,) near the largest scales of each coordinate, constant in derivatives."""
    return power_of_two(jnp.broadcast_to(jnp.exp(gmm.log_diag.max(0)), gmm.loc.shape[1:]))


def in_units(gmm: GMM, units: Array) -> GMM:
    """The mixture of x / units."""
    below = np.tril_indices(gmm.num_dims, -1)[0]
    off_diag = None if gmm.off_diag is None else gmm.off_diag / units[below][None]
    log_diag = gmm.log_diag - jnp.log(units)[None]
    return GMM(gmm.logits, gmm.loc / units[None], log_diag, off_diag)


def concatenate(gmms: Sequence[GMM], log_weights: Array) -> GMM:
    """The mixture of n mixtures with log-weights (n,), with their components in order."""
    alike = enumerate(with_common_structure(gmms))
    parts = [gmm.replace(logits=gmm.log_weights + log_weights[i]) for i, gmm in alike]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def with_common_structure(gmms: Sequence[GMM]) -> list[GMM]:
    """The same mixtures, with K rows each, in the least restricted covariance type among them."""
    full = not is_diagonal(*gmms)
    columns = gmms[0].num_dims if full else max(gmm.log_diag.shape[1] for gmm in gmms)
    return [_restructured(gmm, columns, full) for gmm in gmms]


def _restructured(gmm: GMM, columns: int, full: bool) -> GMM:
    """The same mixture with log_diag (K, columns), and with off_diag (K, D (D - 1) / 2) if full."""
    k, d = gmm.loc.shape
    gmm = gmm.replace(log_diag=jnp.broadcast_to(gmm.log_diag, (k, columns)))
    if not full:
        return gmm
    shape = (k, d * (d - 1) // 2)
    off_diag = jnp.zeros_like(gmm.loc, shape=shape) if gmm.off_diag is None else gmm.off_diag
    return gmm.replace(off_diag=jnp.broadcast_to(off_diag, shape))


def midpoint(p: GMM, q: GMM) -> GMM:
    """The mixture p / 2 + q / 2, with the components of p before those of q."""
    return concatenate((p, q), jnp.full_like(p.loc, -math.log(2), shape=(2,)))


def midpoint_log_weights(p: GMM, q: GMM) -> tuple[Array, Array]:
    """The log-weights (K_p + K_q,) of p and those of q, over the components of `midpoint`."""
    of_p = jnp.concatenate([p.log_weights, jnp.full_like(q.logits, -jnp.inf)])
    of_q = jnp.concatenate([jnp.full_like(p.logits, -jnp.inf), q.log_weights])
    return of_p, of_q


def weights_of_mixtures(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmms, weights), with a weight for each mixture."""
    gmms = one_space(arguments)["gmms"]
    weights = arguments.get("weights")
    if weights is None:
        return arguments
    if not isinstance(weights, Tracer):
        weights = checked_weights(finite_array("weights", weights))
    expected = (len(gmms.loc if isinstance(gmms, GMM) else gmms),)
    if weights.shape != expected:
        needed = f"shape {expected}, one for each mixture in gmms"
        raise ValueError(f"weights must have {needed}, got {weights.shape}")
    return {**arguments, "weights": weights}


@validated_jit(weights_of_mixtures)
def mixture_of(gmms: Mixtures, weights: ArrayLike | None = None) -> GMM:
    r"""The mixture :math:`\sum_i w_i p_i`, such as the midpoint ``mixture_of([p, q])`` of p and q.

    Args:
      gmms: a sequence or a stack of n mixtures in one space, of any sizes and covariance types.
      weights: (n,), not negative, with sum 1 to within 1e-6, or None for equal weights. The
        derivative in a weight is right where the weight is positive.

    Returns:
      The mixture of all components in order, in the least restricted covariance type among gmms.
      This is "full" if one has off-diagonal elements, "spherical" if all are, or else "diag".

    Raises:
      TypeError: gmms is not a sequence or a stack of GMMs, or a weight is not a real number.
      ValueError: gmms is empty, a parameter in it is not finite, or the dimensions differ.
      ValueError: a weight is negative, or the weights are not n numbers of sum 1.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([0.5, 0.5], [[1.0], [2.0]], [1.0, 1.0], "spherical")
      >>> print(mixture_of([p, q], [0.5, 0.5]).weights)
      [0.5  0.25 0.25]
    """
    gmms = unstacked(gmms) if isinstance(gmms, GMM) else gmms
    dtype = jnp.result_type(gmms[0].loc)
    if weights is None:
        return concatenate(gmms, jnp.full(len(gmms), -math.log(len(gmms)), dtype))
    return concatenate(gmms, log_or_minus_infinity(jnp.asarray(weights).astype(dtype)))


@validated_jit(one_space)
def stack(gmms: Mixtures) -> GMM:
    """Several mixtures as one stacked pytree, for `jax.vmap`.

    Mixtures of equal shapes are stacked as they are. Otherwise all take one covariance type, as in
    `mixture_of`, and copies of the first component, of weight 0, fill up the smaller ones.

    Args:
      gmms: a sequence of n mixtures in one space. A stack is returned as it is.

    Returns:
      A `GMM` whose leaves have a leading axis n.

    Raises:
      TypeError: gmms is not a sequence or a stack of GMMs.
      ValueError: gmms is empty, a parameter in it is not finite, or the dimensions differ.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([0.5, 0.5], [[1.0], [3.0]], [1.0, 1.0], "spherical")
      >>> print(jax.vmap(lambda gmm: gmm.weights)(stack([p, q])))
      [[1.  0. ]
       [0.5 0.5]]
    """
    if isinstance(gmms, GMM):
        return gmms
    if any(jax.tree.map(jnp.shape, gmm) != jax.tree.map(jnp.shape, gmms[0]) for gmm in gmms):
        most = max(gmm.num_components for gmm in gmms)
        gmms = [_padded(gmm, most) for gmm in with_common_structure(gmms)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *gmms)


def _padded(gmm: GMM, num_components: int) -> GMM:
    rows = np.arange(num_components)
    alive = rows < gmm.num_components
    padded = jax.tree.map(lambda leaf: leaf[np.where(alive, rows, 0)], gmm)
    return padded.replace(logits=jnp.where(alive, padded.logits, -jnp.inf))
