"""All common divergences of two mixtures, from one pass over the points."""

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._expectation.expectation import integrate
from jaxgmm._expectation.under_midpoint import Part, mean_of_parts, parts_of_midpoint
from jaxgmm._expectation.variance_reduction import (
    Integrand,
    log_density_with_control,
    with_reduced_variance,
)
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._numerics.special import at_most, entropy_deficit, sqrt_or_zero
from jaxgmm._numerics.transforms import exportable
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key
from jaxgmm._validation.validated_jit import validated_jit


@exportable
class Divergences(NamedTuple):
    """The common divergences of two mixtures.

    Attributes:
      kl_pq, kl_qp: the Kullback-Leibler divergences KL(p || q) and KL(q || p), in nats.
      js, jeffreys: the Jensen-Shannon and the Jeffreys divergence, in nats.
      hellinger, total_variation: the Hellinger and the total variation distance.

    Example:
      >>> Divergences(2.0, 2.0, 0.337, 4.0, 0.627, 0.683).js
      0.337
    """

    kl_pq: Array
    kl_qp: Array
    js: Array
    jeffreys: Array
    hellinger: Array
    total_variation: Array


UPPER_BOUNDS = (math.inf, math.inf, math.log(2), math.inf, 1.0, 1.0)


@validated_jit(one_space, scaling=0, bound=UPPER_BOUNDS)
def all_divergences(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Divergences:
    r"""Estimates of all common divergences of two mixtures, from one pass over the points.

    .. math:: E_p[t], \quad E_q[-t], \quad E_m[h(t)], \quad t = \log p(x) - \log q(x)

    Here m is the midpoint of p and q, and h is the integrand of `js_divergence`,
    `hellinger_distance` or `total_variation`. The work is that of `js_divergence` alone.

    Args:
      key, rule, mesh: as in `expectation`, with as many points drawn from q as from p.
      p, q: mixtures in one space.

    Returns:
      `Divergences`, a named tuple of scalars. `estimate` adds a standard error to each.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p, q = (jaxgmm.GMM.from_moments([1], [[m]], [1], "spherical") for m in (-1.0, 1.0))
      >>> every = all_divergences(jax.random.key(0), p, q)
      >>> print(f"{every.kl_pq:.3f} {every.js:.3f} {every.hellinger:.3f}")
      2.000 0.337 0.627
    """
    p, q = centred(p, q)
    log_ratio = log_density_with_control(p) - log_density_with_control(q)

    means = functools.partial(_means, log_ratio, mesh)
    parts = parts_of_midpoint(key, p, q, rule)
    kl_pq, kl_qp, js, square, variation = mean_of_parts(means, parts)
    hellinger = sqrt_or_zero(at_most(1, square))
    js = at_most(math.log(2), js)
    return Divergences(kl_pq, kl_qp, js, kl_pq + kl_qp, hellinger, at_most(1, variation))


def _means(log_ratio: Integrand, mesh: Mesh | None, part: Part) -> tuple[Array, ...]:
    """E_p[t], E_q[-t] and the means of the three bounded integrands h(t), for the log-ratio t."""
    points, control = with_reduced_variance(part.key, part.gmm, log_ratio, part.rule)

    def values(component: Array, x: Array) -> tuple[Array, ...]:
        t, basis = log_ratio.fn(x)
        # The weight of p in the midpoint is 1/2, so E_p[t] is the mean of 2 t on the side of p.
        both = 2 * control.residual(component, t, basis)
        side = jnp.repeat(part.side[component], len(t) // len(component))
        on_p = jnp.where(side > 0, both, jnp.zeros_like(t))
        kls = on_p, on_p - both
        variation = jnp.tanh(t / 2)
        # The last but one is (sqrt p - sqrt q)^2 / (p + q), which keeps its digits near t = 0.
        return *kls, entropy_deficit(t), variation * jnp.tanh(t / 4), jnp.abs(variation)

    kl_pq, kl_qp, *others = integrate(points, values, mesh)
    kl_pq += vdot(points.weights * (1 + part.side), control.means)
    kl_qp -= vdot(points.weights * (1 - part.side), control.means)
    return kl_pq, kl_qp, *others
