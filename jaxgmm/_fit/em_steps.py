"""Steps of the EM algorithm for weighted points, in blocks over the points, without LAPACK."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._expectation.expectation import sum_over_batches
from jaxgmm._mixture.combine import in_units, translate
from jaxgmm._mixture.gmm import GMM, log_det, scale_of
from jaxgmm._numerics.linalg import (
    cholesky_if_definite,
    einsum,
    inv_tril,
    matmul,
    norm,
    pack_tril,
    power_of_two,
)

T = TypeVar("T")


class _Sums(NamedTuple):
    """Weighted sums over points, with responsibilities r_k and y_k = L_k^-1 (x - mu_k)."""

    mass: Array  # (K,), of r
    shift: Array  # (K, D), of r y
    spread: Array  # of r y y^T (K, D, D), or for diagonal covariances of r y^2 (K, D)
    log_likelihood: Array  # (), of log p(x)


def em_step(params: GMM, x: Array, weights: Array, floor: Array) -> tuple[GMM, Array]:
    """The mixture after one EM step, and the weighted mean log-likelihood before it, in nats.

    The points x (n, D) lie around the origin, as `column_scales` can put them. Their weights (n,)
    are not all 0. The floor (D,) is added to the diagonal of each covariance, its mean to spherical
    ones. A component that no point belongs to keeps its mean and gets weight 0.
    """
    sums = _sums(params, x, weights)
    log_total = jnp.log(sums.mass.sum())
    moved = dataclasses.replace(params, logits=jnp.log(sums.mass) - log_total)
    update = _with_variances if params.off_diag is None else _with_triangles
    return update(moved, sums, floor), sums.log_likelihood / sums.mass.sum()


class Units(NamedTuple):
    """Units of x = centre + factor * z, in which no column of z is wide or far from the origin."""

    centre: Array  # (D,)
    factor: Array  # (D,), one number D times for spherical mixtures

    def inside(self, gmm: GMM) -> GMM:
        """The mixture of z, from one of x."""
        return in_units(translate(gmm, -self.centre), self.factor[: gmm.log_diag.shape[1]])

    def outside(self, gmm: GMM) -> GMM:
        """The mixture of x, from one of z."""
        return translate(in_units(gmm, 1 / self.factor[: gmm.log_diag.shape[1]]), self.centre)


def column_scales(x: Array, weights: Array, covariance_type: str) -> Units:
    """The weighted mean (D,) and standard deviation (D,) of each column of points (n, D).

    All columns share their root mean square deviation if ``covariance_type`` is "spherical", which
    depends on their relative units. The deviation of a constant column is 1.
    """
    origin = x[weights.argmax()]  # a constant column then has a deviation of exactly 0
    offsets = jnp.where(weights[:, None] > 0, x - origin[None], jnp.zeros_like(x))
    unit = power_of_two(jnp.abs(offsets).max(0))

    def mean(of_offsets: Callable[[Array], Array]) -> Array:
        def of_block(points: Array, w: Array) -> tuple[Array, Array]:
            return (w[:, None] * of_offsets((points - origin[None]) / unit[None])).sum(0), w.sum()

        total, mass = _sum_over_points(of_block, x, weights, 2048)
        return total / mass

    shift = mean(lambda z: z)
    factor = unit * jnp.sqrt(mean(lambda z: jnp.square(z - shift[None])))
    if covariance_type == "spherical":
        factor = jnp.broadcast_to(norm(factor, 0) / len(factor) ** 0.5, factor.shape)
    return Units(origin + unit * shift, jnp.where(factor > 0, factor, jnp.ones_like(factor)))


def _sum_over_points(
    of_block: Callable[[Array, Array], T], x: Array, weights: Array, most: int
) -> T:
    """The sum of a function of points and weights over blocks of at most that many points."""
    length = min(len(x), most)

    def of_index(index: Array) -> T:
        begin = index.astype(np.int32) * length
        first = jnp.minimum(begin, len(x) - length)
        points, w = (jax.lax.dynamic_slice_in_dim(of, first, length) for of in (x, weights))
        # The last block begins early enough to be full, where points have had their turn.
        is_new = first + np.arange(length, dtype=np.int32) >= begin
        return of_block(points, jnp.where(is_new, w, jnp.zeros_like(w)))

    return sum_over_batches(-(-len(x) // length), of_index, None)


def _sums(params: GMM, x: Array, weights: Array) -> _Sums:
    k, d = params.loc.shape
    whiten = _whitening(params)
    log_peak = params.log_weights - log_det(params) - 0.5 * d * math.log(2 * math.pi)

    def of_block(points: Array, w: Array) -> _Sums:
        y = whiten(points.T)
        log_joint = log_peak[:, None] - 0.5 * jnp.square(y).sum(1)
        largest = log_joint.max(0)
        joint = jnp.exp(log_joint - largest[None])  # with one exponential where logsumexp costs two
        density = joint.sum(0)
        r = joint * (w / density)[None]
        if params.off_diag is None:  # by products, which are faster than sums
            shift, spread = (einsum("kdn,kn->kd", of_y, r) for of_y in (y, jnp.square(y)))
        else:
            ry = r[:, None] * y
            shift, spread = ry.sum(2), einsum("kdn,ken->kde", ry, y)
        return _Sums(r.sum(1), shift, spread, (w * (largest + jnp.log(density))).sum())

    # A block that stays in cache, of a power of two, is fastest.
    length = 1 << max(7, min(11, (2**16 // (k * d)).bit_length() - 1))
    return _sum_over_points(of_block, x, weights, length)


def _whitening(params: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> W_k (x - mu_k), (K, D, n), with W_k the inverse of L_k."""
    k, d = params.loc.shape
    if params.off_diag is None:
        inverse_sigma = jnp.exp(-jnp.broadcast_to(params.log_diag, (k, d)))[:, :, None]
        return lambda x: (x[None] - params.loc[:, :, None]) * inverse_sigma
    inverse = jnp.broadcast_to(inv_tril(scale_of(params).rows()), (k, d, d))
    rows = jnp.concatenate([inverse, -matmul(inverse, params.loc[:, :, None])], axis=2)
    rows = rows.reshape(k * d, d + 1)  # one product for all components

    def whiten(x: Array) -> Array:
        return matmul(rows, jnp.concatenate([x, jnp.ones_like(x[:1])])).reshape(k, d, -1)

    return whiten


