"""The standard error of a divergence, from independent replicates."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._expectation.result import (
    Estimate,
    Finiteness,
    check_concrete,
    finiteness_of,
    to_tolerance,
    values_and_rounding,
    warn_of_rounding,
)
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._numerics.transforms import in_float32
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.checks import check_key, checked_int, checked_positive, quoted
from jaxgmm._validation.recompilation import warn_of_new_wrapper
from jaxgmm._validation.validated_jit import Check, declared_by, validated


def _divergence(name: str, divergence: Any) -> Any:
    takes = f"{name} must be a function of (key, *mixtures, rule), got"
    if not callable(divergence):
        raise TypeError(f"{takes} {quoted(divergence)}; jaxgmm.kl_divergence, say")
    parameters = inspect.signature(divergence).parameters
    takes_options = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    if "rule" not in parameters and not takes_options:
        raise TypeError(
            f"{takes} one of ({', '.join(parameters)}); an exact function, such as "
            "jaxgmm.l2_distance, has no error to estimate, and a function of your own must take "
            "rule and pass it on"
        )
    return divergence


def _key(name: str, key: Any) -> Any:
    if key is None:
        problem = f"{name} is None, but replicates must differ"
        raise ValueError(f"{problem}: pass jax.random.key(0), say, and a rule that draws at random")
    check_key(name, key)
    return key


def _mixtures(_: str, mixtures: tuple[Any, ...]) -> tuple[Any, ...]:
    checked = (checked_mixture(*pair) for pair in zip("pq", mixtures, strict=False))
    return (*checked, *mixtures[2:])


def _num_replicates(name: str, value: Any) -> int:
    number = checked_int(name, value)
    if number < 2:
        raise ValueError(f"{name} must be at least 2 for a standard error, got {number}")
    return number


_ONE_OBJECT = "pass gradient_of=2 for jax.grad(..., 2), options by name, or keep it in a variable"
FEWEST_TO_STOP_AT = 8  # replicates with a tolerance: the error of fewer is too often too small

Divergence = Annotated[Callable[..., Any], Check(_divergence, static=True)]
Tolerance = Annotated[
    float,
    Check(functools.partial(checked_positive, mend="; leave it out for a fixed number of points")),
]


@validated()
def estimate(
    divergence: Divergence,
    key: Annotated[Array, Check(_key)],
    *mixtures: Annotated[GMM, Check(_mixtures)],
    rule: RuleArg | None = None,
    gradient_of: Annotated[int, Check(checked_int)] | None = None,
    num_replicates: Annotated[int, Check(_num_replicates)] = 16,
    atol: Tolerance | None = None,
    rtol: Tolerance | None = None,
    max_points: Annotated[int, Check(functools.partial(checked_int, at_most=2**63))] = 2**24,
    **options: Any,
) -> Estimate:
    r"""A divergence with its standard error, from independent replicates.

    .. math:: \bar v = \frac1R \sum_r v(\mathrm{key}_r), \quad
              \mathrm{se}^2 = \frac{1}{R (R - 1)} \sum_r (v(\mathrm{key}_r) - \bar v)^2

    With a tolerance, the number of points grows by powers of two, each of which compiles anew,
    until the standard error is at most ``max(atol, rtol * |value|)``. Without a tolerance this
    function may be jitted, mapped and differentiated.

    The standard error is that of the integration: it knows nothing of data or of fits. It cannot
    see events rarer than 5 / num_points. Where such events carry the error, as in gradients of
    narrow components, a 95 % interval covers the truth 60 to 90 % of the time. Near the upper bound
    of a divergence, such as log 2 for `js_divergence`, the standard error is at least 5 /
    num_points of the bound, so that the interval reaches the bound.

    The rounding is the change of the first replicate when both mixtures are rescaled by 1.37 and
    0.71, which changes no divergence. It is known for functions that declare their scaling, as
    those of this package do; see `jaxgmm.extend.validated_jit`. It is mostly right to a factor of
    5. In float32 it is about 2e-7 times the size of the log-densities, and up to 1e-6 / r of a
    value or gradient, where r is the ratio of the smallest standard deviation of a component to its
    largest, or to its distance from the others.

    Args:
      divergence: a function of (key, \*mixtures, rule), such as `kl_divergence`. Each new function
        object compiles anew.
      key: a random key.
      mixtures: the mixtures that the divergence takes, ``p, q`` or ``p``.
      rule: a random rule for the points of one replicate, and with a tolerance for the first round.
        None is ``Sobol(2**14)``, or with a tolerance ``Sobol(2**12, variance_reduction=False)``,
        which compiles faster, and then larger `Sobol` rules.
      gradient_of: the argument to estimate the gradient in, 1 for p and 2 for q; None estimates the
        value. Passing the `jax.grad` of a divergence gives the same, except for the rounding.
      num_replicates: R, at least 2. With a tolerance it is raised to 8, as the standard error of
        fewer replicates is too often too small.
      atol, rtol: the tolerances of the standard error, in nats and relative to the value.
      max_points: the largest number of points, over all replicates, in a round with a tolerance.
      options: further arguments of the divergence, such as ``mesh`` or ``path_gradient``.

    Returns:
      An `Estimate`. Its ``converged`` is False if max_points did not suffice for the tolerance, or
      if the rounding is above it. Outside of `jax.jit` a warning tells of rounding that is above
      the standard error and a thousandth of the value. Where the divergence is known to be
      infinite, the value is inf with error 0, and no points are drawn. Where it is not known
      whether it is finite, ``converged`` is False and a warning says so.

    Raises:
      TypeError: divergence takes no rule, p or q is not a GMM, or an argument has the wrong type.
      TypeError: with a tolerance, key or a mixture is traced, or the rule cannot grow.
      ValueError: key is None, or the rule draws nothing, so replicates would not differ.
      ValueError: p or q is not finite, or a number or gradient_of is out of range.
      FloatingPointError: the value is not finite.

    Example:
      >>> import jaxgmm
      >>> p = GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> kl = estimate(jaxgmm.kl_divergence, jax.random.key(0), p, q, atol=1e-4)
      >>> print(f"{kl.value:.3f}", kl.converged)
      0.113 True

    References:
      Owen, Monte Carlo theory, methods and examples (2013), section 17.2.
    """
    later = DEFAULT_RULE if rule is None else rule
    if not later.is_random:
        problem = f"rule {later} draws nothing, so replicates would not differ"
        raise ValueError(f"{problem}: call the divergence itself, with key=None")
    if gradient_of is not None and gradient_of > len(mixtures):
        problem = f"gradient_of must be at most {len(mixtures)}, the last of the mixtures"
        raise ValueError(f"{problem}, got {gradient_of}; 1 is p and 2 is q")
    facts = rule, gradient_of, num_replicates
    warn_of_new_wrapper("divergence", divergence, _ONE_OBJECT, mixtures, *facts)
    verdict = finiteness_of(divergence, mixtures, options)
    if verdict is Finiteness.INFINITE and gradient_of is None:
        infinity = jnp.full_like(mixtures[0].loc, jnp.inf, shape=())
        return Estimate(infinity, jnp.zeros_like(infinity), num_replicates, 0, True)
    is_once = atol is None and rtol is None
    count = num_replicates if is_once else max(num_replicates, FEWEST_TO_STOP_AT)

    def run(rule: Rule, draws_of_size: int | None = None) -> Estimate:
        static = divergence, gradient_of, tuple(sorted(options.items()))
        return _finite(_replicated(*static, rule, count, draws_of_size, key, mixtures))

    if is_once:
        result = run(later)
    else:
        check_concrete(key, mixtures)
        result = to_tolerance(run, rule, later, atol or 0.0, rtol or 0.0, max_points)
    warn_of_rounding(result)
    is_known = verdict is not Finiteness.UNKNOWN
    return result if is_known else dataclasses.replace(result, converged=False)


def _finite(result: Estimate) -> Estimate:
    """The estimate, or an error if it is not finite."""
    for leaf in jax.tree.leaves(result.value):
        if not isinstance(leaf, Tracer) and not np.isfinite(np.asarray(leaf)).all():
            raise FloatingPointError(f"the estimate is not finite: {result.value}")
    return result


@functools.partial(jax.jit, static_argnums=range(6))
@in_float32
def _replicated(
    divergence: Divergence,
    gradient_of: int | None,
    options: tuple[tuple[str, Any], ...],
    rule: Rule,
    num_replicates: int,
    draws_of_size: int | None,
    key: Array,
    mixtures: tuple[GMM, ...],
) -> Estimate:
    def replicate(key: Array, *mixtures: GMM) -> Any:
        fn = divergence if gradient_of is None else jax.grad(divergence, gradient_of)
        return fn(key, *mixtures, rule=rule, **dict(options))

    if draws_of_size is not None:
        # A stopping rule that saw the same draws twice would bias the standard error.
        key = jax.random.fold_in(key, draws_of_size)
    keys = jax.random.split(key, num_replicates)
    declared = declared_by(divergence)
    of = declared.scaling, gradient_of is not None
    values, rounding = values_and_rounding(replicate, keys, mixtures, *of)
    mean = jax.tree.map(lambda v: v.mean(0), values)
    error = jax.tree.map(lambda v: v.std(0, ddof=1) / math.sqrt(num_replicates), values)
    num_points = None if rule.num_points is None else num_replicates * rule.num_points
    if declared.bound is not None and gradient_of is None and num_points is not None:
        bounds = jax.tree.unflatten(jax.tree.structure(mean), jax.tree.leaves(declared.bound))
        error = jax.tree.map(functools.partial(_with_unseen, num_points), error, mean, bounds)
    return Estimate(mean, error, num_replicates, num_points, None, rounding)


def _with_unseen(num_points: int, error: Array, mean: Array, bound: float) -> Array:
    """The standard error, which near the bound is at least that of five unseen points."""
    # Events rarer than 5 / num_points, which only some sets of points see, can hold the mean off
    # its bound by up to 10 * bound / num_points.
    if math.isinf(bound):
        return error
    unseen = 5 * bound / num_points
    return jnp.where(bound - mean <= 2 * unseen, jnp.maximum(error, unseen), error)
