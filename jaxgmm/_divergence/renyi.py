"""The Renyi divergence."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._divergence.entropies import kl_divergence
from jaxgmm._divergence.midpoint import expectation_under_midpoint
from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.density import log_density_of_columns
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._quadrature.deterministic import SigmaPoints
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key, StaticPositiveNumber
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space)
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

    At alpha = 1 it is the Kullback-Leibler divergence, and at 1/2 twice the Bhattacharyya distance. It is exactly 0 at p = q. It
    is the logarithm of an unbiased estimate, so it is consistent, but not unbiased.

    Below 1 half of the points are drawn from each mixture. The integrand is then bounded, but where p and q are far apart no
    point lies between them, and the estimate is far off. Above 1 the integrand, :math:`(p / q)^{\alpha - 1}` under p, is not
    bounded: the divergence is infinite if the tails of p have more than :math:`\alpha / (\alpha - 1)` times the variance of
    those of q, and the variance of the estimate is infinite before that. It shows as an estimate that grows with the number of
    points, and a standard error that hardly falls.

    Args:
      key: a random key.
      p: a mixture.
      q: the other mixture, in the same space.
      alpha: the order, a static positive number.
      rule: the points, as many under p as under q if alpha is less than 1, else under p.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error: pass ``alpha=...`` by name.

    Raises:
      TypeError, ValueError: p or q is not a finite mixture, their dimensions differ, alpha is not a positive number, or the rule
        needs a key.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[-0.5]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[0.5]], [1.0], "spherical")
      >>> print(f"{renyi_divergence(jax.random.key(0), p, q, 0.5):.3f}")
      0.250

    References:
      Renyi, On measures of entropy and information, Proc. 4th Berkeley Symposium (1961). Van Erven and Harremoes, Renyi
      divergence and Kullback-Leibler divergence, IEEE Trans. Inf. Theory 60 (2014), whose Proposition 2 is used below 1/2.
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
    """For beta = 1 - alpha of at most 1/2, from the integral of p^alpha q^beta, the overlap, or from what it lacks of 1.

    What it lacks is that of alpha p + beta q - p^alpha q^beta, which is never negative and of the order of beta, so that no
    digits are lost near p = q, nor near alpha = 1.
    """

    def lack_and_overlap(log_ratio: Array) -> tuple[Array, Array]:
        # p / m = 2 sigmoid(t) and q / m = 2 sigmoid(-t), with m the midpoint and t the log-ratio.
        bounded = jnp.minimum(
            -beta * log_ratio, 80
        )  # beyond which the sigmoid is 0 in any precision
        lack = -2 * beta * jnp.tanh(0.5 * log_ratio) - 2 * jax.nn.sigmoid(log_ratio) * jnp.expm1(
            bounded
        )
        return lack, 2 * jnp.exp(
            -beta * jax.nn.softplus(log_ratio) - alpha * jax.nn.softplus(-log_ratio)
        )

    lack, overlap = expectation_under_midpoint(key, p, q, lack_and_overlap, rule, mesh)
    near, floor = (
        lack < 0.5,
        float(jnp.finfo(overlap.dtype).tiny) ** 0.5,
    )  # whose reciprocal, in the gradient, is far from overflow
    from_lack = jnp.log1p(-jnp.where(near, lack, jnp.zeros_like(lack)))
    log_overlap = jnp.where(near, from_lack, jnp.log(jnp.maximum(overlap, floor)))
    return -log_overlap / beta


def _renyi_above_one(
    key: Array | None, p: GMM, q: GMM, alpha: float, rule: Rule, mesh: Mesh | None
) -> Array:
    """The log-ratio enters less a constant near its mean, so that its exponential neither underflows nor overflows early."""
    p, q = centred(p, q)
    log_p, log_q = log_density_of_columns(p), log_density_of_columns(q)
    level = jax.lax.stop_gradient(
        expectation_of_columns(None, p, lambda x: log_p(x) - log_q(x), SigmaPoints(), None)
    )
    largest = 0.9 * math.log(float(jnp.finfo(level.dtype).max))
    start = jnp.where(jnp.isinf(level), jnp.zeros_like(level), level)

    def excess(x: Array) -> Array:
        return jnp.expm1(jnp.minimum((alpha - 1) * (log_p(x) - log_q(x) - start), largest))

    mean = expectation_of_columns(key, p, excess, rule, mesh)
    return level + jnp.log1p(jnp.maximum(mean, -1 + jnp.finfo(mean.dtype).eps)) / (alpha - 1)
