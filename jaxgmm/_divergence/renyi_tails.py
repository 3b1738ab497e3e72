"""Whether the integral of p^a q^(1-a) is infinite for a > 1, by the tails of the components."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.gmm import GMM, scale_of
from jaxgmm._mixture.powers import ROUNDING
from jaxgmm._numerics.linalg import einsum, inv_tril

STEPS = 64


def has_infinite_tail(p: GMM, q: GMM, order: float, undecided: Array) -> Array:
    """Whether the tail of one of the undecided components of p, (K_p,), is certainly too heavy."""
    if p.num_dims == 1:
        return (undecided & _on_the_line(p, q, order)).any()

    def in_space() -> Array:
        return (undecided & _along_directions(p, q, order)).any()

    return jax.lax.cond(undecided.any(), in_space, lambda: jnp.zeros((), bool))


def _on_the_line(p: GMM, q: GMM, order: float) -> Array:
    """The exact criterion in one dimension, by the widest components of q and then their means."""
    log_p = jnp.broadcast_to(p.log_diag, p.loc.shape)[:, 0]
    log_q = jnp.broadcast_to(q.log_diag, q.loc.shape)[:, 0]
    alive = q.logits > -jnp.inf
    widest = jnp.where(alive, log_q, -jnp.inf).max()
    slack = math.log(order / (order - 1)) + 2 * (widest - log_p)
    rounding = rounding_of(q) * (1 + jnp.abs(widest))
    ties = alive & (log_q >= widest - rounding)
    lowest = jnp.where(ties, q.loc[:, 0], jnp.inf).min()
    highest = jnp.where(ties, q.loc[:, 0], -jnp.inf).max()
    is_between = (lowest < p.loc[:, 0]) & (p.loc[:, 0] < highest)
    return (slack < -rounding) | ((slack <= rounding) & ~is_between)


def _along_directions(p: GMM, q: GMM, order: float) -> Array:
    r"""Whether some direction v has :math:`a v^T P_k v < (a - 1) \min_j v^T P_j v`.

    The P are precisions. Equality suffices if only one component of q has the minimum. The
    directions are those of a power iteration on a weighted mean of the P_j relative to P_k, whose
    weights grow where :math:`v^T P_j v` is least.
    """
    factor, inverse = scale_of(p).factors(), inv_tril(scale_of(q).rows())
    inverse = jnp.broadcast_to(inverse, (q.num_components, *inverse.shape[1:]))
    dead = jnp.where(q.logits > -jnp.inf, 0, jnp.inf)
    bound, rounding = order / (order - 1), rounding_of(q)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        direction, log_shares, found = state
        whitened = einsum("jab,kbc,kc->kja", inverse, factor, direction)
        curvatures = jnp.square(whitened).sum(2)
        least = (curvatures + dead[None]).min(1)
        ties = (curvatures + dead[None] <= least[:, None] * (1 + 2 * rounding)).sum(1)
        found = found | (least > bound * (1 + rounding))
        found = found | ((ties == 1) & (least >= bound * (1 - rounding)))
        log_shares = log_shares - curvatures / jnp.maximum(curvatures.max(1, keepdims=True), 1e-30)
        shares = jax.nn.softmax(log_shares - dead[None], 1)
        new = einsum("kcb,jac,kja,kj->kb", factor, inverse, whitened, shares)
        return new / jnp.sqrt(jnp.square(new).sum(1, keepdims=True)), log_shares, found

    start = jnp.full_like(p.loc, 1 / math.sqrt(p.num_dims))
    shares = jnp.zeros_like(p.loc, shape=(p.num_components, q.num_components))
    found = jnp.zeros(p.num_components, bool)
    return jax.lax.fori_loop(0, STEPS, step, (start, shares, found))[2]


def rounding_of(gmm: GMM) -> float:
    """The relative rounding of a ratio of variances, with a margin."""
    return ROUNDING * float(jnp.finfo(gmm.loc.dtype).eps)
