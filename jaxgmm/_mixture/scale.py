"""One interface to the Cholesky factors L_k of a mixture, which are diagonal or triangular."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._numerics import linalg
from jaxgmm._numerics.linalg import matmul, power_of_two
from jaxgmm._numerics.transforms import take

Leaves = tuple[Array, Array | None]  # log_diag and off_diag
Three = tuple[Array, Array, Array]


@dataclasses.dataclass(frozen=True)
class Scale:
    """The factors L_k of a mixture. If they are diagonal, almost all operations cost O(K D)."""

    log_diag: Array  # (K or 1, D or 1)
    off_diag: Array | None  # (K or 1, D (D - 1) / 2); None for diagonal factors
    shape: tuple[int, int]  # (K, D)

    @property
    def log_sigma(self) -> Array:
        """The logarithms of the diagonals, (K, D)."""
        return jnp.broadcast_to(self.log_diag, self.shape)

    def rows(self) -> Array:
        """The factors (K, D, D), or (1, D, D) where all components share one."""
        if self.off_diag is not None:
            return linalg.unpack_tril(self.log_diag, self.off_diag, self.shape[1])
        shape = len(self.log_diag), self.shape[1]
        return linalg.diagonal_matrices(jnp.broadcast_to(jnp.exp(self.log_diag), shape))

    def factors(self) -> Array:
        """The factors (K, D, D)."""
        return jnp.broadcast_to(self.rows(), (*self.shape, self.shape[1]))

    def apply(self, rotation: Array | None = None) -> Callable[[Array, Array], Array]:
        """Components (s,) and normals (s, D, b) -> L_k U_k eps, (s, D, b)."""
        if self.off_diag is None and rotation is None:
            sigma = jnp.exp(self.log_sigma)
            return lambda component, nodes: take(sigma, component)[:, :, None] * nodes
        factors = self.factors() if rotation is None else matmul(self.factors(), rotation)
        return lambda component, nodes: matmul(take(factors, component), nodes)

    def whiten(self, loc: Array) -> Callable[[Array], Array]:
        """Points (D, n) -> |L_k^-1 (x - mu_k)|^2, (K, n)."""
        if self.off_diag is None:
            log_sigma = self.log_sigma
            return lambda x: _sum_of_squares(x, loc, log_sigma)
        k, d = self.shape
        inverse = linalg.inv_tril(self.rows())
        offset = matmul(inverse, loc[:, :, None])
        if len(inverse) == 1:
            return lambda x: jnp.square(matmul(inverse, x) - offset).sum(1)
        # One product for all is three times faster, and W mu in it spares the gradient a pass.
        rows = jnp.concatenate([inverse, -offset], axis=2).reshape(-1, d + 1)

        def mahalanobis(x: Array) -> Array:
            with_ones = jnp.pad(x, ((0, 1), (0, 0)), constant_values=1)
            return jnp.square(matmul(rows, with_ones).reshape(k, d, -1)).sum(1)

        return mahalanobis

    def covariances(self) -> Array:
        """The covariances in the shape that scikit-learn has for their type."""
        if self.off_diag is None:
            variances = jnp.exp(2 * self.log_diag)
            variances = variances if variances.shape[1] == self.shape[1] else variances[:, 0]
            return jnp.broadcast_to(variances, self.shape[: variances.ndim])
        products = linalg.gram(self.rows())
        return products if len(products) == self.shape[0] else products[0]


@jax.custom_jvp
def _sum_of_squares(x: Array, loc: Array, log_scale: Array) -> Array:
    """Sums over d of ((x_d - loc_kd) / scale_kd)^2 (K, n), for x (D, n) and loc (K, D)."""
    return jnp.square((x[None] - loc[:, :, None]) * jnp.exp(-log_scale)[:, :, None]).sum(1)


@_sum_of_squares.defjvp
def _sum_of_squares_jvp(primals: Three, tangents: Three) -> tuple[Array, Array]:
    # Matrix products replace the derivative of the sum, which is twenty times slower to transpose.
    # They lose no digits here. The unit lies between the scales, so that squares stay in range.
    log_scale, dlog_scale = primals[2], tangents[2]
    unit = power_of_two(jnp.exp(-0.5 * (log_scale.min(0) + log_scale.max(0))))
    x, dx = (unit[:, None] * of_x for of_x in (primals[0], tangents[0]))
    loc, dloc = (unit[None] * of_loc for of_loc in (primals[1], tangents[1]))
    precision = jnp.square(jnp.exp(-log_scale) / unit[None])
    by_x = matmul(precision, x * dx) - matmul(precision * loc, dx)
    by_loc = matmul(precision * dloc, x) - (precision * loc * dloc).sum(1)[:, None]
    squares = jnp.square(x[None] - loc[:, :, None]) * precision[:, :, None]
    squares = jnp.minimum(squares, jnp.finfo(x.dtype).max)  # A cotangent of 0 times inf is NaN.
    by_log_scale = (squares * dlog_scale[:, :, None]).sum(1)
    return _sum_of_squares(*primals), 2 * (by_x - by_loc - by_log_scale)
