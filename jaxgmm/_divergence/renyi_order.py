"""The order of a Renyi divergence, whose number is data, so that few programs serve all orders."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import check_positive


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Order:
    """The power a of p, and b = 1 - a of q apart, which has more digits near a = 1.

    The form is static: "small" below 1/2, "below" from there to 1, "one", "above", or "traced".
    """

    a: Any
    b: Any
    form: str = dataclasses.field(metadata={"static": True})

    def like(self, gmm: GMM) -> "Order":
        """The order in the dtype of a mixture."""
        return jax.tree.map(lambda power: jnp.asarray(power, gmm.loc.dtype), self)

    @property
    def less_one(self) -> Any:
        """a - 1 as a divisor: 1 in place of 0, where a limit is to stand."""
        return jnp.where(self.b == 0, 1, -self.b)


def order_of(name: str, alpha: Any) -> Order:
    """The order of a positive number; an error if it is none."""
    if isinstance(check_positive(name, alpha), Tracer):
        return Order(alpha, 1 - alpha, "traced")
    a = float(alpha)
    form = "small" if a < 0.5 else "below" if a < 1 else "one" if a == 1 else "above"
    return Order(a, 1 - a, form)
