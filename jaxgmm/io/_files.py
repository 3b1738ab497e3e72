"""Save a pytree of arrays to a file, and load it."""

import contextlib
import os
import secrets
import shutil
from typing import Any, TypeVar, overload

import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture
from jaxgmm._validation.checks import kind
from jaxgmm.io._archive import FORMAT, VERSION, Archive
from jaxgmm.io._leaves import named_leaves, stored, structure_of

T = TypeVar("T")

Path = str | os.PathLike[str]


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


def _moments(tree: Any) -> dict[str, Any]:
    """Those of one mixture, in float64; of anything else, none."""
    if not isinstance(tree, GMM) or np.ndim(tree.loc) != 2:
        return {}
    checked_mixture("tree", tree)
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
        return (
            np.broadcast_to(scale**2, gmm.loc.shape)
            if family == "diag"
            else np.broadcast_to(scale[:, 0] ** 2, len(gmm.loc))
        )
    rows, columns = np.tril_indices(gmm.num_dims, -1)
    factors = np.broadcast_to(
        scale[:, :, None], (len(gmm.off_diag), gmm.num_dims, gmm.num_dims)
    ) * np.eye(gmm.num_dims)
    factors[:, rows, columns] = np.asarray(gmm.off_diag, np.float64)
    products = factors @ factors.swapaxes(-1, -2)
    return products if family == "full" else products[0]


def _write_whole(path: str, members: dict[str, Any]) -> None:
    """Through a temporary file in the same folder, so that there is a whole file at every moment."""
    if os.path.exists(path) and not os.path.isfile(
        path
    ):  # such as /dev/null, which must not be replaced
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
