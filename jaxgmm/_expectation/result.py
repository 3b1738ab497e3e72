"""The result of an estimate: its rounding error, its finiteness and its tolerance."""

import dataclasses
import enum
import functools
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.gmm import GMM, centre_of
from jaxgmm._numerics.transforms import exportable
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import Sobol
from jaxgmm._validation.checks import checked_number, is_traced, quoted
from jaxgmm._validation.validated_jit import declared_by

FACTORS = (1.37, 0.71)  # scale x to other units; not powers of two, so all roundings change
FIRST_RULE = Sobol(2**12, variance_reduction=False)  # compiles fast, and often suffices
DOUBLES = "as atol and rtol double the points of the rule until the error is small"


@exportable
@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("value", "standard_error", "rounding"),
    meta_fields=("num_replicates", "num_points", "converged"),
)
@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate and the standard error of its integration, which knows nothing of data or fits.

    A scalar one prints as ``0.2694 +- 0.0001 (integration)``, and ``float`` is its value.

    Attributes:
      value: the mean over the replicates, an array or pytree as the divergence returns it.
      standard_error: the standard error of the value, an array or pytree of the same shapes.
      num_replicates: the number of independent replicates.
      num_points: num_replicates times the num_points of the rule; None if the rule has none.
      converged: whether the tolerance was reached; None if there was none.
      rounding: the rounding error of the value, of the same shapes, from its differences in other
        units of x; None if the divergence does not declare how its value scales.
    """

    value: Any
    standard_error: Any
    num_replicates: int
    num_points: int | None
    converged: bool | None
    rounding: Any = None

    def __str__(self) -> str:
        matters = rounding_matters(self.standard_error, self.rounding)
        if np.ndim(self.value) or not jax.tree_util.all_leaves([self.value]):
            names = [f.name for f in dataclasses.fields(self) if matters or f.name != "rounding"]
            return f"Estimate({', '.join(f'{name}={getattr(self, name)!s}' for name in names)})"
        value, error = float(self.value), float(self.standard_error)
        # The last digit of the value is the first digit of its standard error.
        digits = 6 if not 0 < error < math.inf else max(0, -math.floor(math.log10(error)))
        text = f"{value:.{digits}f} +- {error:.1g} (integration)"
        if matters:
            text += f", rounding {float(self.rounding):.1g}"
        return f"{text}, not converged" if self.converged is False else text

    def __float__(self) -> float:
        return float(self.value)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with lists and numbers of Python in place of arrays, for json."""
        return jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), vars(self))

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """The lower and upper ends of the confidence interval.

        Args:
          level: the probability that it covers the truth, by Student's t distribution with
            num_replicates - 1 degrees of freedom. The rounding is added to both sides.

        Raises:
          TypeError: level is not a number.
          ValueError: level is not between 0 and 1.
        """
        from scipy.special import stdtrit  # deferred: an estimate itself does not need it

        if not 0 < checked_number("level", level) < 1:
            raise ValueError(f"level must lie between 0 and 1, got {quoted(level)}; 0.95, say")
        quantile = float(stdtrit(self.num_replicates - 1, 0.5 + level / 2))
        half = jax.tree.map(lambda s: quantile * s, self.standard_error)
        if self.rounding is not None:
            half = jax.tree.map(operator.add, half, self.rounding)
        low = jax.tree.map(operator.sub, self.value, half)
        return low, jax.tree.map(operator.add, self.value, half)


def values_and_rounding(
    fn: Callable[..., Any],
    keys: Array,
    mixtures: tuple[GMM, ...],
    scaling: float | None,
    is_gradient: bool,
) -> tuple[Any, Any]:
    """The values of fn(key, *mixtures) for all keys, and the rounding error of the first one.

    This error is the range of the values in all units, plus a unit in the last place. When x is
    multiplied by c, a value grows by scaling * D * log c. Without a known scaling, it is None.
    """
    if scaling is None:
        return jax.lax.map(lambda key: fn(key, *mixtures), keys), None
    num_keys = keys.shape[0]
    origin = centre_of(mixtures[0])
    # The other units are two more turns of the loop over the replicates, which compiles only once.
    replicate = np.concatenate([np.arange(num_keys), np.zeros(len(FACTORS), int)])
    factors = jnp.asarray(np.concatenate([np.ones(num_keys), FACTORS]), origin.dtype)

    def value(key_and_factor: tuple[Array, Array]) -> Any:
        key, factor = key_and_factor
        found = fn(key, *(_times(factor, gmm, origin) for gmm in mixtures))
        if is_gradient:
            return _gradient_back(found, factor)
        shift = scaling * len(origin) * jnp.log(factor)
        return jax.tree.map(lambda v: v - shift.astype(v.dtype), found)

    values = jax.lax.map(value, (keys[replicate], factors))
    units = jax.lax.stop_gradient(jax.tree.map(lambda v: v[replicate == 0], values))
    rounding = jax.tree.map(_spread, units)
    return jax.tree.map(lambda v: v[:num_keys], values), rounding


def _gradient_back(gradient: GMM, factor: Array) -> GMM:
    """The gradient in x of one in factor * x. Derivatives in logits and log_diag stay."""
    off_diag = None if gradient.off_diag is None else factor * gradient.off_diag
    return gradient.replace(loc=factor * gradient.loc, off_diag=off_diag)


