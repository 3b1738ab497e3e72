"""The door: every public function is checked, then compiled, here."""

import dataclasses
import functools
import inspect
import math
import operator
import reprlib
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.sharding import Mesh

from jaxgmm._mixture.gmm import GMM, unstacked
from jaxgmm._mixture.moments import checked_weights
from jaxgmm._quadrature.rule import Rule
from jaxgmm._validation.checks import (
    check_flag,
    check_key,
    check_positive,
    check_static,
    checked_int,
    checked_number,
    finite_array,
    kind,
)

P = ParamSpec("P")

R = TypeVar("R")


def door(*static: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Jit a public function with those arguments static, and check what it is given before it is traced.

    Arguments are known by their names: p, q and gmm are mixtures of one dimension, and gmms and others sequences or stacks of
    such; x is points, key a key, rule a rule, mesh devices; num_samples and batch_size are positive integers, alpha and bandwidth
    positive numbers; f and fn are functions; weights are those of gmms; dims are coordinates of gmm and values what is given for
    them; matrix and shift are an affine map of its points; divergence is a function of two mixtures; path_gradient, log_ratio and
    symmetric are True or False.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        compiled = jax.jit(function, static_argnames=static)
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = _bound(function.__name__, signature, args, kwargs)
            for name in static:
                check_static(name, bound.arguments.get(name))
            check_arguments(bound.arguments)
            return compiled(*bound.args, **bound.kwargs)

        return checked

    return decorate


def _bound(name: str, signature: inspect.Signature, args: Any, kwargs: Any) -> inspect.BoundArguments:
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}({', '.join(signature.parameters)}): {error}") from None


def check_arguments(arguments: dict[str, Any]) -> None:
    """Raise on what is wrong in any argument known by its name; values are looked at only where they are concrete."""
    mixtures = {name: value for name, value in arguments.items() if name in ("p", "q", "gmm")}
    for name, mixture in mixtures.items():
        check_mixture(name, mixture)
    _check_one_space({name: mixture.num_dims for name, mixture in mixtures.items()})
    sequences = {name: value for name, value in arguments.items() if name == "gmms" or (name == "others" and value is not None)}
    _check_one_space({name: dims for sequence in sequences.items() for name, dims in checked_sequence(*sequence).items()})
    for name, check in CHECKS.items():
        if name in arguments:
            check(name, arguments[name])
    for name, checked in CHECKED.items():
        if name in arguments:
            arguments[name] = checked(name, arguments[name])
    if "x" in arguments:
        arguments["x"] = _checked_points(arguments["x"], *mixtures.items())
    if arguments.get("weights") is not None:
        arguments["weights"] = _checked_mixing_weights(arguments["weights"], sequences["gmms"])
    if "dims" in arguments or "matrix" in arguments:
        _check_coordinates(arguments, arguments["gmm"])


def checked_sequence(name: str, gmms: Any) -> dict[str, int]:
    """The dimension of each mixture of a sequence or a stack, by its name, if there is nothing wrong with them."""
    if isinstance(gmms, GMM):
        if len(np.shape(gmms.loc)) != 3:
            raise ValueError(f"{name} is one mixture, of loc {np.shape(gmms.loc)}: pass a list of mixtures, or a stack of them")
        if len({len(leaf) for leaf in jax.tree.leaves(gmms)}) > 1:
            raise ValueError(f"the leaves of {name} are stacks of different lengths: {jax.tree.map(np.shape, gmms)}")
        gmms = unstacked(gmms)
    elif not isinstance(gmms, list | tuple):
        raise TypeError(f"{name} must be a list of jaxgmm.GMM, or a stack of them, got {kind(gmms)}")
    if not gmms:
        raise ValueError(f"{name} is empty: pass at least one mixture")
    for i, gmm in enumerate(gmms):
        check_mixture(f"{name}[{i}]", gmm)
    return {f"{name}[{i}]": gmm.num_dims for i, gmm in enumerate(gmms)}


def _check_one_space(dims: dict[str, int]) -> None:
    different = {num_dims: name for name, num_dims in reversed(dims.items())}
    if len(different) > 1:
        named = " and ".join(f"{name} has {num_dims}" for num_dims, name in reversed(different.items()))
        raise ValueError(f"mixtures of different dimension: {named}; both must live in one space")


