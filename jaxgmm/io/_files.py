"""Save pytrees of arrays to files, load them, and keep compiled programs in a folder."""

import contextlib
import json
import os
import pathlib
import platform
import secrets
import shutil
import sys
from typing import Any

import jax
import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import moments_of
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._validation.checks import kind
from jaxgmm.io import _archive

Path = str | os.PathLike[str]


def save(path: Path, tree: Any) -> None:
    """Write a mixture, a result or another pytree to a file; `load` restores it bit for bit.

    The file is an .npz archive, whatever its name, and the same values make the same bytes. It
    holds "format", "version", "structure" (a name and a dtype for each leaf) and each leaf by its
    name, such as "leaves.loc". The file of a mixture also holds its "covariance_type", "weights",
    "means" and "covariances" in scikit-learn's shapes, for readers that have NumPy alone. That of
    a result, such as a `TwoSampleResult`, holds all else in JSON, as "result".

    A new file is complete on the disk before it replaces the old one, so a crash or a full disk
    leaves the old file as it was. With ``progress=lambda r: jaxgmm.save("run.npz", r)``, a long
    `fit` that is killed loses at most one chunk of steps.

    Args:
      path: the file, which may exist.
      tree: any result, or pytree of arrays of numbers, plain numbers and random keys.

    Returns:
      None.

    Raises:
      TypeError: path is neither a string nor a path.
      TypeError: a leaf is traced, or is not an array of numbers, a number or a key.
      ValueError: tree is a mixture that is not finite, or two leaves have the same name.
      OSError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(pathlib.Path(folder, "p.npz"), p)
      ...     print(np.load(pathlib.Path(folder, "p.npz"))["weights"])
      [0.5 0.5]
    """
    path = _decoded(path)
    about: dict[str, Any] = {"format": _archive.FORMAT, "version": _archive.VERSION}
    leaves, arrays = _archive.named_leaves(tree), {}
    if _archive.class_of(type(tree).__name__) is type(tree) and not isinstance(tree, GMM):
        with contextlib.suppress(TypeError):  # the state of an optimiser needs like=
            about["result"] = json.dumps(_archive.encoded("leaves", tree, arrays))
            leaves = {name: leaf for name, leaf in leaves.items() if leaf is not tree} | arrays
    about["structure"] = _archive.structure_of(leaves)
    arrays = {name: _archive.stored(leaf) for name, leaf in leaves.items()}
    if isinstance(tree, GMM) and np.ndim(tree.loc) == 2:
        about |= moments_of(checked_mixture("tree", tree))._asdict()
    _write_whole(os.path.realpath(path), about | arrays)


def load(path: Path, like: Any = None) -> Any:
    """The mixture, result or other pytree in a file that `save` has written, bit for bit.

    A file from others need not be trusted: nothing in it is run, and no more memory is allocated
    than the file is long.

    Args:
      path: the file.
      like: a pytree with the structure, shapes and dtypes that the file must have. None is for a
        mixture, and for each result but a `FitResult`. An axis of length 0 in like may have any
        length in the file: so have the losses of ``jaxgmm.fit(..., num_steps=0)``, for saved fits.

    Returns:
      The mixture, the result, or a pytree of the structure of like. Numbers in float64 are rounded,
      for a mixture with a warning, where JAX's float64 is not enabled.

    Raises:
      TypeError: path is neither a string nor a path, or like has a leaf that a file cannot hold.
      OSError: the file cannot be read.
      ValueError: the file is damaged, or was written by a newer jaxgmm or not by `save`.
      ValueError: the file does not hold a mixture or a result, or a pytree such as like.

    Example:
      >>> import pathlib, tempfile
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(pathlib.Path(folder, "p.npz"), p)
      ...     print((load(pathlib.Path(folder, "p.npz")).loc == p.loc).all())
      True
    """
    expected = None if like is None else _archive.structure_of(_archive.named_leaves(like))
    path = _decoded(path)
    with open(path, "rb") as file:
        try:
            archive = _archive.Archive(file)
            return archive.value() if expected is None else archive.tree(like, expected)
        except ValueError as error:
            raise ValueError(f"{path} cannot be loaded: {error}") from error
        except Exception as error:  # zipfile and NumPy raise many types on a damaged file
            raise ValueError(f"{path} cannot be loaded: it is damaged ({error})") from error


def _decoded(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path must be a string or a pathlib.Path, got {kind(path)}") from None


def _write_whole(path: str, members: dict[str, Any]) -> None:
    """Write a temporary file in the same folder, then move it to path, which is always complete."""
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or /dev/null is never replaced
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
        if isinstance(error, OSError):  # its own message would name the temporary file
            raise OSError(error.errno, error.strerror, path) from error
        raise


MAX_BYTES = 2**28  # of the programs in the folder


def keep_compiled_programs(folder: Path | None = None) -> None:
    """Keep the programs that JAX compiles in a folder, from which later processes load them.

    The first call of a function compiles it, which takes longer than most computations. This call
    changes settings of JAX for the whole process, and so it keeps the programs of other libraries
    too; importing the package changes none. Call it before the first computation. If the folder
    holds more than 256 MB, the programs that were not used for the longest time are deleted.

    Args:
      folder: the folder, which is made if there is none. None is a folder for this machine in
        ``jaxgmm`` in the user's folder of caches: ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS
        ``~/Library/Caches``, on Windows ``%LOCALAPPDATA%``.

    Raises:
      OSError: the folder cannot be made, or not be written to.
      RuntimeError: folder is None, and the user has no home.

    Example:
      >>> import jaxgmm
      >>> jaxgmm.io.keep_compiled_programs()  # doctest: +SKIP
    """
    # Programs are made for the processor, so machines that share a home share no folder.
    path = pathlib.Path(_of_user() / platform.node() if folder is None else folder)
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is read-only, so programs cannot be kept there")
    _prune(path, MAX_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _of_user() -> pathlib.Path:
    """The folder of the package among the user's caches, by the conventions of the platform."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or pathlib.Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = pathlib.Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "jaxgmm"


def _prune(folder: pathlib.Path, max_bytes: int) -> None:
    """Delete the programs that were used last long ago, until the rest has so many bytes."""
    # JAX does so only by a library for locks, which is not always there.
    found: list[tuple[float, int, pathlib.Path]] = []
    with contextlib.suppress(OSError):  # another process may delete them, too
        for path in folder.glob("*-cache"):
            about = path.stat()
            found.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > max_bytes:
            path.unlink(missing_ok=True)
