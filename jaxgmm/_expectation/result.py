"""The result of an estimate: a value, its standard error and its rounding error."""

import dataclasses
import functools
import math
import operator
from typing import Any

import jax
import numpy as np

from jaxgmm._expectation.rounding import rounding_matters
from jaxgmm._numerics.transforms import exportable
from jaxgmm._validation.checks import checked_number, quoted


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
        if np.ndim(self.value) or not jax.tree_util.all_leaves([self.value]):
            return self._fields()
        value, error = float(self.value), float(self.standard_error)
        # The last digit of the value is the first digit of its standard error.
        digits = 6 if not 0 < error < math.inf else max(0, -math.floor(math.log10(error)))
        text = f"{value:.{digits}f} +- {error:.1g} (integration)"
        if rounding_matters(self.standard_error, self.rounding):
            text += f", rounding {float(self.rounding):.1g}"
        return f"{text}, not converged" if self.converged is False else text

    def __float__(self) -> float:
        return float(self.value)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with lists and numbers of Python in place of arrays, for json."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), fields)

    def _fields(self) -> str:
        names = [field.name for field in dataclasses.fields(self)]
        if not rounding_matters(self.standard_error, self.rounding):
            names.remove("rounding")
        return f"Estimate({', '.join(f'{name}={getattr(self, name)!s}' for name in names)})"

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
