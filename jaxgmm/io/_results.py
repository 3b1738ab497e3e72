"""Results of ours as JSON, beside arrays, and back."""

import dataclasses
import datetime
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.plain import fields_of
from jaxgmm._mixture.validation import checked_mixture


def class_of(name: str) -> Any:
    """The public class of fields of this name, whose module may change; None if there is none."""
    cls = getattr(sys.modules["jaxgmm"], name, None)
    is_class = isinstance(cls, type) and (dataclasses.is_dataclass(cls) or hasattr(cls, "_fields"))
    return cls if is_class else None


def encoded(name: str, value: Any, arrays: dict[str, Any]) -> Any:
    """The value for JSON, which `decoded` turns back; its arrays are put under their names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic | Array):
        arrays[name] = value
        return {"jax" if isinstance(value, Array) else "numpy": name}
    if isinstance(value, datetime.date):
        return {"date": str(np.datetime64(value))}
    if (fields := fields_of(value)) is not None and class_of(type(value).__name__) is type(value):
        of = {field: encoded(f"{name}.{field}", one, arrays) for field, one in fields.items()}
        return {type(value).__name__: of}
    if isinstance(value, dict):
        places = ((f"{name}[{key!r}]", key, one) for key, one in value.items())
        return {
            "dict": [
                [encoded(f"key of {place}", key, arrays), encoded(place, one, arrays)]
                for place, key, one in places
            ]
        }
    if type(value) is list or type(value) is tuple:
        of = [encoded(f"{name}[{i}]", one, arrays) for i, one in enumerate(value)]
        return {type(value).__name__: of}
    raise TypeError(f"{name} is of a type that a file does not hold, {type(value).__name__}")


def decoded(node: Any, array: Callable[[str], np.ndarray]) -> Any:
    """The value of a node of JSON; a function gives the array of each name."""
    if not isinstance(node, dict):
        return node
    ((kind, of),) = node.items()
    if kind in ("jax", "numpy"):
        return jnp.asarray(array(of)) if kind == "jax" else array(of).copy()[()]
    if kind == "date":
        return np.datetime64(of).item()
    if kind == "dict":
        return {decoded(key, array): decoded(one, array) for key, one in of}
    if kind in ("list", "tuple"):
        values = [decoded(one, array) for one in of]
        return values if kind == "list" else tuple(values)
    cls = class_of(kind)
    if cls is None:
        raise ValueError(f"it holds a {kind}, which this jaxgmm does not know: upgrade jaxgmm")
    fields = {name: decoded(one, array) for name, one in of.items()}
    try:
        value = cls(**fields)
    except TypeError as error:
        raise ValueError(f"its {kind} is of another version of jaxgmm: {error}") from error
    return checked_mixture("gmm", value) if isinstance(value, GMM) else value
