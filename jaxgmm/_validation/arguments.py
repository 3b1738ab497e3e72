"""Annotations with a check, for the arguments that every function of the package has."""

import math
from typing import Annotated, Any

from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxgmm._validation.checks import (
    check_flag,
    check_key,
    check_positive,
    checked_int,
    checked_number,
)
from jaxgmm._validation.validated_jit import Check


def _key(name: str, key: Any) -> Any:
    check_key(name, key)
    return key


def _required_key(name: str, key: Any) -> Any:
    check_key(name, key, required=True)
    return key


def _flag(name: str, value: Any) -> Any:
    check_flag(name, value)
    return value


def _positive(name: str, value: Any) -> Any:
    check_positive(name, value)
    return value


def _static_positive(name: str, value: Any) -> float:
    number = checked_number(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return number


def _devices(name: str, mesh: Any) -> Any:
    if not isinstance(mesh, Mesh | None):
        raise TypeError(f"{name} must be a jax.sharding.Mesh of devices, or None, got {mesh!r}")
    return mesh


def function_of(what: str) -> Check:
    """The check of a function, which an error describes as a function of ``what``."""

    def function(name: str, value: Any) -> Any:
        if not callable(value):
            raise TypeError(f"{name} must be a function of {what}, got {value!r}")
        return value

    return Check(function, static=True)


Key = Annotated[Array | None, Check(_key)]
RequiredKey = Annotated[Array, Check(_required_key)]
Flag = Annotated[bool, Check(_flag, static=True)]
PositiveInt = Annotated[int, Check(checked_int, static=True)]
PositiveNumber = Annotated[ArrayLike, Check(_positive)]
StaticPositiveNumber = Annotated[float, Check(_static_positive, static=True)]
Devices = Annotated[Mesh | None, Check(_devices, static=True)]
