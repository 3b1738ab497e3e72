"""The f-divergence of any convex function."""

import math
from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp
from jax import Array

from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.under_midpoint import log_ratio_of_columns
from jaxgmm._mixture.combine import centred
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key, function_of
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space, scaling=0)
def f_divergence(
    key: Key,
    p: Mixture,
    q: Mixture,
    f: Annotated[Callable[[Array], Array], function_of("the ratio of the densities")],
    rule: RuleArg = DEFAULT_RULE,
    *,
    log_ratio: Flag = False,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the f-divergence of q from p, for any convex f with f(1) = 0.

    .. math:: D_f(p \| q) = E_q\left[f\left(\frac{p(x)}{q(x)}\right)\right]

    For example, t log t gives KL(p || q), -log t gives KL(q || p), and (t - 1)^2 gives Pearson's
    chi-squared. A divergence that has a function of its own is better estimated by that.

    The points are drawn from q, so a region where p has mass and q has next to none is missed, and
    the standard error does not show it. The variance may also be infinite.

    Args:
      key, mesh: as in `expectation`.
      p, q: mixtures in one space. The points are drawn from q.
      f: an elementwise function in JAX. It is static: each new function object compiles anew.
      rule: the points.
      log_ratio: whether f takes :math:`\log p(x) - \log q(x)` instead of the ratio, as in
        ``lambda s: s * jnp.exp(s)`` for KL(p || q). The ratio is clipped to the range of floats;
        its logarithm is not.

    Returns:
      A scalar. `estimate` adds its standard error if ``f=...`` is passed by name.

    Raises:
      TypeError: f is not a function.
      TypeError, ValueError: as in `kl_divergence`.

    Example:
      >>> import jax, jaxgmm
      >>> p, q = (jaxgmm.GMM.from_moments([1], [[m]], [1], "spherical") for m in (-0.5, 0.5))
      >>> print(f"{f_divergence(jax.random.key(0), p, q, lambda t: -jnp.log(t)):.3f}")
      0.500

    References:
      Csiszar, Information-type measures of difference, Studia Sci. Math. Hungar. 2 (1967).
    """
    p, q = centred(p, q)
    log_ratio_at = log_ratio_of_columns(p, q)

    def ratio(s: Array) -> Array:
        info = jnp.finfo(s.dtype)
        return jnp.exp(jnp.clip(s, math.log(float(info.tiny)), math.log(float(info.max))))

    def integrand(x: Array) -> Array:
        s = log_ratio_at(x)
        return f(s if log_ratio else ratio(s))

    return expectation_of_columns(key, q, integrand, rule, mesh)
