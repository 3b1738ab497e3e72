"""Several mixtures as one: translated, concatenated, mixed and stacked."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxgmm._mixture.gmm import GMM, centre_of, unstacked
from jaxgmm._mixture.moments import checked_weights
from jaxgmm._mixture.validation import Mixture, Mixtures, one_space
from jaxgmm._numerics.special import log_or_minus_infinity
from jaxgmm._validation.checks import finite_array
from jaxgmm._validation.validated_jit import validated, validated_jit


@validated(one_space)
def centred(p: Mixture, q: Mixture) -> tuple[GMM, GMM]:
    r"""Both mixtures, translated such that the mean of p is at the origin.

    .. math:: p(x + \bar\mu), \quad q(x + \bar\mu), \quad \bar\mu = \sum_k \pi_k \mu_k

    A common translation changes no divergence. Far from the origin it saves digits, as coordinates
    are then rounded to a share of the distance from the mixtures, and not from the origin. Every
    divergence of this package does so itself.

    Args:
      p: a mixture.
      q: the other mixture, in the same space.

    Returns:
      Both mixtures. The translation is constant in derivatives.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite.
      ValueError: their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[10.0], [14.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[13.0]], [1.0], "spherical")
      >>> print(centred(p, q)[1].means)
      [[1.]]
    """
    centre = centre_of(p)
    return translate(p, -centre), translate(q, -centre)


def translate(gmm: GMM, shift: Array) -> GMM:
    """The mixture moved by a vector (D,)."""
    return dataclasses.replace(gmm, loc=gmm.loc + shift[None, :])


def concatenate(gmms: Sequence[GMM], log_weights: Array) -> GMM:
    """The mixture of mixtures with these log-weights (n,): the components of each in turn."""
    parts = [
        dataclasses.replace(gmm, logits=gmm.log_weights + log_weights[i])
        for i, gmm in enumerate(with_common_structure(gmms))
    ]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def with_common_structure(gmms: Sequence[GMM]) -> list[GMM]:
    """The same mixtures with a row for each component, in the least restricted covariance type among them."""
    full = any(gmm.off_diag is not None for gmm in gmms)
    num_dims = gmms[0].num_dims
    columns = num_dims if full else max(gmm.log_diag.shape[1] for gmm in gmms)

    def in_type(gmm: GMM) -> GMM:
        log_diag = jnp.broadcast_to(gmm.log_diag, (gmm.num_components, columns))
        if not full:
            return dataclasses.replace(gmm, log_diag=log_diag)
        off_diag = (
            jnp.zeros_like(gmm.loc, shape=(1, num_dims * (num_dims - 1) // 2))
            if gmm.off_diag is None
            else gmm.off_diag
        )
        off_diag = jnp.broadcast_to(off_diag, (gmm.num_components, off_diag.shape[1]))
        return dataclasses.replace(gmm, log_diag=log_diag, off_diag=off_diag)

    return [in_type(gmm) for gmm in gmms]


def midpoint(p: GMM, q: GMM) -> GMM:
    """The mixture p / 2 + q / 2: the components of p, then those of q."""
    return concatenate((p, q), jnp.full_like(p.loc, -math.log(2), shape=(2,)))


def midpoint_log_weights(p: GMM, q: GMM) -> tuple[Array, Array]:
    """The log-weights (K_p + K_q,) with which the components of both make p, and those with which they make q."""
    absent_p, absent_q = (jnp.full_like(gmm.logits, -jnp.inf) for gmm in (p, q))
    log_p, log_q = p.log_weights, q.log_weights
    return jnp.concatenate([log_p, absent_q]), jnp.concatenate([absent_p, log_q])


def weights_of_mixtures(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmms, weights), with a weight for each mixture."""
    gmms, weights = one_space(arguments)["gmms"], arguments.get("weights")
    if weights is None:
        return arguments
    if not isinstance(weights, Tracer):
        weights = checked_weights(finite_array("weights", weights))
    expected = (len(gmms.loc if isinstance(gmms, GMM) else gmms),)
    if weights.shape != expected:
        raise ValueError(
            f"weights must have shape {expected}, one for each mixture in gmms, got {weights.shape}"
        )
    return {**arguments, "weights": weights}


@validated_jit(weights_of_mixtures)
def mixture_of(gmms: Mixtures, weights: ArrayLike | None = None) -> GMM:
    r"""The mixture of mixtures, :math:`\sum_i w_i p_i`.

    The midpoint in the Jensen-Shannon divergence is ``mixture_of([p, q])``.

    Args:
      gmms: mixtures of one dimension, of any numbers of components and covariance types: a sequence, or a stack.
      weights: (n,), not negative, with sum 1 to within 1e-6; None: equal. Differentiable where positive.

    Returns:
      The mixture of all their components in turn, in the least restricted type of all, "full" if any covariance has an
      off-diagonal part, else "diag", or "spherical" if all are.

    Raises:
      TypeError, ValueError: an element is not a finite mixture, dimensions differ, or weights are not those of a mixture.

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
    log_weights = log_or_minus_infinity(jnp.asarray(weights).astype(dtype))
    return concatenate(gmms, log_weights)


@validated_jit(one_space)
def stack(gmms: Mixtures) -> GMM:
    """One stacked pytree of several mixtures, for `jax.vmap`; their densities stay what they are.

    Those with fewer components than the largest get components without weight, copies of their first with the logit -inf. All
    come in the least restricted covariance type among them, as in `mixture_of`; those of equal shapes are stacked as they are.

    Args:
      gmms: n mixtures of one dimension: a sequence; a stack is returned as it is.

    Returns:
      A `GMM` whose leaves have a leading axis n.

    Raises:
      TypeError, ValueError: an element is not a finite mixture, or dimensions differ.

    Example:
      >>> import jax
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
    """The mixture with copies of its first component, without weight, up to that many."""
    rows = np.arange(num_components)
    alive = rows < gmm.num_components
    padded = jax.tree.map(lambda leaf: leaf[np.where(alive, rows, 0)], gmm)
    return dataclasses.replace(padded, logits=jnp.where(alive, padded.logits, -jnp.inf))
