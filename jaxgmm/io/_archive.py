"""Read an archive of arrays whose headers are not trusted."""

import io
import json
import math
import os
import warnings
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture, checked_mixtures
from jaxgmm.io._leaves import decoded, listed, named_leaves, restored, typed

FORMAT = "jaxgmm"
VERSION = 1
MAGIC = b"PK\x03\x04"  # the first bytes of a zip file
ADDED = ".state.best_mean: "  # what files of a FitResult lacked at first, and like has
FIELDS = [f"leaves.{field}" for field in ("logits", "loc", "log_diag", "off_diag")]


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
