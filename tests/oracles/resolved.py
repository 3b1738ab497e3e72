"""Quadrature on the line that resolves every component, however narrow, and has derivatives of its
own.

A mixture is any object with logits, loc, log_diag and off_diag as the package defines them.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from oracles.panels import on_panels

STEPS = np.concatenate([-np.geomspace(40, 0.25, 24), [0], np.geomspace(0.25, 40, 24)])
MAX_CROSSINGS = 16


def in_numpy(*mixtures):
    """Their leaves in float64: what is computed from them takes these as exact."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), mixtures)


def log_density(mixture, x, origin):
    """The log-density at points x (n,) of the line that are relative to an origin."""
    log_scale = mixture.log_diag[:, 0, None]
    z = (x[None] - (mixture.loc[:, 0] - origin)[:, None]) * jnp.exp(-log_scale)
    log_weights = mixture.logits - jax.nn.logsumexp(mixture.logits)
    return jax.nn.logsumexp(
        log_weights[:, None] - log_scale - 0.5 * z**2 - 0.5 * math.log(2 * math.pi), axis=0
    )


def log_ratio(p, q, x, origin):
    return log_density(p, x, origin) - log_density(q, x, origin)


def panels(p, q, order: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights, and the origin they are relative to, which is a mean of p.

    The panels grow away from each component, and end where p = q. They are as many for all mixtures
    of the same numbers of components.
    """
    origin = p.loc[0, 0]
    centres = np.concatenate([p.loc[:, 0], q.loc[:, 0]]) - origin
    scales = np.exp(np.concatenate([p.log_diag[:, 0], q.log_diag[:, 0]]))
    breaks = np.sort((centres[:, None] + scales[:, None] * STEPS).ravel())
    crossings = _crossings(p, q, on_panels(breaks, order)[0], origin)
    padding = np.full(MAX_CROSSINGS - len(crossings), breaks[-1])
    return *on_panels(np.sort(np.concatenate([breaks, crossings, padding])), order), origin


_log_ratio = jax.jit(log_ratio)


def _crossings(p, q, x: np.ndarray, origin) -> np.ndarray:
    """Where p = q, between neighbours among the points x, by bisection."""
    above = np.asarray(_log_ratio(p, q, x, origin)) > 0
    places = np.flatnonzero(above[1:] != above[:-1])[:MAX_CROSSINGS]
    low, high, above = x[places], x[places + 1], above[places]
    for _ in range(50):
        middle = (low + high) / 2
        as_low = (
            np.asarray(_log_ratio(p, q, np.resize(middle, MAX_CROSSINGS), origin))[: len(low)] > 0
        ) == above
        low, high = np.where(as_low, middle, low), np.where(as_low, high, middle)
    return low


def _kl(
    p, q, log_p, log_q
):  # q - p, whose integral is 0, makes it the integral of what is not negative
    return p * (log_p - log_q) - p + q


def _js(p, q, log_p, log_q):
    # With u half of the log-ratio it is m (u tanh u - log cosh u), in which no first order cancels.
    u = 0.5 * (log_p - log_q)
    near = jnp.abs(u) < 1
    small = jnp.where(near, u, 0.0)
    large = jnp.where(near, 1.0, jnp.abs(u))
    log_cosh_small = jnp.log1p(2 * jnp.sinh(small / 2) ** 2)
    log_cosh_large = large + jnp.log1p(jnp.exp(-2 * large)) - math.log(2)
    return 0.5 * (p + q) * (u * jnp.tanh(u) - jnp.where(near, log_cosh_small, log_cosh_large))


INTEGRANDS = {
    "kl": _kl,
    "js": _js,
    "entropy": lambda p, q, log_p, log_q: -p * log_p,
    "cross_entropy": lambda p, q, log_p, log_q: -p * log_q,
    "total_variation": lambda p, q, log_p, log_q: 0.5 * jnp.abs(p - q),
    "squared_hellinger": lambda p, q, log_p, log_q: (
        0.5 * (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2
    ),
    "mass": lambda p, q, log_p, log_q: p,
}


def integral(name: str, p, q, x: Array, w: Array, origin) -> Array:
    """One of the integrals, as a function of two mixtures."""
    log_p, log_q = log_density(p, x, origin), log_density(q, x, origin)
    return w @ INTEGRANDS[name](jnp.exp(log_p), jnp.exp(log_q), log_p, log_q)


@jax.jit
def _all_integrals(p, q, x, w, origin):
    return {name: integral(name, p, q, x, w, origin) for name in INTEGRANDS}


def integrals(p, q, order: int = 16) -> dict[str, float]:
    """All of them, for mixtures of any dtype on the line."""
    p, q = in_numpy(p, q)
    return {
        name: float(value) for name, value in _all_integrals(p, q, *panels(p, q, order)).items()
    }


def moved(p, q, steps):
    """The pair after steps (6, K): of its logits, of its means in standard deviations, and of its
    log-scales, p first.
    """

    def one(m, steps):
        loc = m.loc + (steps[1] * jnp.exp(m.log_diag[:, 0]))[:, None]
        return type(m)(m.logits + steps[0], loc, m.log_diag + steps[2][:, None], m.off_diag)

    return one(p, steps[:3]), one(q, steps[3:])


@functools.partial(jax.jit, static_argnames="name")
def _derivatives(name, p, q, x, w, origin):
    def value(steps):
        return integral(name, *moved(p, q, steps), x, w, origin)

    start = jnp.zeros((6, len(p.logits)))
    return jax.grad(value)(start), jax.hessian(value)(start)


def derivatives(name: str, p, q) -> tuple[Array, Array]:
    """The gradient and the Hessian of an integral in the steps of `moved`."""
    p, q = in_numpy(p, q)
    return _derivatives(name, p, q, *panels(p, q))