def _with_triangles(params: GMM, sums: _Sums, floor: Array) -> GMM:
    """The factors L C, where C C^T is the covariance of y, in which no digits cancel."""
    rows = scale_of(params).rows()
    inverse = inv_tril(rows)
    mass, step = _mass_and_step(sums)
    within = sums.spread - step[:, :, None] * sums.shift[:, None]
    if params.covariance_type == "tied":
        mass, within = mass.sum(keepdims=True), within.sum(0, keepdims=True)
    floors = matmul(inverse * floor[None, None], inverse.mT)
    # The diagonal grows by its own rounding error, so that the covariance stays definite.
    rounding = 4 * len(floor) * jnp.finfo(floor.dtype).eps
    grown = 1 + rounding * jnp.eye(len(floor), dtype=floor.dtype)
    covariance = (within / mass[:, None, None] + floors) * grown[None]
    factor, _ = cholesky_if_definite(covariance, jnp.zeros_like(mass))
    loc = params.loc + matmul(rows, step[:, :, None])[:, :, 0]
    log_diag, off_diag = pack_tril(matmul(rows, factor))
    return dataclasses.replace(params, loc=loc, log_diag=log_diag, off_diag=off_diag)


def _with_variances(params: GMM, sums: _Sums, floor: Array) -> GMM:
    """The variances sigma^2 times those of y, or times their means over the coordinates."""
    mass, step = _mass_and_step(sums)
    variance = sums.spread / mass[:, None] - jnp.square(step)
    if params.log_diag.shape[1] < params.num_dims:
        variance, floor = variance.mean(1, keepdims=True), floor.mean(keepdims=True)
    variance = jnp.maximum(variance, jnp.finfo(floor.dtype).eps)
    variance = variance + floor[None] * jnp.exp(-2 * params.log_diag)
    loc = params.loc + jnp.exp(params.log_diag) * step
    return dataclasses.replace(params, loc=loc, log_diag=params.log_diag + 0.5 * jnp.log(variance))


def _mass_and_step(sums: _Sums) -> tuple[Array, Array]:
    """The masses (K,), tiny instead of 0, and the means of y (K, D)."""
    mass = jnp.maximum(sums.mass, jnp.finfo(sums.mass.dtype).tiny)
    return mass, sums.shift / mass[:, None]
