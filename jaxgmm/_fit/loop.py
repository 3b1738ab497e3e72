"""The steps of an optimiser in one compiled loop."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgmm._mixture.read_out import Result
from jaxgmm._numerics.transforms import exportable

if TYPE_CHECKING:
    import optax

T = TypeVar("T")


class State(NamedTuple):
    """The part of a `FitResult` that the next step needs beside the parameters."""

    optimizer: Any  # the state of the optimiser
    last_good: Any  # the parameters and the state of the optimiser before the last step
    num_steps: Array  # the number of steps taken so far, from which each step derives its key
    window_sum: Array  # the sum of the losses in the current window
    last_mean: Array  # the mean loss of the previous window
    best_mean: Array  # the least mean loss of a window, or the first loss


@exportable
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FitResult(Result, Generic[T]):
    """The result of `fit`, from which `fit` can go on; a pytree of arrays.

    Attributes:
      params: the parameters after the last step.
      losses: (num_steps,), the loss before each step.
      converged: whether the tolerance stopped the fit.
      diverged: whether a loss or gradient that is not finite stopped the fit; params are then the
        last parameters at which both were finite.
      state: the state of the optimiser and of the stopping rule.
      best: with ``keep_best``, the parameters at the end of the window of least mean loss, or the
        start if its loss was less; else None.
    """

    params: T
    losses: Array
    converged: Array
    diverged: Array
    state: State
    best: T | None = None


def with_loss_buffer(result: FitResult[T], size: int) -> FitResult[T]:
    """The result with zeros (size,) in place of its losses, so that one program fits all chunks."""
    return dataclasses.replace(result, losses=jnp.asarray(np.zeros(size, result.losses.dtype)))


@functools.partial(jax.jit, static_argnames=("optimizer", "fixed_key"))
def run_steps(
    loss: Callable[[Array | None, T], Array],
    key: Array | None,
    tol: ArrayLike,
    window: ArrayLike,
    optimizer: "optax.GradientTransformation",
    fixed_key: bool,
    start: FitResult[T],
    limit: ArrayLike,
) -> FitResult[T]:
    """The result after at most ``limit`` more steps. Their losses fill the buffer in start."""

    def running(now: FitResult[T]) -> Array:
        taken = now.state.num_steps - start.state.num_steps
        return (taken < limit) & ~now.converged & ~now.diverged

    def step(now: FitResult[T]) -> FitResult[T]:
        index = now.state.num_steps
        step_key = None if key is None else _key_of_step(key, index, fixed_key)
        objective = functools.partial(loss, step_key)
        value, params, optimizer_state, last_good, finite = _step(objective, now, optimizer)
        converged, total, mean = _plateau(now.state, value, tol, window)
        losses = now.losses.at[index - start.state.num_steps].set(value)
        best, best_mean = _best(now, value, finite, mean, window)
        count = index + finite.astype(np.int32)
        state = State(optimizer_state, last_good, count, total, mean, best_mean)
        return FitResult(params, losses, converged & finite, ~finite, state, best)

    return jax.lax.while_loop(running, step, start)


def _key_of_step(key: Array, index: Array, fixed_key: bool) -> Array:
    return jax.random.clone(key) if fixed_key else jax.random.fold_in(key, index)


def _step(
    objective: Callable[[Any], Array],
    now: FitResult[Any],
    optimizer: "optax.GradientTransformation",
) -> tuple[Array, Any, Any, Any, Array]:
    """The loss, the next parameters and states, and whether the loss and its gradient are finite.

    Where they are not finite, the parameters and the state are those before the last step.
    """
    import optax

    value, gradient = jax.value_and_grad(objective)(now.params)
    here = now.params, now.state.optimizer
    update = optax.with_extra_args_support(optimizer).update
    extra = {"value": value, "grad": gradient, "value_fn": objective}
    updates, state = update(gradient, here[1], now.params, **extra)
    there = optax.apply_updates(now.params, updates), state
    leaves = jax.tree.leaves((value, gradient))
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
    back = now.state.last_good
    choose = functools.partial(jnp.where, finite)
    (params, state), last_good = jax.tree.map(choose, (there, here), (back, back))
    return value, params, state, last_good, finite


def _best(
    now: FitResult[Any], value: Array, finite: Array, mean: Array, window: ArrayLike
) -> tuple[Any, Array]:
    """The parameters of the least windowed loss, if they are kept, and that loss."""
    index, least = now.state.num_steps, now.state.best_mean
    ends = (index + 1) % window == 0
    candidate = jnp.where(ends, mean, jnp.where(index == 0, value, jnp.inf).astype(mean.dtype))
    is_best = finite & (candidate < least)
    keep = functools.partial(jnp.where, is_best)
    best = None if now.best is None else jax.tree.map(keep, now.params, now.best)
    return best, jnp.where(is_best, candidate, least)


def _plateau(
    state: State, value: Array, tol: ArrayLike, window: ArrayLike
) -> tuple[Array, Array, Array]:
    """Whether a window ends on a plateau, the sum of its losses so far, and the last mean."""
    ends = (state.num_steps + 1) % window == 0
    total = state.window_sum + value
    mean = (total / jnp.asarray(window, value.dtype)).astype(value.dtype)
    converged = ends & (state.last_mean - mean <= jnp.asarray(tol, value.dtype))
    window_sum = jnp.where(ends, jnp.zeros_like(total), total)
    return converged, window_sum, jnp.where(ends, mean, state.last_mean)
