"""Distances between mixtures that have a closed form."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.combine import in_units, midpoint, midpoint_log_weights, units_of
from jaxgmm._mixture.components import component_overlaps
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.products import leaves_of_sums
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.special import log_or_minus_infinity, not_negative
from jaxgmm._validation.arguments import PositiveNumber
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space, symmetric=True)
def l2_distance(p: Mixture, q: Mixture) -> Array:
    r"""The exact L2 distance of the densities.

    .. math:: \|p - q\| = \left(\int (p(x) - q(x))^2 dx\right)^{1/2},
              \quad \int p q = \sum_{kj} \pi_k \omega_j N(\mu_k; \mu_j, \Sigma_k + \Sigma_j)

    In many dimensions, where it leaves the range of floats, use `log_l2_distance`. It has a kink at
    p = q, where the gradient 0 is returned. Near p = q its error is about 1e-8 of the norm of p
    (3e-4 in float32).

    Args:
      p, q: mixtures in one space.

    Returns:
      A scalar, a metric, in units of the square root of a density.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite, or the dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> print(f"{l2_distance(p, q) ** 2:.4f}")
      0.0306

    References:
      Scott and Szewczyk, From kernels to mixtures, Technometrics 43 (2001).
    """
    # The gradient starts with a factor as large as a density, so the scale of x must be near 1.
    units = units_of(p)
    log_distance = _log_distance(*_log_products(in_units(p, units), in_units(q, units)))
    return jnp.exp(log_distance - 0.5 * jnp.log(units).sum())


@validated_jit(one_space, symmetric=True)
def log_l2_distance(p: Mixture, q: Mixture) -> Array:
    r"""The logarithm of `l2_distance`, :math:`\log \|p - q\|`, without underflow.

    Args:
      p, q: mixtures in one space.

    Returns:
      A scalar. Where p = q to rounding it is -inf, with the gradient 0.

    Raises:
      TypeError, ValueError: as in `l2_distance`.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0] * 400], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[9.0] * 400], [1.0], "spherical")
      >>> print(f"{log_l2_distance(p, q):.2f}", l2_distance(p, q))
      -252.76 0.0
    """
    return _log_distance(*_log_products(p, q))


@validated_jit(one_space, symmetric=True)
def cauchy_schwarz_divergence(p: Mixture, q: Mixture) -> Array:
    r"""The exact Cauchy-Schwarz divergence, the logarithm of a cosine.

    .. math:: CS(p, q) = -\log \frac{\int p q}{\sqrt{\int p^2 \int q^2}}

    It is symmetric, 0 only at p = q, unbounded, and the same in any units of x.

    Args:
      p, q: mixtures in one space.

    Returns:
      A scalar, in nats.

    Raises:
      TypeError, ValueError: as in `l2_distance`.

    Example:
      >>> p = GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> print(f"{cauchy_schwarz_divergence(p, q):.4f}")
      0.0780

    References:
      Kampa, Hasanbelliu and Principe, Closed-form Cauchy-Schwarz PDF divergence, IJCNN (2011).
    """
    log_pp, log_qq, log_pq = _log_products(p, q)
    return not_negative(0.5 * (log_pp + log_qq) - log_pq)


@validated_jit()
def quadratic_renyi_entropy(p: Mixture) -> Array:
    r"""The exact quadratic Renyi entropy, of order 2, never above the differential entropy.

    .. math:: H_2(p) = -\log \int p(x)^2 dx
              = -\log \sum_{kj} \pi_k \pi_j N(\mu_k; \mu_j, \Sigma_k + \Sigma_j)

    Args:
      p: the mixture.

    Returns:
      A scalar, in nats; negative where p is concentrated.

    Raises:
      TypeError: p is not a GMM.
      ValueError: a parameter is not finite.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{quadratic_renyi_entropy(p):.4f}")  # log(4 pi) / 2
      1.2655

    References:
      Principe, Information Theoretic Learning (2010), section 2.2.
    """
    _, log_overlap = component_overlaps(p, p)
    log_weights = p.log_weights
    return -jax.nn.logsumexp(log_weights[:, None] + log_weights[None] + log_overlap)


@validated_jit(one_space, symmetric=True)
def mmd(p: Mixture, q: Mixture, bandwidth: PositiveNumber) -> Array:
    r"""The exact maximum mean discrepancy with a Gaussian kernel.

    .. math:: MMD^2 = E[k(x, x')] + E[k(y, y')] - 2 E[k(x, y)], \quad x, x' \sim p,
              \quad y, y' \sim q, \quad k(x, y) = \exp\left(-\frac{|x - y|^2}{2 h^2}\right)

    It has a kink at p = q, as `l2_distance`, and near it an error of about 1e-8 (3e-4 in float32).

    Args:
      p, q: mixtures in one space.
      bandwidth: h, a positive number in units of the data. The result is differentiable in it.

    Returns:
      A scalar between 0 and the square root of 2, a metric, not squared.

    Raises:
      TypeError, ValueError: as in `l2_distance`, or bandwidth is not one positive, finite number.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (0.0, 2.0))
      >>> print(f"{mmd(p, q, 1.0):.4f}")
      0.7496

    References:
      Gretton et al., A kernel two-sample test, JMLR 13 (2012), lemma 6.
      Muandet et al., Learning from distributions, NeurIPS (2012), table 1, for Gaussians.
    """
    log_h = jnp.log(jnp.asarray(bandwidth).astype(p.loc.dtype))
    log_peak = p.num_dims * (0.5 * math.log(2 * math.pi) + log_h)
    return jnp.exp(_log_distance(*(log_peak + product for product in _log_products(p, q, log_h))))


def _log_products(p: GMM, q: GMM, log_h: Array | None = None) -> Array:
    """log <p, p>, log <q, q>, log <p, q>; with log_h, one factor is convolved with N(0, h^2 I)."""
    both = midpoint(p, q)
    _, log_overlap = component_overlaps(both if log_h is None else _smoothed(both, log_h), both)
    log_p, log_q = midpoint_log_weights(p, q)
    left = jnp.stack([log_p, log_q, log_p])
    right = jnp.stack([log_p, log_q, log_q])
    return jax.nn.logsumexp(left[:, :, None] + right[:, None, :] + log_overlap[None], axis=(1, 2))


def _log_distance(log_pp: Array, log_qq: Array, log_pq: Array) -> Array:
    """1/2 log(<p, p> + <q, q> - 2 <p, q>), or -inf with the gradient 0 where rounding leaves 0."""
    log_sum = jnp.logaddexp(log_pp, log_qq)
    remainder = -jnp.expm1(math.log(2) + log_pq - log_sum)
    log_distance = 0.5 * (log_sum + log_or_minus_infinity(remainder))
    return jnp.where(remainder > 0, log_distance, -jnp.inf)


def _smoothed(gmm: GMM, log_h: Array) -> GMM:
    kernel = GMM(jnp.zeros_like(gmm.logits[:1]), 0 * gmm.loc[:1], log_h[None, None], None)
    log_diag, off_diag = leaves_of_sums(gmm, kernel)
    return dataclasses.replace(gmm, log_diag=log_diag, off_diag=off_diag)
