"""The Renyi divergence."""

from jax import Array

from jaxgmm._divergence.entropies import kl_divergence
from jaxgmm._divergence.finiteness import of_renyi
from jaxgmm._divergence.renyi_forms import log_integral
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key, StaticPositiveNumber
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space, finiteness=of_renyi, scaling=0)
def renyi_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    alpha: StaticPositiveNumber,
    rule: RuleArg = DEFAULT_RULE,
    *,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Renyi divergence of order alpha of q from p.

    .. math:: D_\alpha(p \| q) = \frac{1}{\alpha - 1} \log \int p(x)^\alpha q(x)^{1 - \alpha} dx

    At alpha = 1 it is the Kullback-Leibler divergence, and at 1/2 twice the Bhattacharyya distance.
    It is exactly 0 at p = q. As the logarithm of an unbiased estimate it is consistent, but biased.

    The integral of :math:`p^\alpha q^{1 - \alpha}` is estimated without bias, in one of two forms.
    Where p and q are near, it is 1 plus the excess, an integral of one sign that is of second order
    in log p - log q. Elsewhere it is :math:`Z E_h[r]`, with a mixture h of Gaussians and a ratio r
    that is at most 1 for alpha < 1, and :math:`K^{\alpha - 1}` for alpha > 1 and K components of p.

    For alpha > 1 the divergence is infinite if some tail of p has more than
    :math:`\alpha / (\alpha - 1)` times the variance of all tails of q. It is then inf, and its
    gradient 0. In one dimension this is always decided. In more dimensions it is undecided for a
    narrow range of orders, where r is not bounded and the value may be far too low: `estimate`
    warns and does not converge. Take a lower order there.

    Args:
      key: a random key; None with a rule that draws nothing.
      p, q: mixtures in one space.
      alpha: the order, a positive number. It is static: each new value compiles anew.
      rule: the points, drawn from h. Near p = q they are drawn from p with as many from q if
        alpha < 1, and from a mixture of p, q and h otherwise.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error if ``alpha=...`` is passed by name.
      Under `jax.vmap` both forms are computed.

    Raises:
      TypeError, ValueError: as in `kl_divergence`, or alpha is not a positive and finite number.

    Example:
      >>> import jax, jaxgmm
      >>> p, q = (jaxgmm.GMM.from_moments([1], [[m]], [1], "spherical") for m in (-0.5, 0.5))
      >>> print(f"{renyi_divergence(jax.random.key(0), p, q, 0.5):.3f}")
      0.250

    References:
      Renyi, On measures of entropy and information, Proc. 4th Berkeley Symposium (1961).
      Van Erven and Harremoes, Renyi divergence, IEEE T. Inf. Theory 60 (2014), proposition 2.
      Gil, Alajaji and Linder, Renyi divergence measures, Inf. Sci. 249 (2013), for Gaussians.
    """
    if alpha == 1:
        return kl_divergence(key, p, q, rule, mesh=mesh)
    return log_integral(key, p, q, alpha, rule, mesh) / (alpha - 1)
