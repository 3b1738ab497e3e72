"""Losses for `fit`, which are functions of (key, params) that hold a target or data."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import jax
import numpy as np
from jax import Array

from jaxgmm._divergence.elbo import elbo
from jaxgmm._divergence.entropies import cross_entropy, jeffreys_divergence, kl_divergence
from jaxgmm._divergence.midpoint import js_divergence
from jaxgmm._mixture.density import negative_log_likelihood
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import Data
from jaxgmm._mixture.validation import Mixture, checked_mixture
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import Sobol
from jaxgmm._validation.arguments import Flag, PositiveInt
from jaxgmm._validation.checks import check_key
from jaxgmm._validation.validated_jit import Check, validated

_TARGET = Check(lambda name, p: p if callable(p) else checked_mixture(name, p))
Target = Annotated[GMM | Callable[[Array], Array], _TARGET]

FITTING_RULE = Sobol(2**12)
"""The default points of each step of a fit: scrambled Sobol' points, drawn anew at each step."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Objective:
    """A function of (key, params), and a pytree of what it holds, for which `fit` compiles once."""

    function: Callable[..., Array] = dataclasses.field(metadata={"static": True})
    held: Any
    options: tuple[Any, ...] = dataclasses.field(metadata={"static": True})

    def __call__(self, key: Array, params: Any) -> Array:
        return self.function(key, self.held, params, *self.options)


@validated()
def forward_kl_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto KL(p \| q)`, which makes q cover all of the mass of p.

    Args:
      p: the target.
      rule: the points under p at each step.

    Returns:
      A function of (key, q), in nats (the unit of natural logarithms), for `fit`.

    Raises:
      TypeError: p is not a GMM, or rule is not a rule.
      ValueError: p is not finite, or its shapes disagree.

    Example:
      >>> p, q = (GMM.from_moments([1], [[m]], [1], "spherical") for m in (0.0, 1.0))
      >>> print(f"{forward_kl_loss(p)(jax.random.key(0), q):.3f}")
      0.500
    """
    return Objective(kl_divergence, p, (rule,))


@validated()
def cross_entropy_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto H(p, q) = H(p) + KL(p \| q)`, which never evaluates p.

    It has the gradient of `forward_kl_loss`, and costs less, above all where p has many components.

    Args:
      p, rule: as in `forward_kl_loss`.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: as in `forward_kl_loss`.

    Example:
      >>> p, q = (GMM.from_moments([1], [[m]], [1], "spherical") for m in (0.0, 1.0))
      >>> print(f"{cross_entropy_loss(p)(jax.random.key(0), q):.3f}")
      1.919
    """
    return Objective(cross_entropy, p, (rule,))


@validated()
def reverse_kl_loss(
    p: Target, rule: RuleArg = FITTING_RULE, *, path_gradient: Flag = True
) -> Objective:
    r"""The loss :math:`q \mapsto KL(q \| p)`, which makes q keep to modes of p.

    Args:
      p: the target, a mixture or a function log f from points (n, D) to (n,). With Z the integral
        of f, the loss is KL(q || f / Z) - log Z, minus the `elbo`. Fits of the same function object
        compile once.
      rule: the points under q at each step.
      path_gradient: whether to take the gradient through the points alone, which leaves it unbiased
        and makes it 0 at q = p; see `kl_divergence`. It is not the gradient of the value, which
        line searches such as ``optax.lbfgs()`` need; pass False for these.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: as in `forward_kl_loss`, or path_gradient is not a bool.

    Example:
      >>> p, q = (GMM.from_moments([1], [[m]], [1], "spherical") for m in (0.0, 1.0))
      >>> print(f"{reverse_kl_loss(p)(jax.random.key(0), q):.3f}")
      0.500
      >>> loss = reverse_kl_loss(lambda x: -0.5 * x[:, 0] ** 2)  # p times sqrt(2 pi)
      >>> print(f"{loss(jax.random.key(0), q):.3f}")
      -0.419

    References:
      Roeder, Wu and Duvenaud, Sticking the landing, NeurIPS (2017), for the path gradient.
    """
    if isinstance(p, GMM):
        return Objective(_reverse_kl, p, (rule, path_gradient))
    return Objective(_negative_elbo, jax.tree_util.Partial(p), (rule, path_gradient))


@validated()
def js_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto JS(p, q)`, which is symmetric and at most log 2.

    Its gradient vanishes where p and q hardly overlap, so a fit must start close enough to p.

    Args:
      p: the target.
      rule: the points under p, and as many under q, at each step.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: as in `forward_kl_loss`.

    Example:
      >>> p, q = (GMM.from_moments([1], [[m]], [1], "spherical") for m in (-1.0, 1.0))
      >>> print(f"{js_loss(p)(jax.random.key(0), q):.3f}")
      0.337
    """
    return Objective(js_divergence, p, (rule,))


@validated()
def jeffreys_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto KL(p \| q) + KL(q \| p)`.

    Args:
      p, rule: as in `js_loss`.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: as in `forward_kl_loss`.

    Example:
      >>> p, q = (GMM.from_moments([1], [[m]], [1], "spherical") for m in (0.0, 1.0))
      >>> print(f"{jeffreys_loss(p)(jax.random.key(0), q):.3f}")
      1.000
    """
    return Objective(jeffreys_divergence, p, (rule,))


@validated()
def likelihood_loss(x: Data, batch_size: PositiveInt | None = None) -> Objective:
    r"""The loss :math:`q \mapsto -\frac1n \sum_i \log q(x_i)` of data, or of random batches.

    It has no minimum, as a component may shrink onto a few points. `scale_floor` prevents that.

    Args:
      x: points (n, D).
      batch_size: the number of points, drawn with replacement, in each step; None takes all points.

    Returns:
      A function of (key, q), in nats per point, for `fit`.

    Raises:
      TypeError, ValueError: x is not a finite array (n, D), or batch_size not a positive integer.

    Example:
      >>> q = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{likelihood_loss([[-1.0], [1.0]])(jax.random.key(0), q):.3f}")
      1.419
    """
    return Objective(_likelihood, x, (batch_size,))


def _reverse_kl(key: Array, p: GMM, q: GMM, rule: Rule, path_gradient: bool) -> Array:
    return kl_divergence(key, q, p, rule, path_gradient=path_gradient)


def _negative_elbo(
    key: Array, target: Callable[[Array], Array], q: GMM, rule: Rule, path_gradient: bool
) -> Array:
    return -elbo(key, q, target, rule, path_gradient=path_gradient)


def _likelihood(key: Array, x: Array, q: GMM, batch_size: int | None) -> Array:
    if batch_size is not None:
        check_key("key", key, required=True)
        x = x[jax.random.randint(key, (batch_size,), 0, np.int32(len(x)))]
    return negative_log_likelihood(q, x)
