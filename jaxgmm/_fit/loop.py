"""Optimiser steps in one compiled loop."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

T = TypeVar("T")


class State(NamedTuple):
    """What the next step needs beside the parameters.

    Attributes:
      optimizer: the state of the optimiser.
      last_good: the parameters and the state of the optimiser before the last step, to fall back on.
      num_steps: taken so far; each has a key of its own.
      window_sum: of the losses in this window.
      last_mean: of the losses in the window before.
    """

    optimizer: Any
    last_good: Any
    num_steps: Array
    window_sum: Array
    last_mean: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FitResult(Generic[T]):
    """What `fit` has come to, and all that it needs to go on from there; a pytree of arrays.

    Attributes:
      params: the parameters after the last step.
      losses: (num_steps,), the loss before each step.
      converged: whether the tolerance stopped it.
      diverged: whether a loss or gradient that is not finite stopped it; params are then the last at which both were finite.
      state: the state of the optimiser and what else the next step needs.
    """

    params: T
    losses: Array
    converged: Array
    diverged: Array
    state: State


def with_room(result: FitResult[T], size: int) -> FitResult[T]:
    """The same with nothing but room for the losses of so many steps, lest a growing history compile anew."""
    return dataclasses.replace(result, losses=jnp.asarray(np.zeros(size, result.losses.dtype)))


@functools.partial(jax.jit, static_argnames=("optimizer", "fixed_key"))
def steps_of(
    loss: Callable[[Array, T], Array],
    key: Array,
    tol: ArrayLike,
    window: ArrayLike,
    optimizer: optax.GradientTransformation,
    fixed_key: bool,
    start: FitResult[T],
    limit: ArrayLike,
) -> FitResult[T]:
    """Up to `limit` steps in one compiled loop."""

    def running(now: FitResult[T]) -> Array:
        return (
            (now.state.num_steps - start.state.num_steps < limit) & ~now.converged & ~now.diverged
        )

    def step(now: FitResult[T]) -> FitResult[T]:
        index = now.state.num_steps
        objective = functools.partial(
            loss, jax.random.clone(key) if fixed_key else jax.random.fold_in(key, index)
        )
        value, params, optimizer_state, last_good, finite = _step(objective, now, optimizer)
        converged, *memory = _plateau(now.state, value, tol, window)
        losses = now.losses.at[index - start.state.num_steps].set(value)
        state = State(optimizer_state, last_good, index + finite.astype(np.int32), *memory)
        return FitResult(params, losses, converged & finite, ~finite, state)

    return jax.lax.while_loop(running, step, start)


def _step(
    objective: Callable[[Any], Array], now: FitResult[Any], optimizer: optax.GradientTransformation
) -> tuple[Array, Any, Any, Any, Array]:
    """One step of the optimiser, or one back if the loss or its gradient is not finite here."""
    value, gradient = jax.value_and_grad(objective)(now.params)
    update = optax.with_extra_args_support(optimizer).update
    updates, state = update(
        gradient,
        now.state.optimizer,
        now.params,
        value=value,
        grad=gradient,
        value_fn=objective,
    )
    here, there = (
        (now.params, now.state.optimizer),
        (optax.apply_updates(now.params, updates), state),
    )
    finite = jnp.stack(
        [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradient))]
    ).all()
    back = now.state.last_good
    (params, state), last_good = jax.tree.map(
        functools.partial(jnp.where, finite), (there, here), (back, back)
    )
    return value, params, state, last_good, finite


def _plateau(
    state: State, value: Array, tol: ArrayLike, window: ArrayLike
) -> tuple[Array, Array, Array]:
    """Whether the mean of a window that ends here is not below the last by more than tol; the sum so far; the last mean."""
    ends = (state.num_steps + 1) % window == 0
    total = state.window_sum + value
    mean = (total / jnp.asarray(window, value.dtype)).astype(value.dtype)
    converged = ends & (state.last_mean - mean <= jnp.asarray(tol, value.dtype))
    return (
        converged,
        jnp.where(ends, jnp.zeros_like(total), total),
        jnp.where(ends, mean, state.last_mean),
    )
