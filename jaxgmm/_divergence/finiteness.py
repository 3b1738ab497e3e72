"""Whether the integral of p^a q^(1-a) is finite, by linear algebra on the components."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._divergence.renyi_companions import companions
from jaxgmm._divergence.renyi_forms import POINTS_OF_A_GUESS, above_one
from jaxgmm._divergence.renyi_tails import has_infinite_tail, rounding_of
from jaxgmm._expectation.finiteness import Finiteness
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.placement import pilot_nodes, placement

STEPS = 200
LEAST_LOG_MEAN = -8.0  # below it, what the points of h have not met may be most of the integral
_tail_is_infinite = jax.jit(has_infinite_tail, static_argnums=2)


def of_renyi(p: GMM, q: GMM, options: Mapping[str, Any]) -> Finiteness:
    """Whether the Renyi divergence of order ``options["alpha"]`` is finite."""
    return of_order(p, q, options.get("alpha", 1.0))


def of_order(p: GMM, q: GMM, order: float) -> Finiteness:
    if order <= 1:
        return Finiteness.BOUNDED
    (means, factors), (other_means, other_factors) = _of_positive_weight(p), _of_positive_weight(q)
    rounding = max(rounding_of(p), rounding_of(q))
    if p.num_dims == 1:
        of_p, of_q = (means[:, 0], factors[:, 0, 0]), (other_means[:, 0], other_factors[:, 0, 0])
        bounded = _on_the_line(order, of_p, of_q, rounding)
        return Finiteness.BOUNDED if bounded else Finiteness.INFINITE
    inverse = np.linalg.inv(other_factors)
    verdicts = {_of_component(order, inverse @ factor, rounding) for factor in factors}
    alive = np.asarray(p.logits) > -np.inf
    is_unknown = Finiteness.UNKNOWN in verdicts
    if Finiteness.INFINITE in verdicts or (is_unknown and _tail_is_infinite(p, q, order, alive)):
        return Finiteness.INFINITE
    is_sure = not is_unknown and _log_mean_ratio(p, q, order) > LEAST_LOG_MEAN
    return Finiteness.BOUNDED if is_sure else Finiteness.UNKNOWN


@functools.partial(jax.jit, static_argnums=2)
def _log_mean_ratio(p: GMM, q: GMM, order: float) -> Array:
    """log E_h[r] by a few points of h, and -inf where r has no bound.

    Where it is low, p^a q^(1-a) lies in a tail of h.
    """
    p, q = centred(p, q)
    h = above_one(p, q, order)[0]
    is_bounded = ((companions(p, q, order)[0] == order) | jnp.isneginf(p.logits)).all()
    nodes = pilot_nodes(p, POINTS_OF_A_GUESS)[None]
    place = placement(h.gmm)

    def of_component(k: Array) -> Array:
        return jax.nn.logsumexp(h.logs(place(k[None], nodes)).ratio) - math.log(POINTS_OF_A_GUESS)

    means = jax.lax.map(of_component, jnp.arange(h.gmm.num_components))
    alive = is_bounded & (h.gmm.logits > -jnp.inf)
    return jax.nn.logsumexp(jnp.where(alive, h.gmm.log_weights + means, -jnp.inf))


def _of_positive_weight(gmm: GMM) -> tuple[np.ndarray, np.ndarray]:
    """The means and the Cholesky factors of the components of positive weight, in float64."""
    alive = np.asarray(gmm.logits) > -np.inf
    return np.asarray(gmm.means, float)[alive], np.asarray(gmm.scale_tril, float)[alive]


def _on_the_line(
    order: float,
    p: tuple[np.ndarray, np.ndarray],
    q: tuple[np.ndarray, np.ndarray],
    rounding: float,
) -> bool:
    """The exact criterion in one dimension, by the widest components of q and then their means."""
    (means, scales), (other_means, other_scales) = p, q
    widest = np.log(other_scales).max()
    slack = math.log(order / (order - 1)) + 2 * (widest - np.log(scales))
    rounding *= 1 + abs(widest)
    ties = other_means[np.log(other_scales) >= widest - rounding]
    is_between = (ties.min() < means) & (means < ties.max())
    return bool(((slack > rounding) | ((slack >= -rounding) & is_between)).all())


def _of_component(order: float, ratios: np.ndarray, rounding: float) -> Finiteness:
    r"""The verdict for one component of p, by :math:`G_j = L_j^{-1} L_k` (J, D, D).

    It is infinite if :math:`\min_j |G_j v|^2 > a / (a - 1)` for some unit vector v, and bounded if
    some weighted mean of the :math:`G_j^T G_j` has no eigenvalue as large. The search alternates: v
    is the leading eigenvector of the mean, whose weights then shift to small :math:`|G_j v|`.
    """
    bound = order / (order - 1)
    squares = np.einsum("jab,jac->jbc", ratios, ratios)
    for square in squares[np.trace(squares, axis1=1, axis2=2).argsort()]:
        if np.linalg.eigvalsh(square)[-1] < bound * (1 - rounding):
            return Finiteness.BOUNDED
    log_shares, paid = np.zeros(len(squares)), np.zeros(len(squares))
    for step in range(1, STEPS + 1):
        shares = np.exp(log_shares - log_shares.max())
        values, vectors = np.linalg.eigh(np.tensordot(shares / shares.sum(), squares, 1))
        curvatures = np.square(ratios @ vectors[:, -1]).sum(1)
        paid += curvatures
        if values[-1] < bound * (1 - rounding):
            return Finiteness.BOUNDED
        if _is_too_heavy(curvatures, bound, rounding):
            return Finiteness.INFINITE
        log_shares = -math.sqrt(step) * paid / paid.max()
    return Finiteness.UNKNOWN


def _is_too_heavy(curvatures: np.ndarray, bound: float, rounding: float) -> bool:
    """Whether the tails are too heavy in a direction; at equality, if one curvature is least."""
    least = curvatures.min()
    is_alone = (curvatures <= least * (1 + 2 * rounding)).sum() == 1
    return bool(least > bound * (1 + rounding) or (is_alone and least >= bound * (1 - rounding)))