def check_mixture(name: str, gmm: Any) -> None:
    """Raise unless it is a GMM of the right shapes, with finite leaves where these are concrete."""
    if not isinstance(gmm, GMM):
        raise TypeError(
            f"{name} must be a jaxgmm.GMM, got {kind(gmm)}; "
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
        if field.name == "log_diag" and (np.abs(values) > math.log(float(jnp.finfo(values.dtype).max))).any():
            raise ValueError(f"{name}.log_diag is beyond the logarithms of {values.dtype}: {values}; take other units of x")


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


def _check_rule(name: str, rule: Any) -> None:
    check_static(name, rule)
    if isinstance(rule, type) or not isinstance(rule, Rule):
        raise TypeError(
            f"{name} must be a rule such as jaxgmm.Sobol(2**14) or jaxgmm.MonteCarlo(10_000), got {reprlib.repr(rule)}"
        )


def _check_divergence(name: str, divergence: Any) -> None:
    if not callable(divergence):
        raise TypeError(f"{name} must be a function of two mixtures, such as jaxgmm.js_divergence, got {divergence!r}")
    bound = getattr(divergence, "keywords", {})  # of a functools.partial
    if "rule" in bound or "key" in bound:
        raise ValueError(f"{name} has a key or a rule bound by functools.partial: pass both beside it")


def _check_function(name: str, function: Any) -> None:
    check_static(name, function)
    if not callable(function):
        of = {"f": "the ratio of the densities", "fn": "points (n, D)"}[name]
        raise TypeError(f"{name} must be a function of {of}, got {function!r}")


def _check_mesh(name: str, mesh: Any) -> None:
    check_static(name, mesh)
    if not isinstance(mesh, Mesh | None):
        raise TypeError(f"{name} must be a jax.sharding.Mesh of devices, or None, got {mesh!r}")


def _check_symmetric(name: str, symmetric: Any) -> None:
    if symmetric is not None:
        check_flag(name, symmetric)


def _positive_float(name: str, value: Any) -> float:
    number = checked_number(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return number


def _checked_points(x: Any, mixture: tuple[str, GMM]) -> Array | np.ndarray:
    if not isinstance(x, Array):
        x = finite_array("x", x, jnp.result_type(mixture[1].loc))
    elif not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(mixture[1].loc.dtype)
    if x.ndim == 0 or x.shape[-1] != mixture[1].num_dims:
        name, num_dims = mixture[0], mixture[1].num_dims
        mend = "; write x[..., None] for one dimension" if num_dims == 1 else ""
        raise ValueError(f"x must have shape (..., {num_dims}), as {name}.num_dims is {num_dims}; got {x.shape}{mend}")
    if not isinstance(x, Tracer) and not np.isfinite(np.asarray(x)).all():
        raise ValueError("x holds NaN or infinity: remove or impute those points first")
    return x


def _checked_mixing_weights(weights: Any, gmms: Any) -> Array | np.ndarray:
    if not isinstance(weights, Tracer):
        weights = checked_weights(finite_array("weights", weights))
    expected = (len(gmms.loc if isinstance(gmms, GMM) else gmms),)
    if weights.shape != expected:
        raise ValueError(f"weights must have shape {expected}, one for each mixture in gmms, got {weights.shape}")
    return weights


def _check_coordinates(arguments: dict[str, Any], gmm: GMM) -> None:
    dtype = jnp.result_type(gmm.loc)
    if "dims" in arguments:
        arguments["dims"] = dims = _checked_dims(arguments["dims"], gmm.num_dims)
        if "values" in arguments:
            if len(dims) == gmm.num_dims:
                raise ValueError(f"dims are all {gmm.num_dims} coordinates of gmm, so none is left; leave some out")
            arguments["values"] = _checked_array("values", arguments["values"], (len(dims),), dtype)
        return
    arguments["matrix"] = matrix = _checked_array("matrix", arguments["matrix"], (None, gmm.num_dims), dtype)
    if len(matrix) > gmm.num_dims or (not isinstance(matrix, Tracer) and np.linalg.matrix_rank(matrix) < len(matrix)):
        raise ValueError(f"the {len(matrix)} rows of matrix are linearly dependent, so A x has no density: leave some out")
    if arguments.get("shift") is not None:
        arguments["shift"] = _checked_array("shift", arguments["shift"], (len(matrix),), dtype)


def _checked_dims(dims: Any, num_dims: int) -> tuple[int, ...]:
    check_static("dims", dims)
    try:
        given = tuple(operator.index(dim) for dim in dims)
    except TypeError:
        raise TypeError(f"dims must be a sequence of integers, such as (0, 2), got {dims!r}") from None
    if not given or any(not -num_dims <= dim < num_dims for dim in given):
        raise ValueError(f"dims must be at least one coordinate from {-num_dims} to {num_dims - 1}, got {dims!r}")
    positive = tuple(dim % num_dims for dim in given)
    if len(set(positive)) < len(positive):
        raise ValueError(f"dims must be distinct, got {dims!r}, which name the coordinates {positive}")
    return positive


def _checked_array(name: str, value: Any, shape: tuple[int | None, ...], dtype: Any) -> Array | np.ndarray:
    """A finite array of that shape, where None is any length."""
    array = value if isinstance(value, Tracer) else finite_array(name, value, dtype)
    if array.ndim != len(shape) or any(b not in (None, a) for a, b in zip(array.shape, shape, strict=True)) or not array.size:
        expected = str(shape).replace("None", "D'")
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    return array


CHECKS: dict[str, Callable[[str, Any], None]] = {
    "key": lambda name, key: check_key(key),
    "rule": _check_rule,
    "mesh": _check_mesh,
    "divergence": _check_divergence,
    "f": _check_function,
    "fn": _check_function,
    "bandwidth": check_positive,
    "path_gradient": check_flag,
    "log_ratio": check_flag,
    "symmetric": _check_symmetric,
}

CHECKED: dict[str, Callable[[str, Any], Any]] = {
    "batch_size": checked_int,
    "num_samples": checked_int,
    "alpha": _positive_float,
}
