"""Mixtures, and fits that are under way, to and from files: archives of arrays (.npz) that NumPy alone can read."""

import contextlib
import io
import math
import os
import secrets
import shutil
import warnings
import zipfile
from typing import Any, TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxgmm._door import check_mixture, checked_sequence
from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import kind

T = TypeVar("T")

Path = str | os.PathLike[str]

FORMAT, VERSION = "jaxgmm", 1

MAGIC = b"PK\x03\x04"

FIELDS = [f"leaves.{field}" for field in ("logits", "loc", "log_diag", "off_diag")]


def save(path: Path, tree: Any) -> None:
    """Write a mixture, a `FitResult` or any other pytree of arrays to a file, from which `load` restores every bit.

    The file is an .npz archive, whatever its name, and the same values make the same bytes. It holds "format", "version",
    "structure" (a name and a dtype for each leaf) and the leaves by these names, such as "leaves.loc"; and for a mixture its
    "covariance_type", "weights", "means" and "covariances", in scikit-learn's shapes, for readers that have NumPy alone.

    It is written beside the old one, which it replaces when it is whole and on the disk: a crash or a full disk in between leaves
    the old file as it was. So a long fit loses at most a chunk of steps with ``progress=lambda r: jaxgmm.save("run.npz", r)``.

    Args:
      path: the file, which may exist.
      tree: what to write: arrays of numbers, plain numbers and random keys, in any pytree.

    Returns:
      None.

    Raises:
      TypeError: a leaf is not an array or a number, or is traced.
      ValueError: tree is a mixture that is not finite, or its leaves have no names of their own.
      OSError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(pathlib.Path(folder, "p.npz"), p)
      ...     print(np.load(pathlib.Path(folder, "p.npz"))["weights"])
      [0.5 0.5]
    """
    path, leaves = _decoded(path), named_leaves(tree)
    about = {"format": FORMAT, "version": VERSION, "structure": structure_of(leaves)}
    arrays = {name: stored(leaf) for name, leaf in leaves.items()}
    _write_whole(os.path.realpath(path), {**about, **_moments(tree), **arrays})


@overload
def load(path: Path) -> GMM: ...


@overload
def load(path: Path, like: T) -> T: ...


def load(path: Path, like: Any = None) -> Any:
    """What `save` has written to a file, bit for bit.

    Nothing in a file is ever run, and no more memory is asked for than the file is long, so a file need not be trusted.

    Args:
      path: the file.
      like: a pytree of the structure, shapes and dtypes to expect; None: the file holds a mixture. An axis of length 0 may have
        any length in the file, such as that of the losses in ``jaxgmm.fit(key, loss, start, optimizer, num_steps=0)``, which a
        fit to go on with is like.

    Returns:
      The mixture, or a pytree as like is. Where JAX has no float64, a mixture in float64 is rounded, with a warning.

    Raises:
      FileNotFoundError, OSError: the file cannot be read.
      TypeError: like has a leaf that no file could hold.
      ValueError: the file is damaged, not one of jaxgmm, of a newer jaxgmm, or does not hold what is expected.

    Example:
      >>> import pathlib, tempfile
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(pathlib.Path(folder, "p.npz"), p)
      ...     print((load(pathlib.Path(folder, "p.npz")).loc == p.loc).all())
      True
    """
    expected = None if like is None else structure_of(named_leaves(like))
    path = _decoded(path)
    with open(path, "rb") as file:
        try:
            archive = Archive(file)
            return archive.mixture() if expected is None else archive.tree(like, expected)
        except ValueError as error:
            raise ValueError(f"{path} cannot be loaded: {error}") from error
        except Exception as error:  # whatever zipfile raises
            raise ValueError(f"{path} cannot be loaded: it is damaged ({error})") from error


