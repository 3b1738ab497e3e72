"""Bounds of a divergence or an entropy."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._divergence.approximations import mean_log_mixture
from jaxgmm._mixture.combine import centred, midpoint, midpoint_log_weights
from jaxgmm._mixture.components import component_entropy, component_kl, component_overlaps
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.overall_moments import moment_matched
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._validation.validated_jit import validated_jit

MAX_ALTERNATIONS = 1000


@validated_jit(one_space)
def kl_bounds(p: Mixture, q: Mixture) -> tuple[Array, Array]:
    r"""Bounds of KL(p || q) that hold for certain.

    With the bounds of the entropy H(p) from `entropy_bounds`, and :math:`\bar H = \sum_k \pi_k H(p_k)`,

    .. math:: -\sum_k \pi_k \log \sum_j \omega_j \int p_k q_j \le -E_p[\log q]
              \le \bar H - \sum_k \pi_k \log \sum_j \omega_j e^{-KL(p_k \| q_j)}

    bounds their difference, KL; these are never wider than Durrieu, Thiran and Kelly's. So does 0 from below, and from above the
    variational bound

    .. math:: \min_{\phi, \psi} \sum_{kj} \phi_{kj} \left(\log \frac{\phi_{kj}}{\psi_{kj}} + KL(p_k \| q_j)\right),
              \quad \sum_j \phi_{kj} = \pi_k, \quad \sum_k \psi_{kj} = \omega_j

    which is never above :math:`\sum_{kj} \pi_k \omega_j KL(p_k \| q_j)`, where its minimisation starts.

    Args:
      p: the mixture under which the expectation is.
      q: the other mixture, in the same space.

    Returns:
      (lower, upper), two scalars in nats, with 0 <= lower <= KL(p || q) <= upper. Gradients are those of the bound that is
      tightest. First derivatives only: the second ones hold phi and psi constant.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.35, 0.65], [[-5.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> print([f"{bound:.3f}" for bound in kl_bounds(p, q)])  # the truth is 6.026
      ['3.715', '6.355']

    References:
      Durrieu, Thiran and Kelly, Lower and upper bounds for approximation of the Kullback-Leibler divergence between Gaussian
      mixture models, ICASSP (2012). Hershey and Olsen, Approximating the Kullback Leibler divergence between Gaussian mixture
      models, ICASSP (2007), section 8.
    """
    p, q = centred(p, q)
    k, pairs = p.num_components, _pairs(p, midpoint(p, q))
    within, across = (
        jax.tree.map(lambda a, rows=rows: a[:, rows], pairs) for rows in (slice(k), slice(k, None))
    )
    lower_entropy, upper_entropy = _entropy_bounds(p, within)
    lower_cross = -mean_log_mixture(p, q, across.log_overlap)
    upper_cross = _mean_entropy(p) - mean_log_mixture(p, q, -across.kl)
    variational = _variational_bound(p.log_weights, q.log_weights, across.kl)
    upper = jnp.minimum(upper_cross - lower_entropy, variational)
    return _ordered(jnp.maximum(lower_cross - upper_entropy, 0), upper)


@validated_jit()
def entropy_bounds(p: Mixture) -> tuple[Array, Array]:
    r"""Bounds of the differential entropy of a mixture that hold for certain.

    With :math:`\bar H = \sum_k \pi_k H(p_k)` and the Bhattacharyya distance B,

    .. math:: \max\left(\bar H - \sum_k \pi_k \log \sum_l \pi_l e^{-B(p_k, p_l)},
              -\sum_k \pi_k \log \sum_l \pi_l \int p_k p_l\right) \le H(p)

    .. math:: H(p) \le \min\left(\bar H - \sum_k \pi_k \log \sum_l \pi_l e^{-KL(p_k \| p_l)}, H(N(\bar\mu, \bar\Sigma))\right)

    where the last is the Gaussian with the mean and the covariance of p. Two classical bounds are never tighter:
    :math:`\bar H \le H(p) \le \bar H - \sum_k \pi_k \log \pi_k`.

    Args:
      p: the mixture.

    Returns:
      (lower, upper), two scalars in nats, with lower <= H(p) <= upper, equal for one Gaussian. Gradients are those of the bound
      that is tightest.

    Raises:
      TypeError, ValueError: p is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-2.0], [2.0]], [1.0, 1.0], "spherical")
      >>> print([f"{bound:.3f}" for bound in entropy_bounds(p)])  # the truth is 2.052
      ['1.985', '2.112']

    References:
      Kolchinsky and Tracey, Estimating mixture entropy with pairwise distances, Entropy 19 (2017), section 3. Huber, Bailey,
      Durrant-Whyte and Hanebeck, On entropy approximation for Gaussian mixture random vectors, MFI (2008), for the overlaps.
    """
    p, _ = centred(p, p)
    return _entropy_bounds(p, _pairs(p, p))


@validated_jit(one_space, symmetric=True)
def js_bounds(p: Mixture, q: Mixture) -> tuple[Array, Array]:
    r"""Bounds of the Jensen-Shannon divergence that hold for certain.

    .. math:: JS(p, q) = H(m) - \tfrac12 H(p) - \tfrac12 H(q) = \tfrac12 KL(p \| m) + \tfrac12 KL(q \| m),
              \quad m = \tfrac12 p + \tfrac12 q

    From the `entropy_bounds` of m, p and q; from above also from the variational bounds of the two divergences, as in
    `kl_bounds`; and 0 and log 2.

    Args:
      p: a mixture.
      q: the other mixture, in the same space.

    Returns:
      (lower, upper), two scalars in nats, with 0 <= lower <= JS(p, q) <= upper <= log 2. Gradients are those of the bound that is
      tightest, so 0 where that is 0 or log 2. First derivatives only, as for `kl_bounds`.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, or their dimensions differ.

    Example:
      >>> p = GMM.from_moments([1.0], [[-2.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> print([f"{bound:.3f}" for bound in js_bounds(p, q)])  # the truth is 0.633
      ['0.566', '0.693']

    References:
      Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991), eq. 4.1; and as for
      `entropy_bounds` and `kl_bounds`.
    """
    m = midpoint(*centred(p, q))
    pairs, parts = _pairs(m, m), jnp.stack(midpoint_log_weights(p, q))
    low_m, high_m = _entropy_bounds(m, pairs)
    low, high = jax.vmap(
        lambda logits: _entropy_bounds(dataclasses.replace(m, logits=logits), pairs)
    )(parts)
    variational = jax.vmap(lambda log_weights: _variational_bound(log_weights, m.logits, pairs.kl))(
        parts
    )
    upper = jnp.minimum(jnp.minimum(high_m - low.mean(), variational.mean()), math.log(2))
    return _ordered(jnp.clip(low_m - high.mean(), 0, math.log(2)), upper)


class _Pairs(NamedTuple):
    """What bounds need of all pairs of components, (K_p, K_q) each."""

    kl: Array
    bhattacharyya: Array
    log_overlap: Array


def _pairs(p: GMM, q: GMM) -> _Pairs:
    return _Pairs(component_kl(p, q), *component_overlaps(p, q))


def _entropy_bounds(p: GMM, pairs: _Pairs) -> tuple[Array, Array]:
    mean = _mean_entropy(p)
    lower = jnp.maximum(
        mean - mean_log_mixture(p, p, -pairs.bhattacharyya),
        -mean_log_mixture(p, p, pairs.log_overlap),
    )
    upper = jnp.minimum(
        mean - mean_log_mixture(p, p, -pairs.kl), component_entropy(moment_matched(p))[0]
    )
    return _ordered(lower, upper)


def _mean_entropy(p: GMM) -> Array:
    """The mean of the entropies of the components."""
    return (p.weights * component_entropy(p)).sum()


def _variational_bound(log_pi: Array, log_omega: Array, kl: Array) -> Array:
    r"""Hershey and Olsen's upper bound of KL(p || q), from the log-weights and KL(p_k || q_j).

    As functions of phi(j | k) = phi / pi and psi(k | j) = psi / omega, which hold the constraints whatever they and the weights
    are, it is a bound at every step of its minimisation, and its gradient at the minimum is the one that holds them constant.
    """
    log_pi, log_omega = (
        jnp.maximum(log_pi, -1e30),
        jnp.maximum(log_omega, -1e30),
    )  # so that 0 log 0 is 0
    log_phi, log_psi = _alternate(
        *jax.lax.stop_gradient((log_pi, log_omega, jnp.minimum(kl, 1e30)))
    )
    phi, log_ratio = (
        jnp.exp(log_pi[:, None] + log_phi),
        log_pi[:, None] + log_phi - log_omega[None] - log_psi,
    )
    return (phi * jnp.where(phi > 0, log_ratio + kl, 0)).sum()


def _alternate(log_pi: Array, log_omega: Array, kl: Array) -> tuple[Array, Array]:
    """The best log phi(j | k) and log psi(k | j): each in turn, until the bound falls no further."""

    def step(state: _Alternation) -> _Alternation:
        log_psi = jax.nn.log_softmax(log_pi[:, None] + state.log_phi, axis=0)
        joint = log_omega[None] + log_psi - kl
        log_phi = jax.nn.log_softmax(joint, axis=1)
        bound = vdot(jnp.exp(log_pi), log_pi - jax.nn.logsumexp(joint, axis=1))
        return _Alternation(log_phi, log_psi, bound, state.bound, state.num_steps + 1)

    def falls(state: _Alternation) -> Array:
        rounding = jnp.finfo(kl.dtype).eps * jnp.maximum(state.bound, 1)
        return (state.previous - state.bound > rounding) & (state.num_steps < MAX_ALTERNATIONS)

    independent = jnp.broadcast_to(log_omega[None], kl.shape)
    infinity = jnp.full((), jnp.inf, kl.dtype)
    first = step(_Alternation(independent, independent, infinity, infinity, jnp.int32(0)))
    last = jax.lax.while_loop(falls, step, first)
    return last.log_phi, last.log_psi


class _Alternation(NamedTuple):
    log_phi: Array
    log_psi: Array
    bound: Array
    previous: Array
    num_steps: Array


def _ordered(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Where bounds meet, rounding may have crossed them."""
    return lower, jnp.maximum(lower, upper)
