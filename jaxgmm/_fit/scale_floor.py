"""A lower bound on the scales of a mixture, as an optax transformation."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import check_positive, check_static


def scale_floor(min_scale: float) -> optax.GradientTransformation:
    r"""An optax transformation that keeps the diagonal of every Cholesky factor of every mixture at min_scale or above.

    .. math:: L_{k,ii} \ge \mathrm{min\_scale}

    So the likelihood of data is bounded, as no component can shrink onto a point. Chain it last.

    Args:
      min_scale: the least standard deviation of a coordinate given those before it, in the units of the data.

    Returns:
      An ``optax.GradientTransformation``, for mixtures and for any pytree that holds some.

    Raises:
      TypeError, ValueError: min_scale is not a positive number.

    Example:
      >>> import jax, jaxgmm, optax
      >>> start = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> optimizer = optax.chain(optax.adam(0.1), scale_floor(0.5))
      >>> result = jaxgmm.fit(jax.random.key(0), likelihood_loss([[0.0]]), start, optimizer, 100)
      >>> print(f"{result.params.scale_tril[0, 0, 0]:.2f}")  # it would be 0
      0.50
    """
    check_static("min_scale", min_scale)
    check_positive("min_scale", min_scale)
    lowest = math.log(min_scale)

    def stop_at_floor(update: Any, params: Any) -> Any:
        if not isinstance(params, GMM):
            return update
        return dataclasses.replace(
            update, log_diag=jnp.maximum(update.log_diag, lowest - params.log_diag)
        )

    def stopped(updates: Any, params: Any) -> Any:
        return jax.tree.map(
            stop_at_floor, updates, params, is_leaf=lambda node: isinstance(node, GMM)
        )

    return optax.stateless(stopped)
