"""Independent replicates of a divergence, their mean and its standard error, to a tolerance if one is asked for."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._door import check_arguments, check_mixture
from jaxgmm._mixture.gmm import GMM
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import DEFAULT_RULE, Sobol
from jaxgmm._validation.checks import check_static, checked_int, checked_number

Divergence = Callable[..., Any]

FIRST_RULE = Sobol(2**12, variance_reduction=False)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("value", "standard_error"),
    meta_fields=("num_replicates", "num_points", "converged"),
)
@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate and its standard error.

    Attributes:
      value: the mean over the replicates, of the shape (or pytree) that the divergence returns.
      standard_error: of that mean, of the same shape.
      num_replicates: how many independent replicates were averaged.
      num_points: the points asked for in all, num_replicates times the n of the rule; None if the rule has no n.
      converged: whether the tolerance was reached; None if none was asked for.
    """

    value: Any
    standard_error: Any
    num_replicates: int
    num_points: int | None
    converged: bool | None

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """The two ends of the confidence interval at that level, from Student's t with num_replicates - 1 degrees of freedom.

        Raises:
          ValueError: level is not between 0 and 1.
        """
        from scipy.special import stdtrit  # deferred: not needed for the estimate itself

        if not 0 < checked_number("level", level) < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}; 0.95, say")
        quantile = float(stdtrit(self.num_replicates - 1, 0.5 + level / 2))
        ends = (lambda v, s: v - quantile * s), (lambda v, s: v + quantile * s)
        low, high = (jax.tree.map(end, self.value, self.standard_error) for end in ends)
        return low, high


def estimate(
    divergence: Divergence,
    key: Array,
    *mixtures: GMM,
    rule: Rule | None = None,
    num_replicates: int = 16,
    atol: float | None = None,
    rtol: float | None = None,
    max_points: int = 2**24,
    **options: Any,
) -> Estimate:
    r"""A divergence with its standard error, from independent replicates.

    .. math:: \bar v = \frac1R \sum_r v(\mathrm{key}_r), \quad
              \mathrm{se}^2 = \frac{1}{R (R - 1)} \sum_r (v(\mathrm{key}_r) - \bar v)^2

    With a tolerance, the number of points is doubled, several times at once while far from it, until the standard error is at
    most ``max(atol, rtol * |value|)``. Each doubling compiles anew, and so the first rule, if none is given, is a small one
    without variance reduction. Without a tolerance this may be jitted, mapped and differentiated.

    The standard error knows of what the points have met: an event of a probability below 5 / num_points may have gone unseen. Nor
    does it know of rounding, which in float32 is about 2e-7 of the size of the log-densities, and 1e-6 / r of the value or the
    gradient where a component's standard deviation is r times its distance from the others.

    Args:
      divergence: a function of (key, \*mixtures, rule), such as `kl_divergence`, or its `jax.grad`; for speed pass the same
        function object each time, not a new lambda.
      key: a random key.
      mixtures: what divergence takes, ``p, q`` or ``p``.
      rule: a rule that draws at random; its points are those of one replicate, with a tolerance of the first ones. None:
        ``Sobol(2**14)``, and with a tolerance from ``Sobol(2**12, variance_reduction=False)`` on.
      num_replicates: R, at least 2.
      atol: the standard error that is small enough, in nats.
      rtol: the same relative to the value.
      max_points: points in all at which to stop although the tolerance is not reached.
      options: what else divergence takes by name, such as its ``mesh`` or ``path_gradient``.

    Returns:
      An `Estimate`; its ``converged`` is False if max_points did not suffice.

    Raises:
      TypeError, ValueError: an argument is not usable; the rule draws nothing, so that replicates could not differ.
      FloatingPointError: a value is not finite.

    Example:
      >>> import jax, jaxgmm
      >>> p = GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> kl = estimate(jaxgmm.kl_divergence, jax.random.key(0), p, q, atol=1e-4)
      >>> print(f"{kl.value:.3f}", kl.converged)
      0.113 True

    References:
      Owen, Monte Carlo theory, methods and examples (2013), section 17.2, for replicated scrambled nets.
    """
    first, later = (FIRST_RULE, DEFAULT_RULE) if rule is None else (rule, rule)
    _check(divergence, key, mixtures, later, num_replicates, atol, rtol, max_points)
    replicated = functools.partial(_replicated, divergence, key, mixtures, num_replicates=num_replicates, options=options)
    if atol is None and rtol is None:
        return replicated(later)
    _check_may_be_doubled(key, mixtures, later)
    return _to_tolerance(replicated, first, later, num_replicates, atol or 0.0, rtol or 0.0, max_points)


