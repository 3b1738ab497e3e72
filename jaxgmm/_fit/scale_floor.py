"""A lower bound on the scales of a mixture, as an optax transformation."""

import dataclasses
import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import check_positive
from jaxgmm._validation.validated_jit import Check, validated


@validated()
def scale_floor(
    min_scale: Annotated[float, Check(check_positive, static=True)],
) -> optax.GradientTransformation:
    r"""An optax transformation that keeps the scales of mixtures at min_scale or above.

    .. math:: L_{k,ii} \ge \mathrm{min\_scale}, \quad \Sigma_k = L_k L_k^T

    No component can then shrink onto a point, so the likelihood of data is bounded. Chain it last.

    Args:
      min_scale: the least standard deviation of a coordinate given those before it, in its units.

    Returns:
      An ``optax.GradientTransformation`` for mixtures and for any pytree that holds some.

    Raises:
      TypeError: min_scale is not a number, or is traced.
      ValueError: min_scale is not positive and finite.

    Example:
      >>> import jax, jaxgmm, optax
      >>> start = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> optimizer = optax.chain(optax.adam(0.1), scale_floor(0.5))
      >>> loss = jaxgmm.likelihood_loss([[0.0]])
      >>> q = jaxgmm.fit(jax.random.key(0), loss, start, optimizer, 100).params
      >>> print(f"{q.scale_tril[0, 0, 0]:.2f}")  # without a floor it would fall towards 0
      0.50
    """
    lowest = math.log(min_scale)

    def floored(update: Any, params: Any) -> Any:
        if not isinstance(params, GMM):
            return update
        log_diag = jnp.maximum(update.log_diag, lowest - params.log_diag)
        return dataclasses.replace(update, log_diag=log_diag)

    def all_floored(updates: Any, params: Any) -> Any:
        return jax.tree.map(floored, updates, params, is_leaf=lambda node: isinstance(node, GMM))

    return optax.stateless(all_floored)
