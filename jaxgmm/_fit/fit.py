"""Minimise a loss with any optax optimiser, in compiled chunks of steps."""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.core import Tracer

from jaxgmm._fit.loop import FitResult, State, steps_of, with_room
from jaxgmm._validation.checks import (
    check_flag,
    check_key,
    check_static,
    checked_int,
    checked_number,
    is_floating,
)

T = TypeVar("T")

CHUNK = 100


def fit(
    key: Array,
    loss: Callable[[Array, T], Array],
    params: T | FitResult[T],
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    fixed_key: bool = False,
    tol: float | None = None,
    window: int = 50,
    progress: bool | Callable[[FitResult[T]], Any] = False,
) -> FitResult[T]:
    r"""Minimise the expectation of a loss over keys, with any optax optimiser.

    .. math:: \theta_{t+1} = \theta_t + \mathrm{update}(\nabla_\theta\, \mathrm{loss}(\mathrm{key}_t, \theta_t))

    The steps run in compiled chunks of 100, with no transfer to the host within one. Pass the same loss and optimizer objects
    again and nothing is compiled again; what a loss such as `forward_kl_loss` holds may change. To hold some parameters fixed,
    label them, as in ``optax.multi_transform({"fit": optax.adam(1e-2), "hold": optax.set_to_zero()}, labels)`` with
    ``labels = GMM(logits="fit", loc="hold", log_diag="hold", off_diag="hold")``.

    Args:
      key: a random key.
      loss: a function of (key, params) to a scalar: that of `forward_kl_loss`, or ``lambda key, q: kl_divergence(key, p, q)``.
      params: where to start, any pytree of floating arrays; or a `FitResult` to go on from, which with the same key equals the
        unbroken run bit for bit.
      optimizer: an optax optimiser.
      num_steps: how many steps to take, at most.
      fixed_key: whether each step uses the same key, so that the loss is a fixed function; needed by line searches, such as
        ``optax.lbfgs()``. Otherwise each step has a key of its own.
      tol: stop when the mean loss of a window is not lower by more than this, in nats, than that of the window before.
      window: the steps in such a window.
      progress: True for a tqdm bar, or a function that is called with the `FitResult` so far, after each chunk.

    Returns:
      A `FitResult`. Under `jax.vmap` and `jax.jit` there is a loss for all num_steps; for steps not taken it repeats the last, or
      is infinite if the run diverged, so that the best of several starts is
      ``jax.tree.map(lambda leaf: leaf[results.losses[:, -1].argmin()], results.params)``. An interrupt from the keyboard ends the
      fit with a warning and the result so far, as does divergence.

    Raises:
      TypeError, ValueError: an argument is not usable, or the loss is not a floating scalar.
      FloatingPointError: the loss or its gradient is not finite at the start.
      ImportError: progress is True and tqdm is not installed.

    Example:
      >>> import jax, jaxgmm, optax
      >>> from jaxgmm import GMM
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> start = GMM.from_moments([1.0], [[3.0]], [1.0], "spherical")
      >>> optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 300))
      >>> result = fit(jax.random.key(0), jaxgmm.forward_kl_loss(p), start, optimizer, 300)
      >>> print(f"{abs(result.params.means[0, 0]):.1f} {result.params.covariances[0, 0]:.1f}")  # the moments of p
      0.0 2.0

    References:
      Kingma and Ba, Adam, ICLR (2015), for stochastic steps. Kim, Pasupathy and Henderson, A guide to sample average
      approximation, in Handbook of Simulation Optimization (2015), for the fixed key.
    """
    check_flag("fixed_key", fixed_key)
    _check(key, loss, params, optimizer, num_steps, tol, window, progress)
    start = (
        _going_on(params)
        if isinstance(params, FitResult)
        else _beginning(key, loss, params, optimizer)
    )
    loss = jax.tree_util.Partial(loss) if jax.tree_util.all_leaves([loss]) else loss
    steps = functools.partial(
        steps_of, loss, key, -math.inf if tol is None else float(tol), window, optimizer, fixed_key
    )
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((key, loss, start))):
        return _in_one(steps, start, num_steps)
    result, report = start, _reporter(progress, num_steps)
    try:
        for done in range(0, num_steps, CHUNK):
            chunk = steps(with_room(result, CHUNK), min(CHUNK, num_steps - done))
            if isinstance(chunk.converged, Tracer):  # as the loss captures a traced value
                return _in_one(steps, start, num_steps)
            result = _appended(result, chunk)
            report(result)
            if result.converged or result.diverged:
                break
    except KeyboardInterrupt:
        warnings.warn(
            f"fit was interrupted after {result.state.num_steps} steps, whose result this is",
            RuntimeWarning,
            stacklevel=2,
        )
    return _announced(result)


