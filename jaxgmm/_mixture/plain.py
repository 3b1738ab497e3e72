"""Results in words, and in the plain numbers, strings and lists that JSON holds."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import moments_of
from jaxgmm._validation.checks import as_array


class Result:
    """A base of dataclasses that tell their fields, but for the state of an optimiser."""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name in plain numbers, strings and lists, as JSON holds them."""
        return plain(self._told())

    def __str__(self) -> str:
        fields = [f"{name}={_brief(value)}" for name, value in self._told().items()]
        return f"{type(self).__name__}({', '.join(fields)})"

    def _told(self) -> dict[str, Any]:
        return {name: of for name, of in (fields_of(self) or {}).items() if name != "state"}


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass or a named tuple by their names, None for other values."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value._asdict() if hasattr(value, "_asdict") else None


def plain(value: Any) -> Any:
    """The value as JSON holds it, with the moments of a mixture, and text where JSON has none."""
    if isinstance(value, GMM) and np.ndim(value.loc) == 2:
        value = moments_of(value)
    fields = fields_of(value)
    value = value if fields is None else fields
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    array = as_array(value)
    return str(value) if array.dtype.kind == "O" else plain(array.tolist())


def _brief(value: Any) -> str:
    if isinstance(value, GMM) and np.ndim(value.loc) == 2:
        k, d = value.loc.shape
        return f"<{k} components, {d} columns, {value.covariance_type}>"
    array = as_array(value)
    if isinstance(value, str) or value is None or array.dtype.kind not in "iuf":
        return type(value).__name__ if array.dtype.kind == "O" and value is not None else str(value)
    if array.size < 2:
        return " ".join(f"{number:.6g}" for number in array.ravel().tolist()) or "<none>"
    first, *_, last = array.ravel().tolist()
    return f"<{first:.4g} to {last:.4g}, {' x '.join(map(str, array.shape))} numbers>"
