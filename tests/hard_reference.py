"""Hard pairs of mixtures, and their oracles: quadrature that resolves every component, with its own derivatives, and mpmath."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from jax import Array

from jaxgmm import GMM


def line(weights, means, scales) -> GMM:
    with np.errstate(divide="ignore"):
        logits = np.log(np.asarray(weights, float))
    columns = np.asarray(means, float)[:, None], np.log(np.asarray(scales, float))[:, None]
    return GMM(*map(jnp.asarray, (logits, *columns)), jnp.zeros((len(logits), 0)))


def cast(dtype, *mixtures: GMM) -> tuple[GMM, ...]:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), mixtures)


def without_off_diagonal(*mixtures: GMM) -> tuple[GMM, ...]:
    return tuple(dataclasses.replace(mixture, off_diag=None) for mixture in mixtures)


QUARTERS, ONES = [0.25] * 4, [1.0] * 4
# Four components each, on the line, so that all share their compilations; some of weight exactly 0.
PAIRS = {
    "nearly equal": (
        line([0.3, 0.2, 0.5, 0], [0, 1, 3, 0], [1, 0.5, 0.8, 1]),  # KL is 1.7e-8
        line([0.3, 0.2, 0.5, 0], [1e-4, 1.0001, 2.9998, 0], [1, 0.5, 0.80008, 1]),
    ),
    "far": (line(QUARTERS, [0, 1, 2, 0], ONES), line(QUARTERS, [1414, 1415, 1416, 1414], ONES)),  # KL is 1e6
    "needle in the first": (line(QUARTERS, [0, 0.3, 0.3, -0.5], [1, 1e-6, 1e-3, 1]), line(QUARTERS, [0, 1, -1, 0], [1, 1, 1, 2])),
    "needle in the second": (
        line(QUARTERS, [0, 1, -1, 0], [1, 1, 1, 2]),
        line(QUARTERS, [0, 0.3, 0.3, -0.5], [1, 1e-6, 1e-3, 1]),
    ),
    "needles in both": (
        line([0.5, 0.1, 0.2, 0.2], [0, 0.3, -0.3, 0.7], [1, 1e-6, 1e-6, 1e-4]),
        line([0.5, 0.1, 0.2, 0.2], [0, 0.3, 0.300001, 0.7], [1, 2e-6, 1e-6, 1e-4]),
    ),
    "tiny weights": (
        line([1, 1e-10, 1e-100, 1e-300], [0, 3, 40, -5], ONES),
        line([1e-300, 1e-10, 1, 1e-20], [0, 1, 2, 30], ONES),
    ),
    "tiny weight where p lives": (line([0.5, 0.5, 0, 0], [0, 30, 0, 0], ONES), line([1, 1e-300, 0, 0], [0, 30, 30, 0], ONES)),
    "dead in both": (
        line([0.5, 0, 0.5, 0], [0, 9, 2, 1], [1, 1e-6, 1, 1]),
        line([0, 0, 0.5, 0.5], [0, 9, 2, 1], ONES),
    ),
    "duplicates": (line([0.1, 0.2, 0.3, 0.4], ONES, ONES), line([0.4, 0.1, 0.4, 0.1], [0, 0, 2, 2], ONES)),
    "at a million": (
        line([0.1, 0.2, 0.3, 0.4], [1e6, 1e6 + 1, 1e6 + 3, 1e6 - 1], [1, 0.5, 2, 1]),
        line([0.4, 0.1, 0.4, 0.1], [1e6, 1e6 + 2, 1e6 + 1, 1e6], [1, 0.5, 1, 1]),
    ),
    "two million apart": (
        line([0.1, 0.2, 0.3, 0.4], [1e6, 1e6 + 1, -1e6, -1e6 - 1], [1, 0.5, 2, 1]),
        line([0.4, 0.1, 0.4, 0.1], [1e6, 1e6 + 2, -1e6, -1e6], [1, 0.5, 1, 1]),
    ),
    "scales from 1e-6 to 1e6": (
        line(QUARTERS, [0, 0, 0, 0], [1e-6, 1e-3, 1, 1e6]),
        line([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0], [1e-5, 1e-2, 10, 1e6]),
    ),
}
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
    return jax.nn.logsumexp(log_weights[:, None] - log_scale - 0.5 * z**2 - 0.5 * math.log(2 * math.pi), axis=0)


def log_ratio(p, q, x, origin):
    return log_density(p, x, origin) - log_density(q, x, origin)


def panels(p, q, order: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights, and the origin they are relative to, which is a mean of p.

    The panels grow away from each component, and end where p = q. They are as many for all mixtures of the same numbers of
    components.
    """
    origin = p.loc[0, 0]
    centres = np.concatenate([p.loc[:, 0], q.loc[:, 0]]) - origin
    scales = np.exp(np.concatenate([p.log_diag[:, 0], q.log_diag[:, 0]]))
    breaks = np.sort((centres[:, None] + scales[:, None] * STEPS).ravel())
    crossings = _crossings(p, q, _on_panels(breaks, order)[0], origin)
    padding = np.full(MAX_CROSSINGS - len(crossings), breaks[-1])
    return *_on_panels(np.sort(np.concatenate([breaks, crossings, padding])), order), origin


