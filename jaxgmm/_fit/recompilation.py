"""A warning where a fit compiles anew for an optimiser that an earlier one was equal to."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax import Array

from jaxgmm._fit.loop import FitResult
from jaxgmm._validation.recompilation import objects_known_for, program_for, warn_of_another


def warn_of_new_optimizer(
    loss: Callable[..., Any],
    key: Array | None,
    start: FitResult[Any],
    optimizer: optax.GradientTransformation,
    fixed_key: bool,
) -> None:
    """Warn of an optimizer that updates as another one has done in such a fit."""
    params, state = start.params, start.state.optimizer
    known = objects_known_for(program_for((loss, key, params, state), fixed_key))
    if optimizer in known:
        return

    def program(optimizer: optax.GradientTransformation) -> str:
        extra = {
            "value": start.state.best_mean,
            "grad": params,
            "value_fn": functools.partial(loss, key),
        }
        update = functools.partial(optax.with_extra_args_support(optimizer).update, **extra)
        return str(jax.make_jaxpr(update)(params, state, params))

    if known and program(known[0]) == program(optimizer):
        warn_of_another("optimizer", "keep the first one in a variable and pass that", 4)
    known.append(optimizer)
