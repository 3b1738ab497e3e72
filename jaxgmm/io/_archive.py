"""Archives of arrays whose headers are not trusted, and pytrees as arrays and JSON."""

import dataclasses
import datetime
import io
import json
import math
import os
import sys
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import fields_of
from jaxgmm._mixture.validation import checked_mixture, checked_mixtures
from jaxgmm._validation.checks import quoted

FORMAT = "jaxgmm"
VERSION = 1
MAGIC = b"PK\x03\x04"  # the first bytes of a zip file
ADDED = ".state.best_mean: "  # what files of a FitResult lacked at first, and like has
FIELDS = [f"leaves.{field}" for field in ("logits", "loc", "log_diag", "off_diag")]
STORABLE = (jax.dtypes.prng_key, np.number, np.bool_)


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their names, such as "leaves.loc"."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    named = {f"leaves{jax.tree_util.keystr(path)}": leaf for path, leaf in paths}
    if len(named) < len(paths):
        raise ValueError(f"two leaves have one name, so they could not be told apart: {[*named]}")
    return named


def structure_of(leaves: dict[str, Any]) -> list[str]:
    """A name and a dtype for each leaf, or an error if a leaf cannot be stored."""
    for name, leaf in leaves.items():
        if isinstance(leaf, Tracer):
            mend = "save and load outside jax.jit, say in the progress of fit"
            raise TypeError(f"{name} is traced: {mend}")
        if not any(jnp.issubdtype(_dtype(leaf), type_) for type_ in STORABLE):
            problem = "is not an array of numbers, which is all that a file holds"
            raise TypeError(f"{name} {problem}: {quoted(leaf)}")
    return [f"{name}: {_dtype(leaf)}" for name, leaf in leaves.items()]


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def _storage(dtype: np.dtype) -> np.dtype:
    """The dtype if NumPy alone can read it, else (bfloat16, say) unsigned integers of its size."""
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def stored(leaf: Any) -> np.ndarray:
    is_key = jnp.issubdtype(_dtype(leaf), jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if is_key else leaf, order="C")
    return array.view(_storage(array.dtype))


def typed(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if array.dtype != _storage(dtype):
        raise ValueError(f"{name} should be {dtype}, but is stored as {array.dtype}")
    return array.view(dtype)


def restored(name: str, array: np.ndarray, like: Any) -> Any:
    """The leaf of a stored array: a key, an array of NumPy or JAX, or a number, as ``like`` is."""
    if jnp.issubdtype(_dtype(like), jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    array = typed(name, array, _dtype(like))
    shape = like.shape if hasattr(like, "shape") else ()
    if array.ndim != len(shape) or any(
        expected not in (0, got) for got, expected in zip(array.shape, shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {array.shape} in the file, and {shape} in like")
    if isinstance(like, np.ndarray | np.generic):
        return array.copy()[()]
    return jnp.asarray(array) if hasattr(like, "dtype") else array.item()


def listed(lines: list[str]) -> str:
    """The first three lines, and how many more there are."""
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return ", ".join(lines[:3]) + more if lines else "nothing"


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
        items: list[Any] = []
        for key, one in value.items():
            place = f"{name}[{key!r}]"
            items.append([encoded(f"key of {place}", key, arrays), encoded(place, one, arrays)])
        return {"dict": items}
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
        return cls(**fields)
    except TypeError as error:
        raise ValueError(f"its {kind} is of another version of jaxgmm: {error}") from error


class Archive:
    """The arrays of a file that `save` has written, by their names."""

    def __init__(self, file: Any) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("it is not a file of jaxgmm")
        self.size = os.fstat(file.fileno()).st_size
        self.archive = zipfile.ZipFile(file)
        names = self.archive.namelist()
        if "format.npy" not in names or self["format"] != FORMAT or "version.npy" not in names:
            held = ", ".join(names[:5]) or "nothing"
            raise ValueError(f"it is not a file of jaxgmm, but an archive of {held}")
        if self["version"] > VERSION:
            version = self["version"]
            raise ValueError(f"it is written by a newer jaxgmm (format {version}): upgrade jaxgmm")

    def __getitem__(self, name: str) -> np.ndarray:
        """An array, or an error if its header does not fit the file and the bytes of the array."""
        member = self.archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > self.size:
            fault = "is compressed or longer than the file"
            raise ValueError(f"{name} {fault}, which jaxgmm does not write")
        file = io.BytesIO(self.archive.read(member))
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is not an array that jaxgmm writes")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        data = file.read()
        if dtype.hasobject or len(data) != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{name} has {len(data)} bytes, which are no array of {shape} {dtype}")
        return np.ndarray(shape, dtype, data, order="F" if fortran_order else "C")

    def value(self) -> Any:
        """The result, mixture or stack of mixtures in the file."""
        dtypes = dict(line.rsplit(": ", 1) for line in self["structure"].tolist())
        if "result.npy" in self.archive.namelist():
            result = json.loads(str(self["result"]))
            return decoded(result, lambda name: typed(name, self[name], jnp.dtype(dtypes[name])))
        if list(dtypes) not in (FIELDS, FIELDS[:3]):
            such = "of the same structure, such as jaxgmm.fit(..., num_steps=0) for a FitResult"
            problem = f"it holds no mixture, but another pytree: pass like=, a pytree {such}"
            raise ValueError(f"{problem}; its leaves are {listed([*dtypes])}")
        leaves: list[Any] = [typed(name, self[name], jnp.dtype(d)) for name, d in dtypes.items()]
        gmm = GMM(*leaves, *[None] * (len(FIELDS) - len(leaves)))
        try:
            (checked_mixture if np.ndim(gmm.loc) == 2 else checked_mixtures)("gmm", gmm)
        except TypeError as error:  # any fault of a file is a ValueError
            raise ValueError(str(error)) from error
        if jnp.result_type(gmm.loc) != gmm.loc.dtype:
            mend = 'jax.config.update("jax_enable_x64", True) keeps it'
            warnings.warn(f"it is in {gmm.loc.dtype}, and is rounded: {mend}", stacklevel=3)
        return jax.tree.map(jnp.asarray, gmm)

    def tree(self, like: Any, expected: list[str]) -> Any:
        """The pytree in the file, or an error if ``like`` has another structure."""
        structure = self["structure"].tolist()
        added = [line for line in expected if ADDED in line and line not in structure]
        kept = [line for line in expected if line not in added]
        if structure != kept:
            ours = [line for line in expected if line not in structure + added]
            theirs = [line for line in structure if line not in expected]
            raise ValueError(f"like has {listed(ours)}, where the file has {listed(theirs)}")
        lacking = {line.rpartition(": ")[0] for line in added}
        leaves = [
            leaf if name in lacking else restored(name, self[name], leaf)
            for name, leaf in named_leaves(like).items()
        ]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)
