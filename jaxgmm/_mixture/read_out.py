"""Mixtures and results as NumPy arrays, and as the plain numbers and words that JSON holds."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import as_array


class Moments(NamedTuple):
    """The moments of a mixture in float64, in the shapes that `GMM.from_moments` takes."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str


def moments_of(gmm: GMM) -> Moments:
    """The moments of a mixture that is not traced."""
    logits = np.asarray(gmm.logits, np.float64)
    weights = np.exp(logits - logits.max())
    means = np.asarray(gmm.loc, np.float64)
    kind = gmm.covariance_type
    if kind in ("full", "tied"):
        factors = cholesky_factors_of(gmm)
        products = factors @ factors.swapaxes(-1, -2)
        covariances = products if kind == "full" else products[0]
    else:
        variances = np.exp(np.asarray(gmm.log_diag, np.float64)) ** 2
        variances = variances if kind == "diag" else variances[:, 0]
        covariances = np.broadcast_to(variances, means.shape[: variances.ndim])
    return Moments(weights / weights.sum(), means, covariances, kind)


def cholesky_factors_of(gmm: GMM) -> np.ndarray:
    """The Cholesky factors (K, D, D), or (1, D, D) where all components share one."""
    d = gmm.num_dims
    scale = np.exp(np.asarray(gmm.log_diag, np.float64))
    below = np.zeros((1, d * (d - 1) // 2)) if gmm.off_diag is None else np.asarray(gmm.off_diag)
    factors = np.zeros((max(len(scale), len(below)), d, d))
    factors[:, *np.diag_indices(d)] = scale
    factors[:, *np.tril_indices(d, -1)] = below
    return factors


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
