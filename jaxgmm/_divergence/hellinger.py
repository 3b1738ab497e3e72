"""The Hellinger distance."""

import jax.numpy as jnp
from jax import Array

from jaxgmm._divergence.renyi_forms import log_integral
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.autodiff import at_most
from jaxgmm._numerics.special import sqrt_or_zero
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space, symmetric=True, scaling=0)
def hellinger_distance(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the Hellinger distance, a metric between 0 and 1.

    .. math:: H(p, q)^2 = \tfrac12 \int (\sqrt{p(x)} - \sqrt{q(x)})^2 dx
              = 1 - \int \sqrt{p(x) q(x)} dx = 1 - e^{-D_{1/2}(p \| q) / 2}

    It is computed from the `renyi_divergence` D of order 1/2. Where p and q are so far apart that H
    rounds to 1, use D, which keeps all digits of 1 - H^2 = exp(-D / 2).

    The distance is exactly 0 at p = q, where it has no derivative and the gradient 0 is returned.
    Its square is smooth and estimated without bias, so use the square to fit. At p = q itself the
    second derivatives of the square are returned as 0, which is wrong.

    Args:
      key, rule, mesh: as for `renyi_divergence`.
      p, q: mixtures in one space.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p, q = (jaxgmm.GMM.from_moments([1], [[m]], [1], "spherical") for m in (-1.0, 1.0))
      >>> print(f"{hellinger_distance(jax.random.key(0), p, q):.3f}")
      0.627

    References:
      Gibbs and Su, On choosing and bounding probability metrics (2002), with H^2 doubled.
    """
    square = -jnp.expm1(log_integral(key, p, q, 0.5, rule, mesh))
    return sqrt_or_zero(at_most(1, square))
