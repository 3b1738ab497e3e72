"""The information that a point holds about the component that it is drawn from."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.validation import Mixture
from jaxgmm._numerics.autodiff import not_negative
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(scaling=0)
def component_information(
    key: Key, p: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the mutual information of a point and the component that it is drawn from.

    .. math:: I(k; x) = E_p\left[\sum_k r_k(x) \log \frac{r_k(x)}{\pi_k}\right] = H(\pi) - H(k | x)

    Here r_k(x) is the posterior probability of component k. The information is the weighted
    Jensen-Shannon divergence of all components. It is 0 where they coincide, and the entropy of the
    weights, at most log K, where they are far apart.

    Args:
      key, rule, mesh: as in `expectation`.
      p: the mixture.

    Returns:
      A scalar, in nats, never negative. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p = jaxgmm.GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> print(f"{component_information(jax.random.key(0), p):.3f}")
      0.337

    References:
      Cover and Thomas, Elements of Information Theory, 2nd ed. (2006), section 2.3.
      Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991).
    """
    p, _ = centred(p, p)
    log_components = component_log_densities(p)
    log_weights = p.log_weights

    def information(x: Array) -> Array:
        components = log_components(x)
        log_density = jax.nn.logsumexp(log_weights[:, None] + components, axis=0)
        gain = components - log_density[None]  # log r_k - log pi_k, finite where pi_k = 0 too
        finite = jnp.where(gain == -jnp.inf, jnp.zeros_like(gain), gain)
        return (jnp.exp(log_weights[:, None] + gain) * finite).sum(0)

    return not_negative(expectation_of_columns(key, p, information, rule, mesh))


@validated_jit(scaling=0)
def classification_entropy(
    key: Key, p: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the entropy of the component that a point is drawn from, given the point.

    .. math:: H(k | x) = -E_p\left[\sum_k r_k(x) \log r_k(x)\right]

    Here r_k(x) is the posterior probability of component k. The entropy measures how far components
    overlap as clusters. It is 0 where every point identifies its component, and at most log K.

    Args:
      key, rule, mesh: as in `expectation`.
      p: the mixture.

    Returns:
      A scalar, in nats. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p = jaxgmm.GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> print(f"{classification_entropy(jax.random.key(0), p):.3f}")
      0.356

    References:
      Celeux and Soromenho, An entropy criterion, J. Classification 13 (1996).
    """
    p, _ = centred(p, p)
    log_components = component_log_densities(p)
    log_weights = p.log_weights

    def entropy(x: Array) -> Array:
        log_r = jax.nn.log_softmax(log_weights[:, None] + log_components(x), axis=0)
        finite = jnp.where(log_r == -jnp.inf, jnp.zeros_like(log_r), log_r)
        return -(jnp.exp(log_r) * finite).sum(0)

    return expectation_of_columns(key, p, entropy, rule, mesh)
