"""Annotations with a check, for arguments that many functions of the package have."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxgmm._validation import checks
from jaxgmm._validation.validated_jit import Check


def _passing(check: Callable[..., None], **options: Any) -> Callable[[str, Any], Any]:
    """A check that raises, as a function that returns the value that it has checked."""

    @functools.wraps(check)
    def checked(name: str, value: Any) -> Any:
        check(name, value, **options)
        return value

    return checked


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


Key = Annotated[Array | None, Check(_passing(checks.check_key))]
RequiredKey = Annotated[Array, Check(_passing(checks.check_key, required=True))]
Flag = Annotated[bool, Check(_passing(checks.check_flag), static=True)]
PositiveInt = Annotated[int, Check(checks.checked_int, static=True)]
PositiveNumber = Annotated[ArrayLike, Check(_passing(checks.check_positive))]
StaticPositiveNumber = Annotated[float, Check(checks.checked_positive, static=True)]
Devices = Annotated[Mesh | None, Check(_devices, static=True)]