def _check_may_be_doubled(key: Any, mixtures: tuple[Any, ...], rule: Any) -> None:
    why = "as atol and rtol double the n of the rule until the error is small"
    if not hasattr(rule, "n"):
        raise TypeError(f"rule must have an n, {why}; got {rule!r}")
    for name, value in (("key", key), *zip("pq", mixtures, strict=False)):
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            raise TypeError(f"{name} must be concrete, outside jax.jit, {why}; or leave these out")


def _to_tolerance(
    replicated: Callable[..., Estimate], rule: Any, later: Any, num_replicates: int, atol: float, rtol: float, max_points: int
) -> Estimate:
    while True:
        result = replicated(rule, own_draws=True)
        excess = _excess(result, atol, rtol)
        if excess <= 1:
            return dataclasses.replace(result, converged=True)
        doublings = math.ceil(min(math.log2(excess), 30.0))
        affordable = int(math.log2(max(1.0, max_points / (num_replicates * rule.n))))
        if affordable == 0:
            return dataclasses.replace(result, converged=False)
        rule = dataclasses.replace(later, n=rule.n * 2 ** min(doublings, affordable))


def _excess(result: Estimate, atol: float, rtol: float) -> float:
    """The largest ratio of a standard error to its tolerance."""
    value, error = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(t)]) for t in (result.value, result.standard_error)
    )
    tolerance = np.maximum(atol, rtol * np.abs(value))
    return float(np.max(np.where(error == 0, 0, error / np.maximum(tolerance, np.finfo(float).tiny))))


def _replicated(
    divergence: Divergence,
    key: Array,
    mixtures: tuple[GMM, ...],
    rule: Rule,
    *,
    num_replicates: int,
    options: dict[str, Any],
    own_draws: bool = False,
) -> Estimate:
    value, error = _mean_and_error(divergence, key, mixtures, rule, num_replicates, tuple(sorted(options.items())), own_draws)
    num_points = num_replicates * rule.n if hasattr(rule, "n") else None  # pyright: ignore[reportAttributeAccessIssue]
    return _checked_finite(Estimate(value, error, num_replicates, num_points, None))


@functools.partial(jax.jit, static_argnames=("divergence", "rule", "num_replicates", "options", "own_draws"))
def _mean_and_error(
    divergence: Divergence,
    key: Array,
    mixtures: tuple[GMM, ...],
    rule: Any,
    num_replicates: int,
    options: tuple[tuple[str, Any], ...],
    own_draws: bool,
) -> tuple[Any, Any]:
    if own_draws:  # for each size: a stopping rule that looks at the same draws twice would bias the error bar
        key = jax.random.fold_in(key, rule.n)
    keys = jax.random.split(key, num_replicates)
    values = jax.lax.map(lambda key: divergence(key, *mixtures, rule=rule, **dict(options)), keys)
    mean = jax.tree.map(lambda v: v.mean(0), values)
    error = jax.tree.map(lambda v: v.std(0, ddof=1) / math.sqrt(num_replicates), values)
    return mean, error


def _checked_finite(result: Estimate) -> Estimate:
    for leaf in jax.tree.leaves(result.value):
        if not isinstance(leaf, Tracer) and not np.isfinite(np.asarray(leaf)).all():
            raise FloatingPointError(f"the estimate is not finite: {result.value}")
    return result


def _check(
    divergence: Any,
    key: Any,
    mixtures: tuple[Any, ...],
    rule: Any,
    num_replicates: int,
    atol: Any,
    rtol: Any,
    max_points: int,
) -> None:
    check_static("divergence", divergence)
    if not callable(divergence):
        raise TypeError(f"divergence must be a function of (key, *mixtures, rule), got {divergence!r}; jaxgmm.kl_divergence, say")
    _check_takes_a_rule(divergence)
    if key is None:
        raise ValueError("key is None, but replicates must differ: pass jax.random.key(0), say, and a rule that draws at random")
    check_arguments({"key": key, "rule": rule})
    if not rule.is_random:
        raise ValueError(f"rule {rule} draws nothing, so replicates would not differ: call the divergence itself, with key=None")
    for name, mixture in zip("pq", mixtures, strict=False):
        check_mixture(name, mixture)
    if checked_int("num_replicates", num_replicates) < 2:
        raise ValueError(f"num_replicates must be at least 2 for a standard error, got {num_replicates}")
    checked_int("max_points", max_points, at_most=2**63)
    for name, tolerance in (("atol", atol), ("rtol", rtol)):
        if tolerance is None:
            continue
        if not 0 < checked_number(name, tolerance) < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {tolerance!r}; leave it out for a fixed number of points")


def _check_takes_a_rule(divergence: Callable[..., Any]) -> None:
    parameters = inspect.signature(divergence).parameters
    if "rule" not in parameters and all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters.values()):
        names = ", ".join(parameters)
        raise TypeError(
            f"divergence must be a function of (key, *mixtures, rule), got one of ({names}); what is exact, such as "
            "jaxgmm.l2_distance, has no error to estimate, and a function of your own passes rule on to those it calls"
        )
