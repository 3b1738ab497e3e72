"""Elementary functions with accurate values and derivatives at the edge of their domain."""

import math

import jax
import jax.numpy as jnp
from jax import Array


def at_most(bound: float, value: Array) -> Array:
    """The value clipped at an upper bound, with its derivatives kept. Only rounding exceeds it."""
    # The derivative of `jnp.minimum` would vanish, or be halved, at the bound.
    return value - jax.lax.stop_gradient(jnp.maximum(value - bound, 0))


def not_negative(value: Array) -> Array:
    """The value clipped at 0, with its derivatives kept. Only rounding makes it negative."""
    return value + jax.lax.stop_gradient(jnp.maximum(-value, 0))


def sqrt_or_zero(x: Array) -> Array:
    """The square root of x, and 0 with gradient 0 where x is not positive."""
    # The derivative at 0 is infinite. Times 0, for the branch not taken, it would be NaN.
    positive = x > 0
    root = jnp.sqrt(jnp.where(positive, x, jnp.ones_like(x)))
    return jnp.where(positive, root, jnp.zeros_like(x))


def log_or_minus_infinity(x: Array) -> Array:
    """The logarithm of x, and -inf with gradient 0 where x is not positive."""
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, jnp.ones_like(x))), -jnp.inf)


def expm1_less_linear(x: Array) -> Array:
    """e^x - 1 - x, which is not negative."""
    near = jnp.abs(x) < 0.5
    small = jnp.where(near, x, jnp.zeros_like(x))
    # The digits cancel near 0. The series x^2 / 2 (1 + x / 3 (1 + x / 4 (1 + ...))) keeps them.
    series = jnp.ones_like(x)
    for n in range(16, 2, -1):
        series = 1 + small / n * series
    return jnp.where(near, 0.5 * small * small * series, jnp.expm1(x) - x)


def log_mean_with_one(t: Array) -> Array:
    """log((1 + e^t) / 2), which is softplus(t) - log 2, without loss of digits near t = 0."""
    near = jnp.abs(t) < 1
    small = jnp.where(near, t, jnp.zeros_like(t))
    return jnp.where(near, jnp.log1p(jnp.expm1(small) / 2), jax.nn.softplus(t) - math.log(2))


def entropy_deficit(t: Array) -> Array:
    r"""log 2 less the entropy of a coin with log-odds t, between 0 and log 2 for any t.

    .. math:: \tfrac12 u t + \tfrac12 \log(1 - u^2), \quad u = \tanh(t / 2)
    """
    near = jnp.abs(t) < 1
    s = jnp.where(near, t, jnp.minimum(jnp.abs(t), 800))  # e^-800 is 0 in every dtype
    less_one = jnp.expm1(-s)
    e = 1 + less_one
    u = -less_one / (1 + e)
    log = jnp.log1p(jnp.where(near, -u * u, e))
    # Near 0 both terms of the formula are of second order. Far from 0 they would cancel.
    return jnp.where(near, 0.5 * (u * s + log), math.log(2) - log - s * e / (1 + e))