def _spread(values: Array) -> Array:
    """The range of the values plus a unit in the last place, which no difference may show."""
    unit = float(jnp.finfo(values.dtype).eps) * jnp.abs(values[0])
    return values.max(0) - values.min(0) + unit


def _times(factor: Array, gmm: GMM, origin: Array) -> GMM:
    """The mixture of factor (x - origin), or the mixture itself where the factor is 1."""
    # Far from the origin, loc would be rounded more than the offsets that the values depend on.
    loc = jnp.where(factor == 1, gmm.loc, factor * (gmm.loc - origin[None]))
    off_diag = None if gmm.off_diag is None else factor * gmm.off_diag
    return GMM(gmm.logits, loc, gmm.log_diag + jnp.log(factor), off_diag)


def rounding_matters(error: Any, rounding: Any) -> bool:
    """Whether rounding is above a tenth of the standard error in any of the leaves."""
    pairs = zip(*map(jax.tree.leaves, (error, rounding)), strict=False)
    return any(is_traced((e, r)) or largest(r) > 0.1 * largest(e) for e, r in pairs)


def warn_of_rounding(result: Estimate) -> None:
    """Warn of rounding above the standard error and a thousandth of the value, outside of jit."""
    trees = result.value, result.standard_error, result.rounding
    for v, e, r in zip(*map(jax.tree.leaves, trees), strict=False):
        if not is_traced((v, e, r)) and largest(r) > max(largest(e), 1e-3 * largest(v)):
            size = f"the rounding error in {r.dtype}, about {largest(r):.1g}"
            problem = f"{size}, is above the standard error of sampling, {largest(e):.1g}"
            is_widest = jnp.finfo(r.dtype).bits == 64
            mend = "" if is_widest else "; use float64 (jax.config.update('jax_enable_x64', True))"
            warnings.warn(problem + mend, RuntimeWarning, stacklevel=4)
            return


def largest(values: Any) -> float:
    """The largest absolute value; 0 of an empty array."""
    return float(np.max(np.abs(values), initial=0))


def check_concrete(key: Any, mixtures: tuple[Any, ...]) -> None:
    for name, value in (("key", key), *zip("pq", mixtures, strict=False)):
        if is_traced(value):
            problem = f"{name} must be concrete, outside jax.jit, {DOUBLES}"
            raise TypeError(f"{problem}; or leave atol and rtol out")


def to_tolerance(
    run: Callable[..., Any], rule: Rule | None, later: Rule, atol: float, rtol: float, most: int
) -> Estimate:
    """The estimate of the first rule whose error is within the tolerance, or else of the last."""
    rule = FIRST_RULE if rule is None else rule
    size = rule.num_points
    if size is None:
        raise TypeError(f"rule must have num_points and resized(n), {DOUBLES}; got {rule!r}")
    while True:
        result = run(rule, draws_of_size=size)
        if is_traced(result.standard_error):  # as under jax.jit all results are
            raise TypeError(f"atol and rtol are of use only outside jax.jit, {DOUBLES}")
        excess = _excess(result.standard_error, result.value, atol, rtol)
        if excess <= 1:
            # More points would not lower the rounding.
            is_covered = _excess(result.rounding, result.value, atol, rtol) <= 1
            return dataclasses.replace(result, converged=is_covered)
        # These doublings suffice for an error that falls as 1 / n. A slower one takes more rounds.
        doublings = math.ceil(min(math.log2(excess), 30.0))
        affordable = int(math.log2(max(1.0, most / (result.num_replicates * size))))
        if affordable == 0:
            return dataclasses.replace(result, converged=False)
        size *= 2 ** min(doublings, affordable)
        rule = later.resized(size)


def _excess(error: Any, value: Any, atol: float, rtol: float) -> float:
    """The largest ratio of an error to its tolerance; 0 without an error."""
    ratios = [0.0]
    leaves = (jax.tree.leaves(jax.tree.map(np.asarray, tree)) for tree in (error, value))
    for e, v in zip(*leaves, strict=False):
        tolerance = np.maximum(np.maximum(atol, rtol * np.abs(v)), np.finfo(float).tiny)
        ratios.append(largest(np.where(e == 0, 0, e / tolerance)))
    return max(ratios)


class Finiteness(enum.Enum):
    """Whether a value is finite; see `estimate`."""

    BOUNDED = "bounded"
    INFINITE = "infinite"
    UNKNOWN = "unknown"


def finiteness_of(
    divergence: Callable[..., Any], mixtures: tuple[GMM, ...], options: Mapping[str, Any]
) -> Finiteness:
    """Whether the divergence declares itself finite for these mixtures; it warns if unknown."""
    check = declared_by(divergence).finiteness
    traced = is_traced(mixtures)
    if check is None or traced:
        return Finiteness.BOUNDED
    verdict = check(*mixtures, {**getattr(divergence, "keywords", {}), **options})
    if verdict is Finiteness.UNKNOWN:
        problem = "this divergence may be infinite or far above its estimate"
        advice = "whatever the error says: take a lower order"
        warnings.warn(f"{problem}, {advice}", RuntimeWarning, stacklevel=4)
    return verdict
