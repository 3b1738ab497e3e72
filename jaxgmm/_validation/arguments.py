"""Annotations with a check, for arguments that many functions of the package have."""

import functools
from typing import Annotated, Any

from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxgmm._validation import checks
from jaxgmm._validation.validated_jit import Check


def _devices(name: str, mesh: Any) -> Any:
    if not isinstance(mesh, Mesh | None):
        raise TypeError(
            f"{name} must be a jax.sharding.Mesh of devices, or None, got {checks.quoted(mesh)}"
        )
    return mesh


def function_of(what: str) -> Check:
    """The check of a static function, which an error describes as a function of ``what``."""
    return Check(function_that_must(f"be a function of {what}").function, static=True)


def function_that_must(requirement: str) -> Check:
    """The check of a function, which may hold traced arrays; an error states the requirement."""

    def function(name: str, value: Any) -> Any:
        if callable(value):
            return value
        checks.check_static(name, value)
        raise TypeError(f"{name} must {requirement}, got {checks.quoted(value)}")

    return Check(function)


Key = Annotated[Array | None, Check(checks.check_key)]
RequiredKey = Annotated[Array, Check(functools.partial(checks.check_key, required=True))]
Flag = Annotated[bool, Check(checks.check_flag, static=True)]
PositiveInt = Annotated[int, Check(checks.checked_int, static=True)]
PositiveNumber = Annotated[ArrayLike, Check(checks.check_positive)]
PositiveFloat = Annotated[float, Check(checks.check_positive)]
StaticPositiveNumber = Annotated[float, Check(checks.checked_positive, static=True)]
Devices = Annotated[Mesh | None, Check(_devices, static=True)]
