"""The standard error of a divergence, from independent replicates."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE, Sobol
from jaxgmm._validation.checks import check_key, checked_int, checked_number, checked_positive
from jaxgmm._validation.validated_jit import Check, validated

FIRST_RULE = Sobol(2**12, variance_reduction=False)
"""The first rule with a tolerance. Its program is small and often accurate enough."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("value", "standard_error"),
    meta_fields=("num_replicates", "num_points", "converged"),
)
@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate and its standard error.

    Attributes:
      value: the mean over the replicates, an array or pytree as the divergence returns it.
      standard_error: the standard error of the value, an array or pytree of the same shapes.
      num_replicates: the number of independent replicates.
      num_points: num_replicates times the num_points of the rule; None if the rule has none.
      converged: whether the tolerance was reached; None if there was none.
    """

    value: Any
    standard_error: Any
    num_replicates: int
    num_points: int | None
    converged: bool | None

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """The lower and upper end of the confidence interval.

        Args:
          level: the probability that it covers the truth, by Student's t distribution with
            num_replicates - 1 degrees of freedom.

        Raises:
          TypeError: level is not a number.
          ValueError: level is not between 0 and 1.
        """
        from scipy.special import stdtrit  # deferred: an estimate itself does not need it

        if not 0 < checked_number("level", level) < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}; 0.95, say")
        quantile = float(stdtrit(self.num_replicates - 1, 0.5 + level / 2))
        low = jax.tree.map(lambda v, s: v - quantile * s, self.value, self.standard_error)
        high = jax.tree.map(lambda v, s: v + quantile * s, self.value, self.standard_error)
        return low, high


def _divergence(name: str, divergence: Any) -> Any:
    takes = f"{name} must be a function of (key, *mixtures, rule), got"
    if not callable(divergence):
        raise TypeError(f"{takes} {divergence!r}; jaxgmm.kl_divergence, say")
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


def _tolerance(name: str, value: Any) -> float:
    return checked_positive(name, value, "; leave it out for a fixed number of points")


def _max_points(name: str, value: Any) -> int:
    return checked_int(name, value, at_most=2**63)


Divergence = Annotated[Callable[..., Any], Check(_divergence, static=True)]
Tolerance = Annotated[float, Check(_tolerance)]


@validated()
def estimate(
    divergence: Divergence,
    key: Annotated[Array, Check(_key)],
    *mixtures: Annotated[GMM, Check(_mixtures)],
    rule: RuleArg | None = None,
    num_replicates: Annotated[int, Check(_num_replicates)] = 16,
    atol: Tolerance | None = None,
    rtol: Tolerance | None = None,
    max_points: Annotated[int, Check(_max_points)] = 2**24,
    **options: Any,
) -> Estimate:
    r"""A divergence with its standard error, from independent replicates.

    .. math:: \bar v = \frac1R \sum_r v(\mathrm{key}_r), \quad
              \mathrm{se}^2 = \frac{1}{R (R - 1)} \sum_r (v(\mathrm{key}_r) - \bar v)^2

    With a tolerance, the number of points grows by powers of two until the standard error is at
    most ``max(atol, rtol * |value|)``. Each size compiles anew, so the first rule is by default a
    small one without variance reduction. Without a tolerance this function may be jitted, mapped
    and differentiated.

    The standard error covers the error of sampling. It cannot see events rarer than 5 / num_points.
    It does not cover rounding, which in float32 is about 2e-7 times the size of the log-densities.
    If the standard deviation of a component is r times its distance from the others, rounding is
    also 1e-6 / r times the value or gradient.

    Args:
      divergence: a function of (key, \*mixtures, rule), such as `kl_divergence`, or its `jax.grad`.
        Pass the same function object each time, as a new lambda compiles anew.
      key: a random key.
      mixtures: the mixtures that the divergence takes, ``p, q`` or ``p``.
      rule: a random rule for the points of one replicate, with a tolerance of the first size. None
        is ``Sobol(2**14)``; with a tolerance it is first
        ``Sobol(2**12, variance_reduction=False)`` and then a `Sobol` of larger size.
      num_replicates: R, at least 2.
      atol: the standard error that is small enough, in nats.
      rtol: the standard error that is small enough, relative to the value.
      max_points: the total number of points that a tolerance may take.
      options: further arguments of the divergence, such as ``mesh`` or ``path_gradient``.

    Returns:
      An `Estimate`. Its ``converged`` is False if max_points did not suffice for the tolerance.

    Raises:
      TypeError: divergence is not a function that takes a rule.
      TypeError: key or a mixture is traced, and there is a tolerance.
      TypeError: rule is not a rule, or cannot grow to reach a tolerance.
      TypeError: p or q is not a GMM, or a number has the wrong type.
      ValueError: key is None, or the rule draws nothing, so replicates would not differ.
      ValueError: p or q is not finite, or a number is out of range.
      FloatingPointError: the value is not finite.

    Example:
      >>> import jax, jaxgmm
      >>> p = GMM.from_moments([0.35, 0.65], [[-1.0], [1.25]], [0.35, 0.8], "spherical")
      >>> q = GMM.from_moments([0.55, 0.45], [[-0.4], [2.0]], [0.6, 1.1], "spherical")
      >>> kl = estimate(jaxgmm.kl_divergence, jax.random.key(0), p, q, atol=1e-4)
      >>> print(f"{kl.value:.3f}", kl.converged)
      0.113 True

    References:
      Owen, Monte Carlo theory, methods and examples (2013), section 17.2.
    """
    later = DEFAULT_RULE if rule is None else rule
    _check_that_it_draws(later)
    replicated = functools.partial(
        _replicated, divergence, key, mixtures, num_replicates=num_replicates, options=options
    )
    if atol is None and rtol is None:
        return replicated(later)
    _check_concrete(key, mixtures)
    start = FIRST_RULE if rule is None else rule
    return _to_tolerance(replicated, start, later, atol or 0.0, rtol or 0.0, max_points)


def _check_that_it_draws(rule: Rule) -> None:
    if not rule.is_random:
        problem = f"rule {rule} draws nothing, so replicates would not differ"
        raise ValueError(f"{problem}: call the divergence itself, with key=None")


DOUBLES = "as atol and rtol double the points of the rule until the error is small"


def _check_concrete(key: Any, mixtures: tuple[Any, ...]) -> None:
    for name, value in (("key", key), *zip("pq", mixtures, strict=False)):
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            problem = f"{name} must be concrete, outside jax.jit, {DOUBLES}"
            raise TypeError(f"{problem}; or leave atol and rtol out")


def _to_tolerance(
    run: Callable[..., Estimate], rule: Rule, later: Rule, atol: float, rtol: float, limit: int
) -> Estimate:
    """The estimate with the first rule whose error is within the tolerance, or the last rule."""
    size = rule.num_points
    if size is None:
        raise TypeError(f"rule must have num_points and resized(n), {DOUBLES}; got {rule!r}")
    while True:
        result = run(rule, draws_of_size=size)
        excess = _excess(result, atol, rtol)
        if excess <= 1:
            return dataclasses.replace(result, converged=True)
        # This many suffice for an error that falls as 1 / n. A slower one takes another round.
        doublings = math.ceil(min(math.log2(excess), 30.0))
        affordable = int(math.log2(max(1.0, limit / (result.num_replicates * size))))
        if affordable == 0:
            return dataclasses.replace(result, converged=False)
        size *= 2 ** min(doublings, affordable)
        rule = later.resized(size)


def _excess(result: Estimate, atol: float, rtol: float) -> float:
    """The largest ratio of a standard error to its tolerance."""
    trees = result.value, result.standard_error
    value, error = (np.concatenate([*map(np.ravel, jax.tree.leaves(tree))]) for tree in trees)
    tolerance = np.maximum(np.maximum(atol, rtol * np.abs(value)), np.finfo(float).tiny)
    return float(np.max(np.where(error == 0, 0, error / tolerance)))


def _replicated(
    divergence: Divergence,
    key: Array,
    mixtures: tuple[GMM, ...],
    rule: Rule,
    *,
    num_replicates: int,
    options: dict[str, Any],
    draws_of_size: int | None = None,
) -> Estimate:
    hashable = tuple(sorted(options.items()))
    arguments = divergence, key, mixtures, rule, num_replicates, hashable, draws_of_size
    value, error = _mean_and_error(*arguments)
    num_points = None if rule.num_points is None else num_replicates * rule.num_points
    return _checked_finite(Estimate(value, error, num_replicates, num_points, None))


@functools.partial(
    jax.jit, static_argnames=("divergence", "rule", "num_replicates", "options", "draws_of_size")
)
def _mean_and_error(
    divergence: Divergence,
    key: Array,
    mixtures: tuple[GMM, ...],
    rule: Rule,
    num_replicates: int,
    options: tuple[tuple[str, Any], ...],
    draws_of_size: int | None,
) -> tuple[Any, Any]:
    if draws_of_size is not None:
        # A stopping rule that saw the same draws twice would bias the standard error.
        key = jax.random.fold_in(key, draws_of_size)
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
