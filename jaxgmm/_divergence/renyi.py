"""The Renyi, chi-squared and Hellinger divergences, from integrals of p^a q^(1-a)."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxgmm._divergence.entropies import kl_divergence
from jaxgmm._divergence.renyi_companions import companions
from jaxgmm._divergence.renyi_forms import above_one, by_integral, pilot_means
from jaxgmm._expectation.result import Finiteness
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.products import Order
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._numerics.special import at_most, sqrt_or_zero
from jaxgmm._numerics.transforms import cond
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key
from jaxgmm._validation.checks import check_positive
from jaxgmm._validation.validated_jit import Check, validated_jit

LEAST_LOG_MEAN = -8.0  # below it, what the points of h have not met may be most of the integral


def _order(name: str, alpha: Any) -> Order:
    """The order of a positive number; an error if it is none."""
    if isinstance(check_positive(name, alpha), Tracer):
        return Order(alpha, 1 - alpha, "traced")
    a = float(alpha)
    form = "small" if a < 0.5 else "below" if a < 1 else "one" if a == 1 else "above"
    return Order(a, 1 - a, form)


def of_order(p: GMM, q: GMM, order: float) -> Finiteness:
    """Whether the integral of p^a q^(1-a) is finite, by linear algebra on the components."""
    if order <= 1:
        return Finiteness.BOUNDED
    is_infinite, log_mean = _tails(p, q, _order("alpha", order))
    if is_infinite:
        return Finiteness.INFINITE
    is_sure = p.num_dims == 1 or log_mean > LEAST_LOG_MEAN
    return Finiteness.BOUNDED if is_sure else Finiteness.UNKNOWN


@jax.jit
def _tails(p: GMM, q: GMM, order: Order) -> tuple[Array, Array]:
    """Whether the integral is infinite, and log E_h[r] by a few points, -inf if r has no bound.

    Where the mean is low, p^a q^(1-a) lies in a tail of h.
    """
    (p, q), order = centred(p, q), order.like(p)
    orders, log_shares, is_infinite = companions(p, q, order)
    h = above_one(p, q, order, orders, log_shares)
    means = pilot_means(h.gmm, h.ratio)
    is_bounded = ((orders == order.a) | jnp.isneginf(p.logits)).all()
    alive = is_bounded & (h.gmm.logits > -jnp.inf)
    return is_infinite, jnp.log(vdot(h.gmm.weights, jnp.where(alive, means, 0)))


@validated_jit(one_space, finiteness=lambda p, q, o: of_order(p, q, o.get("alpha", 1)), scaling=0)
def renyi_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    alpha: Annotated[ArrayLike, Check(_order)],
    rule: RuleArg = DEFAULT_RULE,
    *,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the Renyi divergence of order alpha of q from p.

    .. math:: D_\alpha(p \| q) = \frac{1}{\alpha - 1} \log \int p(x)^\alpha q(x)^{1 - \alpha} dx

    At alpha = 1 it is the Kullback-Leibler divergence, and at 1/2 twice the Bhattacharyya distance.
    It is exactly 0 at p = q. As the logarithm of an unbiased estimate it is consistent, but biased.
    The integral is :math:`Z E_h[r]`, with a mixture h of Gaussians and a ratio r that is at most 1
    for alpha < 1, and :math:`K^{\alpha - 1}` for alpha > 1 and K components of p. Near p = q it is
    1 plus an integral of one sign, of second order in log p - log q.

    For alpha > 1 the divergence is inf, with gradient 0, if some tail of p has more than
    :math:`\alpha / (\alpha - 1)` times the variance of all tails of q. Beyond one dimension this is
    undecided for a narrow range of orders, where r is not bounded and the value may be far too low:
    `estimate` warns and does not converge. Take a lower order there.

    Args:
      key: a random key; None with a rule that draws nothing.
      p, q: mixtures in one space.
      alpha: the order, a positive number. All below 1/2 share one compiled program, and so do those
        from 1/2 to 1, and those above 1. A traced one compiles all three forms.
      rule, mesh: as in `expectation`. The points are drawn from h, and near p = q from p and q.

    Returns:
      A scalar, in nats. `estimate` adds its standard error if ``alpha=...`` is passed by name, and
      compiles anew for each order.

    Raises:
      TypeError, ValueError: as in `kl_divergence`, or alpha is not a positive and finite number.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-0.5, 0.5))
      >>> print(f"{renyi_divergence(jax.random.key(0), p, q, 0.5):.3f}")
      0.250

    References:
      Renyi, On measures of entropy and information, Proc. 4th Berkeley Symposium (1961).
      Van Erven and Harremoes, Renyi divergence, IEEE T. Inf. Theory 60 (2014), proposition 2.
      Gil, Alajaji and Linder, Renyi divergence measures, Inf. Sci. 249 (2013), for Gaussians.
    """
    order: Any = alpha  # as its check returns it
    if order.form == "one":
        return kl_divergence(key, p, q, rule, mesh=mesh)
    if order.form != "traced":
        return by_integral(key, p, q, order, rule, mesh)
    a, beside_one = order.a, float(jnp.finfo(p.loc.dtype).eps) ** (2 / 3)

    def of_form(form: str, within: Array, otherwise: float) -> Callable[[], Array]:
        number = jnp.where(within, a, otherwise)  # as `jax.vmap` computes the other forms, too
        b = 1 - number - jnp.where(number == 1, beside_one, 0)
        return lambda: by_integral(key, p, q, Order(number, b, form), rule, mesh)

    small, below = of_form("small", a < 0.5, 0.25), of_form("below", (a >= 0.5) & (a < 1), 0.75)
    return cond(a < 1, lambda: cond(a < 0.5, small, below), of_form("above", a >= 1, 2.0))