def _beginning(
    key: Array,
    loss: Callable[[Array, T], Array],
    params: T,
    optimizer: optax.GradientTransformation,
) -> FitResult[T]:
    params = jax.tree.map(jnp.asarray, params)
    value = jax.eval_shape(loss, key, params)
    if (
        not isinstance(value, jax.ShapeDtypeStruct)
        or value.shape
        or not jnp.issubdtype(value.dtype, jnp.floating)
    ):
        raise TypeError(
            f"loss must return a floating scalar, got {value}; average it, say with .mean()"
        )
    state = jax.jit(optimizer.init)(params)
    zero, infinity, no, count = jax.device_put(  # where jnp.zeros would compile a program each
        (
            np.zeros((), value.dtype),
            np.full((), np.inf, value.dtype),
            np.zeros((), bool),
            np.zeros((), np.int32),
        )
    )
    nothing_yet = State(state, (params, state), count, zero, infinity)
    start = FitResult(params, jax.device_put(np.zeros(0, value.dtype)), no, no, nothing_yet)
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, leaf.dtype), start
    )  # as a weak type would compile the second chunk anew


def _going_on(result: FitResult[T]) -> FitResult[T]:
    no = jax.device_put(np.zeros((), bool))
    return dataclasses.replace(result, converged=no, diverged=no)


def _in_one(
    steps: Callable[..., FitResult[T]], start: FitResult[T], num_steps: int
) -> FitResult[T]:
    """All steps in one loop, and a loss for each, so that it may be transformed."""
    if num_steps == 0:
        return start
    result = steps(with_room(start, num_steps), num_steps)
    taken = result.state.num_steps - start.state.num_steps
    last = jnp.where(result.diverged, jnp.inf, result.losses[jnp.maximum(taken - 1, 0)])
    losses = jnp.where(
        jnp.arange(num_steps, dtype=taken.dtype) < taken,
        result.losses,
        last.astype(result.losses.dtype),
    )
    return dataclasses.replace(result, losses=jnp.concatenate([start.losses, losses]))


def _appended(before: FitResult[T], chunk: FitResult[T]) -> FitResult[T]:
    """The result of a chunk with the losses before it."""
    taken = int(chunk.state.num_steps) - int(before.state.num_steps)
    losses = np.concatenate([np.asarray(before.losses), np.asarray(chunk.losses)[:taken]])
    return dataclasses.replace(
        chunk, losses=jax.device_put(losses)
    )  # which compiles nothing for a new length


def _announced(result: FitResult[T]) -> FitResult[T]:
    """The result, with a word on its divergence."""
    if result.diverged:
        taken = int(result.state.num_steps)
        if taken == 0:
            raise FloatingPointError(
                "the loss or its gradient is not finite at the start: check loss(key, params)"
            )
        message = f"fit diverged: after {taken} steps the loss or its gradient is not finite; params are the last before that"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return result


def _reporter(
    progress: bool | Callable[[FitResult[T]], Any], num_steps: int
) -> Callable[[FitResult[T]], Any]:
    if not progress:
        return lambda result: None
    if callable(progress):
        return progress
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "progress=True needs tqdm: pip install 'jaxgmm[progress]', or pass a function of the result"
        ) from error
    bar = tqdm(total=num_steps, unit="step")

    def report(result: FitResult[T]) -> None:
        bar.update(len(result.losses) - bar.n)
        bar.set_postfix(loss=f"{result.losses[-1]:.6g}")
        if bar.n == num_steps:
            bar.close()

    return report


def _check(
    key: Any,
    loss: Any,
    params: Any,
    optimizer: Any,
    num_steps: Any,
    tol: Any,
    window: Any,
    progress: Any,
) -> None:
    check_key("key", key, required=True)
    if not callable(loss):
        check_static("loss", loss)
        raise TypeError(
            f"loss must be a function of (key, params), got {loss!r}; jaxgmm.forward_kl_loss(p), say"
        )
    check_static("optimizer", optimizer)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer must be an optax optimiser such as optax.adam(1e-2), got {optimizer!r}"
        )
    checked_int("num_steps", num_steps, at_least=0)
    checked_int("window", window)
    check_static("progress", progress)
    if not (callable(progress) or isinstance(progress, bool | np.bool_)):
        raise TypeError(
            f"progress must be True, False or a function of the result, got {progress!r}"
        )
    if tol is not None and not 0 <= checked_number("tol", tol) < math.inf:
        raise ValueError(
            f"tol must be finite and not negative, got {tol!r}; leave it out to take all steps"
        )
    _check_params(params)


def _check_params(params: Any) -> None:
    if not jax.tree.leaves(params):
        raise ValueError(f"params has no array leaves, so there is nothing to fit: {params!r}")
    for leaf in [] if isinstance(params, FitResult) else jax.tree.leaves(params):
        if not is_floating(getattr(leaf, "dtype", type(leaf))):
            raise TypeError(
                f"params must be made of floating arrays, but has a leaf {leaf!r}; let the loss hold what is fixed"
            )
