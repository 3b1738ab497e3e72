"""The chi-squared divergence."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxgmm._divergence.finiteness import of_order
from jaxgmm._divergence.renyi_forms import log_integral
from jaxgmm._expectation.finiteness import Finiteness
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Key
from jaxgmm._validation.validated_jit import validated_jit


def _finiteness(p: GMM, q: GMM, options: Mapping[str, Any]) -> Finiteness:
    return of_order(p, q, 2.0)


@validated_jit(one_space, finiteness=_finiteness, scaling=0)
def chi_squared_divergence(
    key: Key, p: Mixture, q: Mixture, rule: RuleArg = DEFAULT_RULE, *, mesh: Devices = None
) -> Array:
    r"""An estimate of the (Pearson) chi-squared divergence of q from p.

    .. math:: \chi^2(p \| q) = E_q\left[\left(\frac{p(x)}{q(x)} - 1\right)^2\right]
              = \int \frac{p(x)^2}{q(x)} dx - 1 = e^{D_2(p \| q)} - 1

    It is estimated without bias, by the integral in `renyi_divergence` of order 2, and is exactly 0
    at p = q. It is infinite where some tail of p has more than twice the variance of all tails of
    q. There, and above the largest number of the dtype, it is inf and its gradient 0.

    Args:
      key, rule, mesh: as for `renyi_divergence`.
      p, q: mixtures in one space.

    Returns:
      A scalar. `estimate` adds its standard error.

    Raises:
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p, q = (jaxgmm.GMM.from_moments([1], [[m]], [1], "spherical") for m in (0.0, 1.0))
      >>> print(f"{chi_squared_divergence(jax.random.key(0), p, q):.3f}")
      1.718

    References:
      Gibbs and Su, On choosing and bounding probability metrics, Int. Stat. Rev. 70 (2002).
    """
    log_value = log_integral(key, p, q, 2.0, rule, mesh)
    largest = math.log(float(jnp.finfo(log_value.dtype).max))
    fits = log_value < largest
    return jnp.where(fits, jnp.expm1(jnp.where(fits, log_value, 0)), jnp.inf)