@validated_jit(one_space, finiteness=lambda p, q, o: of_order(p, q, 2.0), scaling=0)
def chi_squared_divergence(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the (Pearson) chi-squared divergence of q from p.

    .. math:: \chi^2(p \| q) = E_q\left[\left(\frac{p(x)}{q(x)} - 1\right)^2\right]
              = \int \frac{p(x)^2}{q(x)} dx - 1 = e^{D_2(p \| q)} - 1

    It is estimated without bias, and exactly 0 at p = q. It is infinite where some tail of p has
    more than twice the variance of all tails of q. There, and above the largest number of the
    dtype, it is inf and its gradient 0.

    Args:
      key, rule, mesh: as for `renyi_divergence`.
      p, q: mixtures in one space.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (0.0, 1.0))
      >>> print(f"{chi_squared_divergence(jax.random.key(0), p, q):.3f}")
      1.718

    References:
      Gibbs and Su, On choosing and bounding probability metrics, Int. Stat. Rev. 70 (2002).
    """
    log_value = by_integral(key, p, q, _order("alpha", 2.0), rule, mesh)
    largest = math.log(float(jnp.finfo(log_value.dtype).max))
    fits = log_value < largest
    return jnp.where(fits, jnp.expm1(jnp.where(fits, log_value, 0)), jnp.inf)


@validated_jit(one_space, symmetric=True, scaling=0)
def hellinger_distance(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the Hellinger distance, a metric between 0 and 1.

    .. math:: H(p, q)^2 = \tfrac12 \int (\sqrt{p(x)} - \sqrt{q(x)})^2 dx
              = 1 - \int \sqrt{p(x) q(x)} dx = 1 - e^{-D_{1/2}(p \| q) / 2}

    Where H rounds to 1, use the `renyi_divergence` D, which keeps all digits of 1 - H^2. At p = q
    the distance is exactly 0, has no derivative, and the gradient 0 is returned. Its square is
    smooth and estimated without bias, so use the square to fit; only its second derivatives at
    p = q itself, returned as 0, are wrong.

    Args:
      key, rule, mesh: as for `renyi_divergence`.
      p, q: mixtures in one space.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> p, q = (GMM.from_moments([1.0], [[mu]], [1.0], "spherical") for mu in (-1.0, 1.0))
      >>> print(f"{hellinger_distance(jax.random.key(0), p, q):.3f}")
      0.627

    References:
      Gibbs and Su, On choosing and bounding probability metrics (2002), with H^2 doubled.
    """
    half = by_integral(key, p, q, _order("alpha", 0.5), rule, mesh) / 2
    square = -jnp.expm1(-half)
    return sqrt_or_zero(at_most(1, square))
