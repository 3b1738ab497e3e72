"""The rounding error of an estimate, from the same mixtures in other units."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._mixture.gmm import GMM, centre_of

FACTORS = (1.37, 0.71)  # scale x to other units; not powers of two, so all roundings change

BackToUnit = Callable[[Any, Array, int], Any]  # (value in other units, factor, D) -> value


def back_to_unit(scaling: float | None, is_gradient: bool) -> BackToUnit | None:
    """How to bring a value, or its gradient in a mixture, back from other units; None if unknown.

    When x is multiplied by c, the value grows by scaling * D * log c, as the divergence declares.
    Derivatives in loc and off_diag are then divided by c, and those in logits and log_diag stay.
    """
    if scaling is None:
        return None
    return _gradient_back if is_gradient else functools.partial(_value_back, scaling)


def _gradient_back(gradient: GMM, factor: Array, _: int) -> GMM:
    off_diag = None if gradient.off_diag is None else factor * gradient.off_diag
    return dataclasses.replace(gradient, loc=factor * gradient.loc, off_diag=off_diag)


def _value_back(scaling: float, value: Any, factor: Array, num_dims: int) -> Any:
    shift = scaling * num_dims * jnp.log(factor)
    return jax.tree.map(lambda v: v - shift.astype(v.dtype), value)


def values_and_rounding(
    fn: Callable[..., Any], keys: Array, mixtures: tuple[GMM, ...], back: BackToUnit | None
) -> tuple[Any, Any]:
    """The values of fn(key, *mixtures) for all keys, and the rounding error of the first one.

    The rounding error is the range of the values in all units, plus a unit in the last place. It is
    None if ``back`` is None.
    """
    if back is None:
        return jax.lax.map(lambda key: fn(key, *mixtures), keys), None
    num_keys = keys.shape[0]
    origin = centre_of(mixtures[0])
    # The other units are two more turns of the loop over the replicates, which compiles only once.
    replicate = np.concatenate([np.arange(num_keys), np.zeros(len(FACTORS), int)])
    factors = jnp.asarray(np.concatenate([np.ones(num_keys), FACTORS]), origin.dtype)

    def value(key_and_factor: tuple[Array, Array]) -> Any:
        key, factor = key_and_factor
        scaled = [_times(factor, gmm, origin) for gmm in mixtures]
        return back(fn(key, *scaled), factor, len(origin))

    values = jax.lax.map(value, (keys[replicate], factors))
    units = jax.lax.stop_gradient(jax.tree.map(lambda v: v[replicate == 0], values))
    rounding = jax.tree.map(_spread, units)
    return jax.tree.map(lambda v: v[:num_keys], values), rounding


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
    return any(_traced(e, r) or largest(r) > 0.1 * largest(e) for e, r in pairs)


def warn_of_rounding(value: Any, error: Any, rounding: Any) -> None:
    """Warn of rounding above the standard error and a thousandth of the value, outside of jit."""
    for v, e, r in zip(*map(jax.tree.leaves, (value, error, rounding)), strict=False):
        if not _traced(v, e, r) and largest(r) > max(largest(e), 1e-3 * largest(v)):
            size = f"the rounding error in {r.dtype}, about {largest(r):.1g}"
            problem = f"{size}, is above the standard error of sampling, {largest(e):.1g}"
            is_widest = jnp.finfo(r.dtype).bits == 64
            mend = "" if is_widest else "; use float64 (jax.config.update('jax_enable_x64', True))"
            warnings.warn(problem + mend, RuntimeWarning, stacklevel=4)
            return


def _traced(*values: Any) -> bool:
    return any(isinstance(value, Tracer) for value in values)


def largest(values: Any) -> float:
    """The largest absolute value; 0 of an empty array."""
    return float(np.max(np.abs(values), initial=0))
