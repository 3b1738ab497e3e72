"""Read an archive of arrays without trust in what it says of itself."""

import io
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
from jaxgmm.io._leaves import listed, named_leaves, restored, typed

FORMAT, VERSION = "jaxgmm", 1

MAGIC = b"PK\x03\x04"

FIELDS = [f"leaves.{field}" for field in ("logits", "loc", "log_diag", "off_diag")]


class Archive:
    """The arrays of a file of this format and version, by their names."""

    def __init__(self, file: Any) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("it is not a file of jaxgmm")
        self.size = os.fstat(file.fileno()).st_size
        self.archive = zipfile.ZipFile(file)
        names = self.archive.namelist()
        if "format.npy" not in names or self["format"] != FORMAT or "version.npy" not in names:
            raise ValueError(
                f"it is not a file of jaxgmm, but an archive of {', '.join(names[:5]) or 'nothing'}"
            )
        if self["version"] > VERSION:
            raise ValueError(
                f"it is written by a newer jaxgmm (format {self['version']}): upgrade jaxgmm"
            )

    def __getitem__(self, name: str) -> np.ndarray:
        """An array, without trust in what its header says of its size or type."""
        member = self.archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > self.size:
            raise ValueError(
                f"{name} is compressed or longer than the file, which jaxgmm does not write"
            )
        data = io.BytesIO(self.archive.read(member))
        if np.lib.format.read_magic(data) != (1, 0):
            raise ValueError(f"{name} is not an array that jaxgmm writes")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(data)
        content = data.read()
        if dtype.hasobject or len(content) != dtype.itemsize * math.prod(shape):
            raise ValueError(
                f"{name} has {len(content)} bytes, which are no array of {shape} {dtype}"
            )
        return np.ndarray(shape, dtype, content, order="F" if fortran_order else "C")

    def mixture(self) -> GMM:
        """The leaves of a mixture, or of a stack of mixtures."""
        dtypes = dict(line.rsplit(": ", 1) for line in self["structure"].tolist())
        if list(dtypes) not in (FIELDS, FIELDS[:3]):
            raise ValueError(
                "it holds no mixture, but another pytree: pass like=, a pytree of the same structure, such as "
                f"jaxgmm.fit(..., num_steps=0) for a FitResult; its leaves are {listed([*dtypes])}"
            )
        leaves: list[Any] = [
            typed(name, self[name], jnp.dtype(dtype)) for name, dtype in dtypes.items()
        ]
        gmm = GMM(*leaves, *[None] * (len(FIELDS) - len(leaves)))
        _check(gmm)
        if jnp.result_type(gmm.loc) != gmm.loc.dtype:
            message = f'it is in {gmm.loc.dtype}, and is rounded: jax.config.update("jax_enable_x64", True) keeps it'
            warnings.warn(message, stacklevel=3)
        return jax.tree.map(jnp.asarray, gmm)

    def tree(self, like: Any, expected: list[str]) -> Any:
        """The leaves of a pytree of that structure."""
        structure = self["structure"].tolist()
        if structure != expected:
            ours, theirs = (
                [line for line in a if line not in b]
                for a, b in ((expected, structure), (structure, expected))
            )
            raise ValueError(f"like has {listed(ours)}, where the file has {listed(theirs)}")
        leaves = [restored(name, self[name], leaf) for name, leaf in named_leaves(like).items()]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _check(gmm: GMM) -> None:
    try:
        (checked_mixture if np.ndim(gmm.loc) == 2 else checked_mixtures)("gmm", gmm)
    except TypeError as error:
        raise ValueError(str(error)) from error
