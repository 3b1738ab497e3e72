"""Losses for `fit`: functions of (key, params) that hold what they compare with as arrays."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from jaxgmm._divergence.entropies import cross_entropy, jeffreys_divergence, kl_divergence
from jaxgmm._divergence.midpoint import js_divergence
from jaxgmm._mixture.density import negative_log_likelihood
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import checked_data
from jaxgmm._mixture.validation import Mixture
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import Sobol
from jaxgmm._validation.arguments import Flag
from jaxgmm._validation.checks import checked_int
from jaxgmm._validation.validated_jit import validated

FITTING_RULE = Sobol(2**12)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("held",), meta_fields=("function", "options")
)
@dataclasses.dataclass(frozen=True)
class Objective:
    """A function of (key, held, params, *options) as one of (key, params); a pytree of what it holds.

    So `fit` compiles it once, whatever the target or the data of that shape.
    """

    function: Callable[..., Array]
    held: Any
    options: tuple[Any, ...]

    def __call__(self, key: Array, params: Any) -> Array:
        return self.function(key, self.held, params, *self.options)


@validated()
def forward_kl_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto KL(p \| q)`, whose minimum covers all of the mass of p.

    Args:
      p: the target.
      rule: the points of each step.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: p is not a finite mixture, or rule is not a rule.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{forward_kl_loss(p)(jax.random.key(0), q):.3f}")
      0.500
    """
    return Objective(kl_divergence, p, (rule,))


@validated()
def cross_entropy_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto H(p, q) = H(p) + KL(p \| q)`, with the gradient and the minimum of `forward_kl_loss`.

    It never evaluates the density of p, so it costs less, most of all where p has many components and q has few; and its value
    is the divergence but for a constant.

    Args:
      p: the target.
      rule: the points of each step.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: p is not a finite mixture, or rule is not a rule.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{cross_entropy_loss(p)(jax.random.key(0), q):.3f}")
      1.919
    """
    return Objective(cross_entropy, p, (rule,))


@validated()
def reverse_kl_loss(
    p: Mixture, rule: RuleArg = FITTING_RULE, *, path_gradient: Flag = True
) -> Objective:
    r"""The loss :math:`q \mapsto KL(q \| p)`, whose minimum keeps to the modes of p.

    Args:
      p: the target.
      rule: the points of each step.
      path_gradient: whether to use the path gradient, which vanishes at q = p; see `kl_divergence`. Line searches, such as that
        of ``optax.lbfgs()``, need False, as they compare the loss with its gradient.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: p is not a finite mixture, or rule is not a rule.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{reverse_kl_loss(p)(jax.random.key(0), q):.3f}")
      0.500

    References:
      Roeder, Wu and Duvenaud, Sticking the landing, NeurIPS (2017), for the path gradient.
    """
    return Objective(_reverse_kl, p, (rule, path_gradient))


@validated()
def js_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto JS(p, q)`, bounded and symmetric.

    Args:
      p: the target.
      rule: the points of each step, as many under p as under q.

    Returns:
      A function of (key, q), in nats, for `fit`. Its gradient vanishes where p and q hardly overlap: start close enough.

    Raises:
      TypeError, ValueError: p is not a finite mixture, or rule is not a rule.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{js_loss(p)(jax.random.key(0), q):.3f}")
      0.337
    """
    return Objective(js_divergence, p, (rule,))


@validated()
def jeffreys_loss(p: Mixture, rule: RuleArg = FITTING_RULE) -> Objective:
    r"""The loss :math:`q \mapsto KL(p \| q) + KL(q \| p)`.

    Args:
      p: the target.
      rule: the points of each step, as many under p as under q.

    Returns:
      A function of (key, q), in nats, for `fit`.

    Raises:
      TypeError, ValueError: p is not a finite mixture, or rule is not a rule.

    Example:
      >>> import jax
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> print(f"{jeffreys_loss(p)(jax.random.key(0), q):.3f}")
      1.000
    """
    return Objective(jeffreys_divergence, p, (rule,))


def likelihood_loss(x: ArrayLike, batch_size: int | None = None) -> Objective:
    r"""The loss :math:`q \mapsto -\frac1n \sum_i \log q(x_i)` of data, or of a random batch of them.

    Its infimum is minus infinity where a component may shrink onto a few points: chain the optimiser with `scale_floor`.

    Args:
      x: points (n, D).
      batch_size: how many points, drawn with replacement, each step looks at; None: all of them.

    Returns:
      A function of (key, q), in nats for a point, for `fit`.

    Raises:
      TypeError, ValueError: x is not an array (n, D) of finite numbers, or batch_size is not a positive integer.

    Example:
      >>> import jax
      >>> q = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> print(f"{likelihood_loss([[-1.0], [1.0]])(jax.random.key(0), q):.3f}")
      1.419
    """
    x = checked_data(x)
    if batch_size is not None:
        checked_int("batch_size", batch_size)
    return Objective(_likelihood, x, (batch_size,))


def _reverse_kl(key: Array, p: GMM, q: GMM, rule: Rule, path_gradient: bool) -> Array:
    return kl_divergence(key, q, p, rule, path_gradient=path_gradient)


def _likelihood(key: Array, x: Array, q: GMM, batch_size: int | None) -> Array:
    if batch_size is not None:
        x = x[jax.random.randint(key, (batch_size,), 0, np.int32(len(x)))]
    return negative_log_likelihood(q, x)
