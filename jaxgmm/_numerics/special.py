"""Elementary functions that lose no digits where their terms cancel."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array


def expm1_less_linear(x: Array) -> Array:
    """e^x - 1 - x, which is not negative; near 0, where digits would cancel, x^2 / 2 (1 + x / 3 (1 + x / 4 (1 + ...)))."""
    near = jnp.abs(x) < 0.5
    small = jnp.where(near, x, jnp.zeros_like(x))
    series = functools.reduce(
        lambda series, n: 1 + small / n * series, range(16, 2, -1), jnp.ones_like(x)
    )
    return jnp.where(near, 0.5 * small * small * series, jnp.expm1(x) - x)


def log_mean_with_one(t: Array) -> Array:
    """log((1 + e^t) / 2), which is softplus less log 2, but loses no digits near t = 0."""
    near = jnp.abs(t) < 1
    small = jnp.where(near, t, jnp.zeros_like(t))
    return jnp.where(near, jnp.log1p(jnp.expm1(small) / 2), jax.nn.softplus(t) - math.log(2))