def _on_panels(breaks: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(breaks) / 2
    return (breaks[:-1, None] + half[:, None] * (1 + nodes)).ravel(), (half[:, None] * weights).ravel()


_log_ratio = jax.jit(log_ratio)


def _crossings(p, q, x: np.ndarray, origin) -> np.ndarray:
    """Where p = q, between neighbours among the points x, by bisection."""
    above = np.asarray(_log_ratio(p, q, x, origin)) > 0
    places = np.flatnonzero(above[1:] != above[:-1])[:MAX_CROSSINGS]
    low, high, above = x[places], x[places + 1], above[places]
    for _ in range(50):
        middle = (low + high) / 2
        as_low = (np.asarray(_log_ratio(p, q, np.resize(middle, MAX_CROSSINGS), origin))[: len(low)] > 0) == above
        low, high = np.where(as_low, middle, low), np.where(as_low, high, middle)
    return low


def _kl(p, q, log_p, log_q):  # q - p, whose integral is 0, makes it the integral of what is not negative
    return p * (log_p - log_q) - p + q


def _js(p, q, log_p, log_q):
    log_m = jnp.logaddexp(log_p, log_q) - math.log(2)
    return 0.5 * (p * (log_p - log_m) + q * (log_q - log_m))


INTEGRANDS = {
    "kl": _kl,
    "js": _js,
    "entropy": lambda p, q, log_p, log_q: -p * log_p,
    "cross_entropy": lambda p, q, log_p, log_q: -p * log_q,
    "total_variation": lambda p, q, log_p, log_q: 0.5 * jnp.abs(p - q),
    "squared_hellinger": lambda p, q, log_p, log_q: 0.5 * (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2,
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
    return {name: float(value) for name, value in _all_integrals(p, q, *panels(p, q, order)).items()}


def moved(p, q, steps):
    """The pair after steps (6, K): of its logits, of its means in standard deviations, and of its log-scales, p first."""

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


def exact(p, q) -> tuple[float, float]:
    """KL(p || q) and JS(p, q) on the line, with 30 digits."""
    with mpmath.workdps(30):
        (log_p, parts_p), (log_q, parts_q) = map(_exact_log_density, in_numpy(p, q))
        parts = parts_p + parts_q
        breaks = sorted({mean + scale * step for mean, scale in parts for step in (-30, -10, -5, -2, 0, 2, 5, 10, 30)})

        def js(x):
            a, b = log_p(x), log_q(x)
            log_m = mpmath.log((mpmath.exp(a) + mpmath.exp(b)) / 2)
            return (mpmath.exp(a) * (a - log_m) + mpmath.exp(b) * (b - log_m)) / 2

        kl = mpmath.quad(lambda x: mpmath.exp(log_p(x)) * (log_p(x) - log_q(x)), breaks, maxdegree=5)
        return float(kl), float(mpmath.quad(js, breaks, maxdegree=5))


def _exact_log_density(mixture):
    alive = [i for i, logit in enumerate(mixture.logits) if logit > -np.inf]
    weights = [mpmath.exp(mixture.logits[i]) for i in alive]
    parts = [(mpmath.mpf(mixture.loc[i, 0]), mpmath.exp(mixture.log_diag[i, 0])) for i in alive]
    total = mpmath.fsum(weights) * mpmath.sqrt(2 * mpmath.pi)
    return (
        lambda x: mpmath.log(
            mpmath.fsum(w / s * mpmath.exp(-(((x - m) / s) ** 2) / 2) for w, (m, s) in zip(weights, parts, strict=True)) / total
        )
    ), parts


def exact_gaussian_kl(p, q) -> float:
    """KL of two single Gaussians from their Cholesky factors, with 60 digits."""
    with mpmath.workdps(60):
        a, b = map(_exact_factor, in_numpy(p, q))
        offset = mpmath.matrix([mpmath.mpf(u) - mpmath.mpf(v) for u, v in zip(p.loc[0].tolist(), q.loc[0].tolist(), strict=True)])
        inverse = b**-1
        log_ratio = mpmath.fsum(mpmath.log(b[i, i] / a[i, i]) for i in range(a.rows))
        squares = mpmath.fsum(v**2 for v in inverse * a) + mpmath.fsum(v**2 for v in inverse * offset)
        return float((squares - a.rows) / 2 + log_ratio)


def _exact_factor(gaussian):
    num_dims, packed = gaussian.loc.shape[1], iter(gaussian.off_diag[0].tolist())
    factor = mpmath.zeros(num_dims)
    for row in range(num_dims):
        for column in range(row):
            factor[row, column] = mpmath.mpf(next(packed))
        factor[row, row] = mpmath.exp(gaussian.log_diag[0, row])
    return factor