def _decoded(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path must be a string or a pathlib.Path, got {kind(path)}") from None


class Archive:
    """The arrays of a file of this format and version, by their names."""

    def __init__(self, file: Any) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("it is not a file of jaxgmm")
        self.size = os.fstat(file.fileno()).st_size
        self.archive = zipfile.ZipFile(file)
        names = self.archive.namelist()
        if "format.npy" not in names or self["format"] != FORMAT or "version.npy" not in names:
            raise ValueError(f"it is not a file of jaxgmm, but an archive of {', '.join(names[:5]) or 'nothing'}")
        if self["version"] > VERSION:
            raise ValueError(f"it is written by a newer jaxgmm (format {self['version']}): upgrade jaxgmm")

    def __getitem__(self, name: str) -> np.ndarray:
        """An array, without trust in what its header says of its size or type."""
        member = self.archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > self.size:
            raise ValueError(f"{name} is compressed or longer than the file, which jaxgmm does not write")
        data = io.BytesIO(self.archive.read(member))
        if np.lib.format.read_magic(data) != (1, 0):
            raise ValueError(f"{name} is not an array that jaxgmm writes")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(data)
        content = data.read()
        if dtype.hasobject or len(content) != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{name} has {len(content)} bytes, which are no array of {shape} {dtype}")
        return np.ndarray(shape, dtype, content, order="F" if fortran_order else "C")

    def mixture(self) -> GMM:
        """The leaves of a mixture, or of a stack of mixtures."""
        dtypes = dict(line.rsplit(": ", 1) for line in self["structure"].tolist())
        if list(dtypes) not in (FIELDS, FIELDS[:3]):
            raise ValueError(
                "it holds no mixture, but another pytree: pass like=, a pytree of the same structure, such as "
                f"jaxgmm.fit(..., num_steps=0) for a FitResult; its leaves are {listed([*dtypes])}"
            )
        leaves: list[Any] = [typed(name, self[name], jnp.dtype(dtype)) for name, dtype in dtypes.items()]
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
            ours, theirs = ([line for line in a if line not in b] for a, b in ((expected, structure), (structure, expected)))
            raise ValueError(f"like has {listed(ours)}, where the file has {listed(theirs)}")
        leaves = [restored(name, self[name], leaf) for name, leaf in named_leaves(like).items()]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


def named_leaves(tree: Any) -> dict[str, Any]:
    paths = jax.tree_util.tree_leaves_with_path(tree)
    named = {f"leaves{jax.tree_util.keystr(path)}": leaf for path, leaf in paths}
    if len(named) < len(paths):
        raise ValueError(f"two leaves have one name, so they could not be told apart: {[*named]}")
    return named


def structure_of(leaves: dict[str, Any]) -> list[str]:
    """A name and a dtype for each leaf, or an error if it could not be stored."""
    for name, leaf in leaves.items():
        if isinstance(leaf, Tracer):
            raise TypeError(f"{name} is traced: save and load outside jax.jit, say in the progress of fit")
        if not (_is_key(leaf) or jnp.issubdtype(_dtype(leaf), np.number) or jnp.issubdtype(_dtype(leaf), np.bool_)):
            raise TypeError(f"{name} is not an array of numbers, which is all that a file holds: {leaf!r}")
    return [f"{name}: {_dtype(leaf)}" for name, leaf in leaves.items()]


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(_dtype(leaf), jax.dtypes.prng_key)


def _storage(dtype: np.dtype) -> np.dtype:
    """The dtype itself if NumPy knows it, or unsigned integers of the same bits, for bfloat16 say."""
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def stored(leaf: Any) -> np.ndarray:
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")
    return array.view(_storage(array.dtype))


def typed(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if array.dtype != _storage(dtype):
        raise ValueError(f"{name} should be {dtype}, but is stored as {array.dtype}")
    return array.view(dtype)


def restored(name: str, array: np.ndarray, like: Any) -> Any:
    """The leaf that was stored, of the kind that like is."""
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    array = typed(name, array, _dtype(like))
    shape = like.shape if hasattr(like, "shape") else ()
    if array.ndim != len(shape) or any(expected not in (0, got) for got, expected in zip(array.shape, shape, strict=True)):
        raise ValueError(f"{name} has shape {array.shape} in the file, and {shape} in like")
    if isinstance(like, np.ndarray | np.generic):
        return array.copy()[()]
    return jnp.asarray(array) if hasattr(like, "dtype") else array.item()


def listed(lines: list[str]) -> str:
    return ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "") if lines else "nothing"


def _check(gmm: GMM) -> None:
    try:
        check_mixture("gmm", gmm) if np.ndim(gmm.loc) == 2 else checked_sequence("gmm", gmm)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _moments(tree: Any) -> dict[str, Any]:
    """Those of one mixture, in float64; of anything else, none."""
    if not isinstance(tree, GMM) or np.ndim(tree.loc) != 2:
        return {}
    check_mixture("tree", tree)
    logits, means = np.asarray(tree.logits, np.float64), np.asarray(tree.loc, np.float64)
    weights = np.exp(logits - logits.max())
    family = tree.covariance_type
    return {
        "covariance_type": family,
        "weights": weights / weights.sum(),
        "means": means,
        "covariances": _covariances(tree, family),
    }


def _covariances(gmm: GMM, family: str) -> np.ndarray:
    """In NumPy, where nothing is compiled, so that a file is written at once."""
    scale = np.exp(np.asarray(gmm.log_diag, np.float64))
    if gmm.off_diag is None:
        return np.broadcast_to(scale**2, gmm.loc.shape) if family == "diag" else np.broadcast_to(scale[:, 0] ** 2, len(gmm.loc))
    rows, columns = np.tril_indices(gmm.num_dims, -1)
    factors = np.broadcast_to(scale[:, :, None], (len(gmm.off_diag), gmm.num_dims, gmm.num_dims)) * np.eye(gmm.num_dims)
    factors[:, rows, columns] = np.asarray(gmm.off_diag, np.float64)
    products = factors @ factors.swapaxes(-1, -2)
    return products if family == "full" else products[0]


def _write_whole(path: str, members: dict[str, Any]) -> None:
    """Through a temporary file in the same folder, so that there is a whole file at every moment."""
    if os.path.exists(path) and not os.path.isfile(path):  # such as /dev/null, which must not be replaced
        with open(path, "wb") as file:
            np.savez(file, **members)
        return
    temporary = os.path.join(os.path.dirname(path), f".jaxgmm-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **members)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):  # which names the temporary file
            raise OSError(error.errno, error.strerror, path) from error
        raise
