"""The Renyi divergence."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._divergence.entropies import held, kl_divergence
from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.under_midpoint import expectation_under_midpoint, log_ratio_of_columns
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._quadrature.deterministic import SigmaPoints
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key, StaticPositiveNumber
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space, scaling=0)
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

    Below 1, half of the points are drawn from each mixture, and the integrand is bounded. Where p
    and q are far apart no point lies between them, and the estimate is far off.

    Above 1, the integrand, :math:`(p / q)^{\alpha - 1}` under p, is unbounded. The divergence is
    infinite if the tails of p have more than :math:`\alpha / (\alpha - 1)` times the variance of
    those of q. The variance of the estimate is infinite even before that: the estimate then grows
    with the number of points, and its standard error hardly falls.

    Args:
      key: a random key; None with a rule that draws nothing.
      p: a mixture.
      q: the other mixture, in the same space.
      alpha: the order, a static positive number.
      rule: the points, as many under p as under q if alpha is less than 1, else under p.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error if ``alpha=...`` is passed by name.

    Raises:
      ValueError: alpha is not positive and finite.
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[-0.5]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.5]], [1.0], "spherical")
      >>> print(f"{renyi_divergence(jax.random.key(0), p, q, 0.5):.3f}")
      0.250

    References:
      Renyi, On measures of entropy and information, Proc. 4th Berkeley Symposium (1961).
      Van Erven and Harremoes, Renyi divergence and Kullback-Leibler divergence, IEEE Trans. Inf.
      Theory 60 (2014), whose Proposition 2 is used below 1/2.
    """
    if alpha == 1:
        return kl_divergence(key, p, q, rule, mesh=mesh)
    if alpha > 1:
        return _renyi_above_one(key, p, q, alpha, rule, mesh)
    if alpha < 0.5:
        return alpha / (1 - alpha) * _renyi_below_one(key, q, p, 1 - alpha, alpha, rule, mesh)
    return _renyi_below_one(key, p, q, alpha, 1 - alpha, rule, mesh)


def _renyi_below_one(
    key: Array | None, p: GMM, q: GMM, alpha: float, beta: float, rule: Rule, mesh: Mesh | None
) -> Array:
    """The divergence for beta = 1 - alpha <= 1/2, from the overlap, the integral of p^alpha q^beta.

    Where the deficit, 1 - overlap, is below 1/2, the deficit is used. It is the integral of
    alpha p + beta q - p^alpha q^beta, which is never negative and of the order of beta, so that no
    digits are lost near p = q, nor near alpha = 1.
    """

    def deficit_and_overlap(t: Array) -> tuple[Array, Array]:
        # p / m = 2 sigmoid(t) and q / m = 2 sigmoid(-t), with m the midpoint and t the log-ratio.
        bounded = jnp.minimum(-beta * t, 80)  # beyond 80 the product is 0 to rounding
        slope = -2 * beta * jnp.tanh(0.5 * t)
        overlap = 2 * jnp.exp(-beta * jax.nn.softplus(t) - alpha * jax.nn.softplus(-t))
        return slope - 2 * jax.nn.sigmoid(t) * jnp.expm1(bounded), overlap

    deficit, overlap = expectation_under_midpoint(key, p, q, deficit_and_overlap, rule, mesh)
    near = deficit < 0.5
    # The gradient holds the reciprocal of the floor, which is far from overflow.
    floor = float(jnp.finfo(overlap.dtype).tiny) ** 0.5
    from_deficit = jnp.log1p(-jnp.where(near, deficit, jnp.zeros_like(deficit)))
    log_overlap = jnp.where(near, from_deficit, jnp.log(jnp.maximum(overlap, floor)))
    return -log_overlap / beta


def _renyi_above_one(
    key: Array | None, p: GMM, q: GMM, alpha: float, rule: Rule, mesh: Mesh | None
) -> Array:
    """The divergence for alpha > 1.

    A constant near its mean is subtracted from the log-ratio, so that the exponential neither
    underflows nor overflows early.
    """
    p, q = centred(p, q)
    log_ratio = log_ratio_of_columns(p, q)
    level = held(expectation_of_columns(None, p, log_ratio, SigmaPoints(), None))
    largest = 0.9 * math.log(float(jnp.finfo(level.dtype).max))
    start = jnp.where(jnp.isinf(level), jnp.zeros_like(level), level)

    def excess(x: Array) -> Array:
        return jnp.expm1(jnp.minimum((alpha - 1) * (log_ratio(x) - start), largest))

    mean = expectation_of_columns(key, p, excess, rule, mesh)
    return level + jnp.log1p(jnp.maximum(mean, -1 + jnp.finfo(mean.dtype).eps)) / (alpha - 1)
