"""Compiled programs in a folder, from which later processes load them."""

import contextlib
import os
import pathlib
import platform
import sys

import jax

MAX_BYTES = 2**28  # of the programs in the folder


def keep_compiled_programs(folder: str | os.PathLike[str] | None = None) -> None:
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
