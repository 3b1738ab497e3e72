"""Minimise a loss with any optax optimiser, in compiled chunks of steps."""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.core import Tracer

from jaxgmm._fit.loop import FitResult, State, run_steps, with_loss_buffer
from jaxgmm._fit.progress import checked_progress, reporter
from jaxgmm._fit.recompilation import warn_of_new_optimizer
from jaxgmm._validation.arguments import Flag, Key, PositiveInt, function_that_must
from jaxgmm._validation.checks import checked_int, checked_number, is_floating, quoted
from jaxgmm._validation.validated_jit import Check, validated

T = TypeVar("T")

CHUNK = 100


def _params(name: str, params: Any) -> Any:
    leaves = jax.tree.leaves(params)
    if not leaves:
        problem = "has no array leaves, so there is nothing to fit"
        raise ValueError(f"{name} {problem}: {quoted(params)}")
    for leaf in () if isinstance(params, FitResult) else leaves:
        if not is_floating(getattr(leaf, "dtype", type(leaf))):
            problem = f"{name} must be made of floating arrays, but has a leaf {quoted(leaf)}"
            raise TypeError(f"{problem}; put fixed values into the loss")
    return params


def _optimizer(name: str, value: Any) -> Any:
    if not isinstance(value, optax.GradientTransformation):
        such = "an optax optimiser such as optax.adam(0.1)"
        raise TypeError(f"{name} must be {such}, got {quoted(value)}")
    return value


def _tol(name: str, value: Any) -> float:
    number = checked_number(name, value)
    if not 0 <= number < math.inf:
        mend = "leave it out to take all steps"
        raise ValueError(f"{name} must be finite and not negative, got {quoted(value)}; {mend}")
    return number


_LOSS = "be a function of (key, params) such as jaxgmm.forward_kl_loss(p)"

Loss = Annotated[Callable[[Array, T], Array], function_that_must(_LOSS)]
Params = Annotated[T | FitResult[T], Check(_params)]
Optimizer = Annotated[optax.GradientTransformation, Check(_optimizer, static=True)]
NumSteps = Annotated[int, Check(functools.partial(checked_int, at_least=0), static=True)]
Progress = Annotated[bool | Callable[[FitResult[T]], Any], Check(checked_progress, static=True)]


@validated()
def fit(
    key: Key,
    loss: Loss[T],
    params: Params[T],
    optimizer: Optimizer,
    num_steps: NumSteps,
    *,
    fixed_key: Flag = False,
    tol: Annotated[float, Check(_tol)] | None = None,
    window: PositiveInt = 50,
    keep_best: Flag = False,
    progress: Progress[T] = False,
) -> FitResult[T]:
    r"""The result of minimising the mean of a loss over random keys, by any optax optimiser.

    .. math:: \theta_{t+1} = \theta_t + \mathrm{update}(\nabla_\theta \mathrm{loss}(k_t, \theta_t))

    The steps run in compiled chunks of 100. A later call with the same loss and optimizer objects
    compiles nothing, nor does one with a `forward_kl_loss` of another p with equal shapes. A new
    ``optax.adam(1e-2)`` compiles anew, so keep one in a variable. To hold some parameters fixed,
    label them, as in
    ``optax.multi_transform({"fit": optimizer, "hold": optax.set_to_zero()}, labels)`` with
    ``labels = GMM(logits="fit", loc="hold", log_diag="hold", off_diag="hold")``.

    A learning rate is in the units of the parameters, those of x for loc and off_diag. Where x is
    far from unit scale, fit in other units and come back, as in the second example.

    Args:
      key: a random key, from which each step derives its own key k_t. It may be None for a loss
        that draws nothing, such as one by a deterministic rule.
      loss: a function from (key, params) to a scalar, such as that of `forward_kl_loss`, or
        ``lambda key, q: kl_divergence(key, p, q)``.
      params: the start, any pytree of floating arrays; or a `FitResult` to go on from. With the
        same key the result then equals that of an unbroken fit bit for bit.
      optimizer: an optax optimiser.
      num_steps: the number of steps to take, at most.
      fixed_key: whether all steps use one key, as line searches such as ``optax.lbfgs()`` need.
      tol: the fit stops if the mean loss falls by less than this, in nats, from one window of steps
        to the next. None takes all steps.
      window: the number of steps in a window.
      keep_best: whether to keep the parameters of the least mean loss of a window, as ``best``.
      progress: True for a tqdm bar, or a function that gets the `FitResult` after each chunk.

    Returns:
      A `FitResult`. A keyboard interrupt, or a loss that is no longer finite, ends the fit with a
      warning and the result so far. Another warning tells of losses that end above that of the
      start. Under `jax.vmap` and `jax.jit` there are num_steps losses: the losses after an early
      stop repeat the last one, or are infinite if the fit diverged. The best of several starts is
      then ``jax.tree.map(lambda leaf: leaf[results.losses[:, -1].argmin()], results.params)``.

    Raises:
      TypeError: an argument has the wrong type, or loss does not return a floating scalar.
      ValueError: key is None and loss draws at random, params has no leaves, or a number is out
        of its range.
      FloatingPointError: the loss or its gradient is not finite at the start.
      ImportError: progress is True and tqdm is not installed.

    Example:
      >>> import jaxgmm
      >>> p = jaxgmm.GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> start = jaxgmm.GMM.from_moments([1.0], [[3.0]], [1.0], "spherical")
      >>> optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 300))
      >>> q = fit(jax.random.key(0), jaxgmm.forward_kl_loss(p), start, optimizer, 300).params
      >>> print(f"{abs(q.means[0, 0]):.1f} {q.covariances[0, 0]:.1f}")  # the moments of p
      0.0 2.0
      >>> p = jaxgmm.affine(p, [[1e-6]], [3e-6])  # p moved by 3, and with x in other units
      >>> loss = jaxgmm.forward_kl_loss(jaxgmm.affine(p, [[1e6]]))
      >>> q = fit(jax.random.key(0), loss, start, optimizer, 300).params
      >>> print(f"{jaxgmm.affine(q, [[1e-6]]).means[0, 0]:.1e}")
      3.0e-06

    References:
      Kingma and Ba, Adam, ICLR (2015), for stochastic steps. Kim, Pasupathy and Henderson, A guide
      to sample average approximation, in Handbook of Simulation Optimization (2015), for fixed_key.
    """
    start = _start(key, loss, params, optimizer)
    best = start.params if start.best is None else start.best
    start = dataclasses.replace(start, best=best if keep_best else None)
    loss = jax.tree_util.Partial(loss) if jax.tree_util.all_leaves([loss]) else loss
    least = -math.inf if tol is None else tol
    steps = functools.partial(run_steps, loss, key, least, window, optimizer, fixed_key)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((key, loss, start))):
        return _in_one_loop(steps, start, num_steps)
    warn_of_new_optimizer(loss, key, start, optimizer, fixed_key)
    result, report = start, reporter(progress, num_steps, "step")
    try:
        for done in range(0, num_steps, CHUNK):
            chunk = steps(with_loss_buffer(result, CHUNK), min(CHUNK, num_steps - done))
            if isinstance(chunk.converged, Tracer):  # the loss captures a traced value
                return _in_one_loop(steps, start, num_steps)
            taken = int(chunk.state.num_steps) - int(result.state.num_steps)
            losses = np.concatenate([np.asarray(result.losses), np.asarray(chunk.losses)[:taken]])
            # jnp.concatenate would compile a program for each length.
            result = dataclasses.replace(chunk, losses=jax.device_put(losses))
            report((result,), len(losses), loss=" ".join(f"{x:.6g}" for x in losses[-1:]))
            if result.converged or result.diverged:
                break
    except KeyboardInterrupt:
        taken = result.state.num_steps
        message = f"fit was interrupted after {taken} steps; this is their result"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    _warn_of_end(result, window)
    return result


