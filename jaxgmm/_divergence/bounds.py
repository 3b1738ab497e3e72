"""Lower and upper bounds of divergences and of the entropy."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._divergence.approximations import mean_log_mixture
from jaxgmm._mixture.algebra import moment_matched
from jaxgmm._mixture.combine import centred, midpoint, midpoint_log_weights
from jaxgmm._mixture.components import component_entropy, component_kl, component_overlaps
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._numerics.transforms import varying_with
from jaxgmm._validation.validated_jit import validated_jit

MAX_ALTERNATIONS = 1000
State = tuple[Array, Array, Array, Array]  # log phi, the bound now and before, the steps so far


@validated_jit(one_space)
def kl_bounds(p: Mixture, q: Mixture) -> tuple[Array, Array]:
    r"""Lower and upper bounds of KL(p || q).

    KL(p || q) is the cross-entropy :math:`-E_p[\log q]` less the entropy H(p), which lies within
    `entropy_bounds`. With :math:`\bar H = \sum_k \pi_k H(p_k)`, the cross-entropy obeys

    .. math:: -\sum_k \pi_k \log \sum_j \omega_j \int p_k q_j \le -E_p[\log q]
              \le \bar H - \sum_k \pi_k \log \sum_j \omega_j e^{-KL(p_k \| q_j)}

    KL(p || q) is also at least 0, and at most the variational bound

    .. math:: \min_{\phi, \psi} \sum_{kj} \phi_{kj}
              \left(\log \frac{\phi_{kj}}{\psi_{kj}} + KL(p_k \| q_j)\right),
              \quad \sum_j \phi_{kj} = \pi_k, \quad \sum_k \psi_{kj} = \omega_j

    Args:
      p, q: mixtures in one space. KL(p || q) averages over p.

    Returns:
      (lower, upper), scalars in nats with 0 <= lower <= KL(p || q) <= upper, up to rounding. This
      is about 5e-7 (1e-15 in float64) of the largest of 1, the bounds and the entropies, if
      covariances are well-conditioned. The gradient is that of the tightest bound; second
      derivatives are wrong.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite, or the dimensions differ.

    Example:
      >>> p = GMM.from_moments([0.35, 0.65], [[-5.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> print([f"{bound:.3f}" for bound in kl_bounds(p, q)])  # the truth is 6.026
      ['3.715', '6.355']

    References:
      Durrieu, Thiran and Kelly, Lower and upper bounds for approximation, ICASSP (2012).
      Hershey and Olsen (2007), section 8, as in `kl_variational`.
    """
    p, q = centred(p, q)
    lower_entropy, upper_entropy = _entropy_bounds(p, *_between_components(p, p))
    kl, _, log_overlap = _between_components(p, q)
    lower_cross = -mean_log_mixture(p, q, log_overlap)
    upper_cross = _mean_entropy(p) - mean_log_mixture(p, q, -kl)
    variational = _variational_bound(p.log_weights, q.log_weights, kl)
    upper = jnp.minimum(upper_cross - lower_entropy, variational)
    return _ordered(jnp.maximum(lower_cross - upper_entropy, 0), upper)


@validated_jit()
def entropy_bounds(p: Mixture) -> tuple[Array, Array]:
    r"""Lower and upper bounds of the differential entropy of a mixture.

    With :math:`\bar H = \sum_k \pi_k H(p_k)` and the Bhattacharyya distance B,

    .. math:: \max\left(\bar H - \sum_k \pi_k \log \sum_l \pi_l e^{-B(p_k, p_l)},
              -\sum_k \pi_k \log \sum_l \pi_l \int p_k p_l\right) \le H(p)

    .. math:: H(p) \le \min\left(\bar H - \sum_k \pi_k \log \sum_l \pi_l e^{-KL(p_k \| p_l)},
              H(N(\bar\mu, \bar\Sigma))\right)

    where the Gaussian N has the mean and the covariance of p.

    Args:
      p: the mixture.

    Returns:
      (lower, upper), scalars in nats with lower <= H(p) <= upper, up to rounding as in `kl_bounds`.
      They are equal for one Gaussian. The gradient is that of the tightest bound.

    Raises:
      TypeError: p is not a GMM.
      ValueError: a parameter is not finite.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-2.0], [2.0]], [1.0, 1.0], "spherical")
      >>> print([f"{bound:.3f}" for bound in entropy_bounds(p)])  # the truth is 2.052
      ['1.985', '2.112']

    References:
      Kolchinsky and Tracey, Estimating mixture entropy, Entropy 19 (2017), section 3.
      Huber et al., On entropy approximation, MFI (2008), for the bound by overlaps.
    """
    p, _ = centred(p, p)
    return _entropy_bounds(p, *_between_components(p, p))


@validated_jit(one_space, symmetric=True)
def js_bounds(p: Mixture, q: Mixture) -> tuple[Array, Array]:
    r"""Lower and upper bounds of the Jensen-Shannon divergence.

    .. math:: JS(p, q) = H(m) - \tfrac12 H(p) - \tfrac12 H(q), \quad m = \tfrac12 p + \tfrac12 q

    Both bounds follow from the `entropy_bounds` of m, p and q, and 0 <= JS <= log 2. The upper one
    also uses the variational bounds of KL(p || m) and KL(q || m), as in `kl_bounds`.

    Args:
      p, q: mixtures in one space.

    Returns:
      (lower, upper), scalars in nats with 0 <= lower <= JS(p, q) <= upper <= log 2, up to rounding
      and with the derivatives of `kl_bounds`.

    Raises:
      TypeError, ValueError: as in `kl_bounds`.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-2.0, 2.0))
      >>> print([f"{bound:.3f}" for bound in js_bounds(p, q)])  # the truth is 0.633
      ['0.566', '0.693']
    """
    m = midpoint(*centred(p, q))
    terms = _between_components(m, m)

    def bounds_of_part(log_weights: Array) -> tuple[Array, ...]:
        part = dataclasses.replace(m, logits=log_weights)
        variational = _variational_bound(log_weights, m.logits, terms[0])
        return *_entropy_bounds(part, *terms), variational

    low_m, high_m = _entropy_bounds(m, *terms)
    low, high, variational = jax.vmap(bounds_of_part)(jnp.stack(midpoint_log_weights(p, q)))
    upper = jnp.minimum(jnp.minimum(high_m - low.mean(), variational.mean()), math.log(2))
    return _ordered(jnp.clip(low_m - high.mean(), 0, math.log(2)), upper)


def _between_components(p: GMM, q: GMM) -> tuple[Array, Array, Array]:
    """KL, the Bhattacharyya distance, and the log-overlap of all pairs, (K_p, K_q) each."""
    return component_kl(p, q), *component_overlaps(p, q)


def _entropy_bounds(
    p: GMM, kl: Array, bhattacharyya: Array, log_overlap: Array
) -> tuple[Array, Array]:
    mean = _mean_entropy(p)
    from_bhattacharyya = mean - mean_log_mixture(p, p, -bhattacharyya)
    from_overlaps = -mean_log_mixture(p, p, log_overlap)
    from_kl = mean - mean_log_mixture(p, p, -kl)
    of_gaussian = component_entropy(moment_matched(p))[0]
    return _ordered(
        jnp.maximum(from_bhattacharyya, from_overlaps), jnp.minimum(from_kl, of_gaussian)
    )


def _mean_entropy(p: GMM) -> Array:
    return (p.weights * component_entropy(p)).sum()


def _variational_bound(log_pi: Array, log_omega: Array, kl: Array) -> Array:
    r"""The variational upper bound of KL(p || q), from the log-weights and KL(p_k || q_j).

    It is minimised over phi(j | k) = phi / pi and psi(k | j) = psi / omega, which meet the
    constraints for any weights. The gradient holds both constant, which is right at the minimum.
    """
    # Finite logarithms make 0 log 0 equal to 0.
    log_pi = jnp.maximum(log_pi, -1e30)
    log_omega = jnp.maximum(log_omega, -1e30)
    constant = jax.lax.stop_gradient((log_pi, log_omega, jnp.minimum(kl, 1e30)))
    log_phi, log_psi = _alternate(*constant)
    phi = jnp.exp(log_pi[:, None] + log_phi)
    log_ratio = log_pi[:, None] + log_phi - log_omega[None] - log_psi
    return (phi * jnp.where(phi > 0, log_ratio + kl, 0)).sum()


def _alternate(log_pi: Array, log_omega: Array, kl: Array) -> tuple[Array, Array]:
    """The best log phi(j | k) and log psi(k | j), updated in turn until the bound stops falling."""

    def log_psi_for(log_phi: Array) -> Array:
        return jax.nn.log_softmax(log_pi[:, None] + log_phi, axis=0)

    def step(state: State) -> State:
        log_phi, bound, _, num_steps = state
        joint = log_omega[None] + log_psi_for(log_phi) - kl
        new_bound = vdot(jnp.exp(log_pi), log_pi - jax.nn.logsumexp(joint, axis=1))
        return jax.nn.log_softmax(joint, axis=1), new_bound, bound, num_steps + 1

    def falls(state: State) -> Array:
        _, bound, previous, num_steps = state
        rounding = jnp.finfo(kl.dtype).eps * jnp.maximum(bound, 1)
        return (previous - bound > rounding) & (num_steps < MAX_ALTERNATIONS)

    independent = jnp.broadcast_to(log_omega[None], kl.shape)
    infinity = varying_with((log_pi, log_omega, kl), jnp.full((), jnp.inf, kl.dtype))
    first = step((independent, infinity, infinity, jnp.int32(0)))
    log_phi = jax.lax.while_loop(falls, step, first)[0]
    return log_phi, log_psi_for(log_phi)


def _ordered(lower: Array, upper: Array) -> tuple[Array, Array]:
    """The bounds in order, as rounding may put the upper one below the lower one."""
    return lower, jnp.maximum(lower, upper)
