"""Checks of mixtures and of arrays beside a mixture, and annotations that demand a check."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import check_dead
from jaxgmm._validation.checks import check_finite, finite_array, kind, quoted
from jaxgmm._validation.validated_jit import Check


def checked_mixture(name: str, gmm: Any) -> GMM:
    """The mixture, or an error if a shape is wrong or a concrete leaf is not finite."""
    if not isinstance(gmm, GMM):
        mend = "build one with GMM.from_moments, or with jaxgmm.from_sklearn"
        raise TypeError(f"{name} must be a jaxgmm.GMM, got {kind(gmm)}; {mend}")
    _check_shapes(name, gmm)
    for field, leaf in vars(gmm).items():
        if leaf is not None and not isinstance(leaf, Tracer):
            if field != "logits" and not isinstance(gmm.logits, Tracer):
                check_dead(name, np.asarray(gmm.logits) == -np.inf, np.asarray(leaf))
            _check_values(f"{name}.{field}", field, np.asarray(leaf))
    return gmm


def _check_values(name: str, field: str, values: np.ndarray) -> None:
    if field == "logits" and values.max() > -np.inf:
        values = np.where(values == -np.inf, 0, values)  # A logit of -inf is a weight of 0.
    check_finite(name, values)
    largest = math.log(float(jnp.finfo(values.dtype).max))
    if field == "log_diag" and (np.abs(values) > largest).any():
        problem = f"exp({name}) is out of the range of {values.dtype}"
        raise ValueError(f"{problem}, for {quoted(values)}; use other units of x")


def _check_shapes(name: str, gmm: GMM) -> None:
    leaves = vars(gmm)
    for field, leaf in leaves.items():
        if isinstance(leaf, list | tuple | float | int):
            mend = f"write jnp.asarray({field}), or use GMM.from_moments"
            raise TypeError(f"{name}.{field} must be an array, got {kind(leaf)}; {mend}")
    shapes = {field: np.shape(leaf) for field, leaf in leaves.items()}
    loc = shapes["loc"]
    if len(loc) == 3 and len(shapes["logits"]) == 2:
        problem = f"{name} is a stack of {loc[0]} mixtures (loc has shape {loc})"
        raise ValueError(f"{problem}; use jax.vmap")
    if len(loc) != 2 or 0 in loc:
        raise ValueError(f"{name}.loc must have shape (K, D) with K and D at least 1, got {loc}")
    k, d = loc
    allowed = {"logits": [(k,)], "log_diag": [(k, d), (1, d), (k, 1), (1, 1)]}
    if gmm.off_diag is not None:
        allowed["off_diag"] = [(k, d * (d - 1) // 2), (1, d * (d - 1) // 2)]
    for field, options in allowed.items():
        if shapes[field] not in options:
            expected = " or ".join(str(option) for option in dict.fromkeys(options))
            got = f"beside loc of shape {(k, d)}, got {shapes[field]}"
            raise ValueError(f"{name}.{field} must have shape {expected} {got}")
    for field, leaf in leaves.items():
        if leaf is not None and not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            got = f"{jnp.result_type(leaf)}; use GMM.from_moments, which converts"
            raise TypeError(f"{name}.{field} must be floating, got {got}")


def checked_mixtures(name: str, gmms: Any) -> Sequence[GMM] | GMM:
    """The mixtures of a sequence or of a stack, or an error that names the first one at fault."""
    if isinstance(gmms, GMM):
        _check_stack(name, gmms)
    elif not isinstance(gmms, list | tuple):
        needed = "a list of jaxgmm.GMM, or a stack of them"
        raise TypeError(f"{name} must be {needed}, got {kind(gmms)}")
    one_by_one = unstacked(gmms) if isinstance(gmms, GMM) else gmms
    if not one_by_one:
        raise ValueError(f"{name} is empty: pass at least one mixture")
    for i, gmm in enumerate(one_by_one):
        checked_mixture(f"{name}[{i}]", gmm)
    return gmms


def unstacked(gmms: GMM) -> list[GMM]:
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(gmms))
    # A slice of a NumPy array is a view, where a slice of a JAX array is a compiled program.
    leaves = gmms if traced else jax.tree.map(np.asarray, gmms)
    return [jax.tree.map(operator.itemgetter(i), leaves) for i in range(len(gmms.loc))]


def _check_stack(name: str, gmms: GMM) -> None:
    loc = np.shape(gmms.loc)
    if len(loc) != 3:
        mend = "pass a list of mixtures, or a stack of them"
        raise ValueError(f"{name} is one mixture, with loc of shape {loc}; {mend}")
    if len({len(leaf) for leaf in jax.tree.leaves(gmms)}) > 1:
        shapes = jax.tree.map(np.shape, gmms)
        raise ValueError(f"the leaves of {name} are stacks of different lengths: {shapes}")


def _one_by_one(name: str, value: Any) -> list[tuple[str, GMM]]:
    """The mixtures in an argument, each with its name. An argument of another type has none."""
    if isinstance(value, GMM) and len(np.shape(value.loc)) == 2:
        return [(name, value)]
    gmms = unstacked(value) if isinstance(value, GMM) else value
    if isinstance(gmms, list | tuple) and all(isinstance(gmm, GMM) for gmm in gmms):
        return [(f"{name}[{i}]", gmm) for i, gmm in enumerate(gmms)]
    return []


def one_space(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, or an error if mixtures among them have different dimensions."""
    mixtures = [pair for argument in arguments.items() for pair in _one_by_one(*argument)]
    first_of = {gmm.num_dims: name for name, gmm in reversed(mixtures)}
    if len(first_of) > 1:
        each = " and ".join(f"{name} has {d}" for d, name in reversed(first_of.items()))
        problem = f"these are mixtures of different dimension: {each}"
        raise ValueError(f"{problem}; both must live in one space")
    return arguments


def checked_points(x: Any, name: str, gmm: GMM) -> Array | np.ndarray:
    """The points (..., D) as a floating array, or an error if they do not fit gmm."""
    if not isinstance(x, Array):
        x = finite_array("x", x, jnp.result_type(gmm.loc))
    elif not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(gmm.loc.dtype)
    d = gmm.num_dims
    if x.ndim == 0 or x.shape[-1] != d:
        mend = "; write x[..., None] for one dimension" if d == 1 else ""
        needed = f"shape (..., {d}), as {name}.num_dims is {d}"
        raise ValueError(f"x must have {needed}; got {x.shape}{mend}")
    if not isinstance(x, Tracer):
        check_finite("x", np.asarray(x))
    return x


def checked_array(
    name: str, value: Any, shape: tuple[int | None, ...], gmm: GMM
) -> Array | np.ndarray:
    """A finite array in the dtype of gmm, of this shape, in which None stands for any length."""
    traced = isinstance(value, Tracer)
    array = value if traced else finite_array(name, value, jnp.result_type(gmm.loc))
    expected = tuple(got if n is None else n for n, got in zip(shape, array.shape, strict=False))
    if len(shape) != array.ndim or array.shape != expected or not array.size:
        needed = str(shape).replace("None", "D'")
        raise ValueError(f"{name} must have shape {needed}, got {array.shape}")
    return array


def points_of_mixture(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a function of (gmm, x), with x as points in the space of gmm."""
    return {**arguments, "x": checked_points(arguments["x"], "gmm", arguments["gmm"])}


Mixture = Annotated[GMM, Check(checked_mixture)]
Mixtures = Annotated[Sequence[GMM] | GMM, Check(checked_mixtures)]
