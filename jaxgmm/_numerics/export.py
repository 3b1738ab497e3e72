"""Types of ours in functions that `jax.export` exports."""

import contextlib
import json
from typing import TypeVar

import jax.export

T = TypeVar("T", bound=type)


def exportable(cls: T) -> T:
    """A pytree class whose instances an exported function may take and return, if serialised."""
    name = f"jaxgmm.{cls.__name__}"
    with contextlib.suppress(ValueError):  # A module that is imported again registers them again.
        if issubclass(cls, tuple):
            jax.export.register_namedtuple_serialization(cls, serialized_name=name)
        else:
            jax.export.register_pytree_node_serialization(
                cls,
                serialized_name=name,
                serialize_auxdata=lambda static: json.dumps(static).encode(),
                deserialize_auxdata=lambda data: tuple(json.loads(data)),
            )
    return cls
