"""The door: every public function is checked, then compiled, here."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._gmm import GMM
from jaxgmm._moments import finite_array
from jaxgmm._rules import Rule

P = ParamSpec("P")
R = TypeVar("R")


def door(*static: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Jit a public function with those arguments static, and check what it is given before it is traced.

    Arguments are known by their names: p, q and gmm are mixtures of one dimension, x is points, key is a key, rule is a rule,
    bandwidth is a positive number.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        compiled = jax.jit(function, static_argnames=static)
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            check_arguments(bound.arguments)
            return compiled(*bound.args, **bound.kwargs)

        return checked

    return decorate


def check_arguments(arguments: dict[str, Any]) -> None:
    """Raise on what is wrong in mixtures, points, keys, rules and numbers; values are looked at only where they are concrete."""
    mixtures = {name: value for name, value in arguments.items() if name in ("p", "q", "gmm")}
    for name, mixture in mixtures.items():
        check_mixture(name, mixture)
    if len({mixture.num_dims for mixture in mixtures.values()}) > 1:
        dims = " and ".join(f"{name} has {mixture.num_dims}" for name, mixture in mixtures.items())
        raise ValueError(f"mixtures of different dimension: {dims}; both must live in one space")
    if "key" in arguments:
        _check_key(arguments["key"])
    if "rule" in arguments:
        _check_rule(arguments["rule"])
    if "bandwidth" in arguments:
        _check_positive("bandwidth", arguments["bandwidth"])
    if "x" in arguments:
        arguments["x"] = _checked_points(arguments["x"], *mixtures.items())


def check_mixture(name: str, gmm: Any) -> None:
    """Raise unless it is a GMM of the right shapes, with finite leaves where these are concrete."""
    if not isinstance(gmm, GMM):
        raise TypeError(
            f"{name} must be a jaxgmm.GMM, got {type(gmm).__name__}; "
            "build one with GMM.from_moments, or jaxgmm.from_sklearn for a scikit-learn mixture"
        )
    _check_shapes(name, gmm)
    for field in dataclasses.fields(gmm):
        leaf = getattr(gmm, field.name)
        if leaf is None or isinstance(leaf, Tracer):
            continue
        values = np.asarray(leaf)
        if field.name == "logits":
            values = np.where(values == -np.inf, 0, values) if values.max() > -np.inf else values
        if not np.isfinite(values).all():
            raise ValueError(f"{name}.{field.name} holds NaN or infinity, so no density is defined: {values}")


def _check_shapes(name: str, gmm: GMM) -> None:
    shapes = {field.name: np.shape(getattr(gmm, field.name)) for field in dataclasses.fields(gmm)}
    if len(shapes["loc"]) == 3 and len(shapes["logits"]) == 2:
        raise ValueError(f"{name} is a stack of {shapes['loc'][0]} mixtures (loc has shape {shapes['loc']}); use jax.vmap")
    if len(shapes["loc"]) != 2 or 0 in shapes["loc"]:
        raise ValueError(f"{name}.loc must have shape (K, D) with K and D at least 1, got {shapes['loc']}")
    k, d = shapes["loc"]
    allowed = {"logits": [(k,)], "log_diag": [(k, d), (1, d), (k, 1), (1, 1)]}
    if gmm.off_diag is not None:
        allowed["off_diag"] = [(k, d * (d - 1) // 2), (1, d * (d - 1) // 2)]
    for field, options in allowed.items():
        if shapes[field] not in options:
            expected = " or ".join(str(option) for option in dict.fromkeys(options))
            raise ValueError(f"{name}.{field} must have shape {expected} beside loc of shape {(k, d)}, got {shapes[field]}")
    for field in shapes:
        leaf = getattr(gmm, field)
        if leaf is not None and not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(f"{name}.{field} must be floating, got {jnp.result_type(leaf)}; use GMM.from_moments, which converts")


def _check_key(key: Any) -> None:
    if key is None:
        return
    if isinstance(key, Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (typed and key.ndim == 0) or (key.dtype == jnp.uint32 and key.ndim == 1):
            return
        if typed or key.dtype == jnp.uint32:
            raise ValueError(f"key must be one key, got an array of keys of shape {key.shape}; use jax.vmap over keys")
    raise TypeError(f"key must be a JAX random key, got {key!r}; write jax.random.key(0), say")


def _check_rule(rule: Any) -> None:
    if isinstance(rule, type) or not isinstance(rule, Rule):
        raise TypeError(f"rule must be a rule such as jaxgmm.Sobol(2**14) or jaxgmm.MonteCarlo(10_000), got {rule!r}")


def _check_positive(name: str, value: Any) -> None:
    number = value if isinstance(value, Tracer) else np.asarray(value)
    if not (jnp.issubdtype(number.dtype, jnp.floating) or jnp.issubdtype(number.dtype, jnp.integer)):
        raise TypeError(f"{name} must be a number, got {value!r}; 1.0, say")
    if number.ndim:
        raise ValueError(f"{name} must be one number, got an array of shape {number.shape}; use jax.vmap over it")
    if not isinstance(number, Tracer) and not 0 < number < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def _checked_points(x: Any, mixture: tuple[str, GMM]) -> Array | np.ndarray:
    if not isinstance(x, Array):
        x = finite_array("x", x, jnp.result_type(mixture[1].loc))
    elif not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(mixture[1].loc.dtype)
    if x.ndim == 0 or x.shape[-1] != mixture[1].num_dims:
        expected = f"(..., {mixture[1].num_dims})"
        raise ValueError(f"x must have shape {expected}, as {mixture[0]} has {mixture[1].num_dims} dimensions; got {x.shape}")
    if not isinstance(x, Tracer) and not np.isfinite(np.asarray(x)).all():
        raise ValueError("x holds NaN or infinity: remove or impute those points first")
    return x