def _start(
    key: Array | None, loss: Loss[T], params: Params[T], optimizer: Optimizer
) -> FitResult[T]:
    """The result before the first step, or the result to go on from."""
    no = jax.device_put(np.zeros((), bool))
    if isinstance(params, FitResult):
        return dataclasses.replace(params, converged=no, diverged=no)
    params = jax.tree.map(jnp.asarray, params)
    value = jax.eval_shape(loss, key, params)
    is_scalar = isinstance(value, jax.ShapeDtypeStruct) and value.shape == ()
    if not is_scalar or not jnp.issubdtype(value.dtype, jnp.floating):
        mend = "average it, say with .mean()"
        raise TypeError(f"loss must return a floating scalar, got {value}; {mend}")
    optimizer_state = jax.jit(optimizer.init)(params)
    dtype = value.dtype
    # NumPy makes these arrays, as jnp.zeros would compile a program for each.
    memory = np.zeros((), np.int32), np.zeros((), dtype), *np.full((2,), np.inf, dtype)
    losses, *memory = jax.device_put((np.zeros(0, dtype), *memory))
    state = State(optimizer_state, (params, optimizer_state), *memory)
    start = FitResult(params, losses, no, no, state)
    # A weak type would compile the second chunk anew.
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), start)


def _in_one_loop(
    steps: Callable[..., FitResult[T]], start: FitResult[T], num_steps: int
) -> FitResult[T]:
    """The result of all steps. No value is read on the way, so JAX may transform it."""
    if num_steps == 0:
        return start
    result = steps(with_loss_buffer(start, num_steps), num_steps)
    taken = result.state.num_steps - start.state.num_steps
    last = jnp.where(result.diverged, jnp.inf, result.losses[jnp.maximum(taken - 1, 0)])
    is_taken = jnp.arange(num_steps, dtype=taken.dtype) < taken
    losses = jnp.where(is_taken, result.losses, last.astype(result.losses.dtype))
    return dataclasses.replace(result, losses=jnp.concatenate([start.losses, losses]))


def _warn_of_end(result: FitResult[Any], window: int) -> None:
    """Warn of a fit that diverged, or of last losses above the first by more than their noise."""
    if result.diverged:
        taken, fault = int(result.state.num_steps), "the loss or its gradient is not finite"
        if taken == 0:
            raise FloatingPointError(f"{fault} at the start: check loss(key, params)")
        message = f"fit diverged: after {taken} steps {fault}; params are the last good ones"
        warnings.warn(message, RuntimeWarning, stacklevel=4)
    losses = np.asarray(result.losses, np.float64)
    last = losses[len(losses) // 2 :][-window:]
    # Differences of neighbours tell noise from a rise, which may be exponential.
    if len(last) >= 5 and last.mean() - losses[0] > 4 * np.median(np.abs(np.diff(last))):
        ends = f"fit ended at a loss of {last.mean():.4g}, above {losses[0]:.4g} at its start"
        mend = "a learning rate is in the units of the parameters; try a smaller one"
        warnings.warn(f"{ends}: {mend}", RuntimeWarning, stacklevel=4)
