"""Files: every bit comes back, whatever happens while one is written, and nothing bad that is read
does harm.
"""

import dataclasses
import os
import re
import stat
import tempfile
import zipfile

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import jaxgmm
from jaxgmm import GMM
from oracles import dense
from support.covariance_types import TYPES
from support.mixtures import PAIRS, gmm
from support.trees import assert_same

P, Q = (gmm(mixture) for mixture in PAIRS["plane"])


def mixture_of_type(covariance_type: str, k: int, d: int, dtype) -> GMM:
    """Any bits will do, those of a component without weight among them."""
    rng = np.random.default_rng(k)
    rows, columns = (
        (1 if covariance_type == "tied" else k),
        (1 if covariance_type == "spherical" else d),
    )
    shapes = {
        "logits": (k,),
        "loc": (k, d),
        "log_diag": (rows, columns),
        "off_diag": (rows, d * (d - 1) // 2),
    }
    leaves = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    leaves["logits"][1:2] = -np.inf
    leaves = {name: jnp.asarray(leaf.astype(dtype)) for name, leaf in leaves.items()}
    return GMM(
        **{
            **leaves,
            "off_diag": leaves["off_diag"] if covariance_type in ("full", "tied") else None,
        }
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_bit_of_a_mixture(covariance_type, dtype, tmp_path):
    for k, d in ((3, 2), (1, 1)):
        p = mixture_of_type(covariance_type, k, d, dtype)
        jaxgmm.save(tmp_path / "p.npz", p)
        assert_same(jaxgmm.load(tmp_path / "p.npz"), p)
        assert_same(jaxgmm.load(tmp_path / "p.npz", like=jax.tree.map(jnp.zeros_like, p)), p)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_moments_for_readers_that_have_numpy_alone(covariance_type, tmp_path):
    p = mixture_of_type(covariance_type, 3, 2, np.float64)
    jaxgmm.save(tmp_path / "p.npz", p)
    file = np.load(tmp_path / "p.npz", allow_pickle=False)
    off_diag = None if p.off_diag is None else np.broadcast_to(p.off_diag, (3, 1))
    expected = dense.from_unconstrained(
        np.asarray(p.logits), np.asarray(p.loc), np.broadcast_to(p.log_diag, (3, 2)), off_diag
    )
    np.testing.assert_allclose(file["weights"], expected.weights, atol=1e-15)
    np.testing.assert_allclose(file["means"], expected.means, atol=1e-15)
    shaped = {
        "full": expected.covariances,
        "tied": expected.covariances[0],
        "diag": np.diagonal(expected.covariances, axis1=1, axis2=2),
        "spherical": expected.covariances[:, 0, 0],
    }[covariance_type]
    assert file["covariances"].shape == shaped.shape
    np.testing.assert_allclose(file["covariances"], shaped, rtol=1e-14)
    assert (file["format"], file["version"], file["covariance_type"]) == (
        "jaxgmm",
        1,
        covariance_type,
    )


def test_a_stack_of_mixtures(tmp_path):
    stacked = jaxgmm.stack([P, Q])
    jaxgmm.save(tmp_path / "stack.npz", stacked)
    assert_same(jaxgmm.load(tmp_path / "stack.npz"), stacked)


@pytest.mark.smoke
def test_any_pytree(tmp_path):
    tree = {
        "network": [jnp.ones((2, 3), jnp.bfloat16), (np.arange(3), np.float32(2.5))],
        "it's: a/\\\n\0name": {"step": 7, "rate": 0.1, "on": True, "nothing": None},
        "key": jax.random.split(jax.random.key(3, impl="rbg"), 2),
        "empty": jnp.zeros((0, 3), np.int8),
    }
    jaxgmm.save(tmp_path / "tree", tree)
    assert_same(jaxgmm.load(tmp_path / "tree", like=tree), tree)
    for bare in (jnp.arange(3.0), 2.5, ()):
        jaxgmm.save(tmp_path / "bare", bare)
        assert_same(jaxgmm.load(tmp_path / "bare", like=bare), bare)
    jaxgmm.save(tmp_path / "shapes", [jnp.ones(3)])
    assert_same(
        jaxgmm.load(tmp_path / "shapes", like=[jax.ShapeDtypeStruct((3,), np.float64)]),
        [jnp.ones(3)],
    )


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            P,
            "like has leaves.logits: float64, leaves.loc: float64, "
            "leaves.log_diag: float64 and 1 more, "
            "where the file has leav",
        ),
        ([jnp.ones(2), jnp.ones(3)], "like has leaves[1]: float64, where the file has nothing"),
        ([], "like has nothing, where the file has leaves[0]: float64"),
        (
            [jnp.ones(2, np.float32)],
            "like has leaves[0]: float32, where the file has leaves[0]: float64",
        ),
        ([jnp.ones(3)], "leaves[0] has shape (2,) in the file, and (3,) in like"),
        ([jnp.ones((2, 1))], "leaves[0] has shape (2,) in the file, and (2, 1) in like"),
        ([1.0], "leaves[0] has shape (2,) in the file, and () in like"),
        (
            None,
            "it holds no mixture, but another pytree: pass like=, "
            "a pytree of the same structure, such as",
        ),
    ],
)
def test_a_file_that_is_not_like_that(like, message, tmp_path):
    path = tmp_path / "one.npz"
    jaxgmm.save(path, [jnp.ones(2)])
    with pytest.raises(ValueError, match=re.escape(f"{path} cannot be loaded: {message}")):
        jaxgmm.load(path, like=like)


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(
        TypeError,
        match=re.escape(
            "leaves['a'] is not an array of numbers, which is all that a file holds: 'b'"
        ),
    ):
        jaxgmm.save(tmp_path / "x", {"a": "b"})
    with pytest.raises(TypeError, match="leaves is not an array of numbers"):
        jaxgmm.save(tmp_path / "x", np.array([None]))
    with pytest.raises(TypeError, match=r"leaves\.logits is traced: save and load outside"):
        jax.jit(lambda p: jaxgmm.save(tmp_path / "x", p))(P)
    with pytest.raises(ValueError, match=re.escape("tree.loc holds NaN or infinity")):
        jaxgmm.save(tmp_path / "x", dataclasses.replace(P, loc=np.full((2, 2), np.nan)))
    with pytest.raises(TypeError, match=r"path must be a string or a pathlib\.Path, got int"):
        jaxgmm.save(3, P)
    with pytest.raises(TypeError, match=r"path must be a string or a pathlib\.Path, got int"):
        jaxgmm.load(3)
    assert os.listdir(tmp_path) == []


def test_float64_where_jax_has_none(tmp_path):
    jaxgmm.save(tmp_path / "p.npz", P)
    with jax.enable_x64(False):
        with pytest.warns(UserWarning, match="it is in float64, and is rounded: jax.config.update"):
            rounded = jaxgmm.load(tmp_path / "p.npz")
        assert_same(rounded, jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float32), P))


@pytest.mark.smoke
def test_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        jaxgmm.save(tmp_path / name, P)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert {member.date_time for member in zipfile.ZipFile(tmp_path / "a").infolist()} == {
        (1980, 1, 1, 0, 0, 0)
    }


def test_permissions_and_links(tmp_path):
    """Those of any new file, or those that the old one has; a link stays a link."""
    path = tmp_path / "p.npz"
    before = os.umask(0o027)
    try:
        jaxgmm.save(path, P)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        (tmp_path / "link").symlink_to("p.npz")
        jaxgmm.save(tmp_path / "link", Q)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink()
    assert_same(jaxgmm.load(path), Q)
    assert sorted(os.listdir(tmp_path)) == ["link", "p.npz"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as Unix has them")
def test_a_pipe_stays_a_pipe(tmp_path):
    """As a device does: what is no file is written to, and not replaced."""
    jaxgmm.save(tmp_path / "p.npz", P)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        jaxgmm.save(tmp_path / "pipe", P)
        (tmp_path / "read.npz").write_bytes(os.read(reader, 2**16))
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert_same(jaxgmm.load(tmp_path / "read.npz"), P)


class Crash(BaseException):
    """Stands for what is no Exception, such as an interrupt."""


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), Crash(), KeyboardInterrupt()]
)
@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file(broken, error, tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    jaxgmm.save(path, P)

    def fails(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fails)
        for name in (path, tmp_path / "new.npz"):
            with pytest.raises(type(error)) as caught:
                jaxgmm.save(name, Q)
            assert not isinstance(error, OSError) or caught.value.filename == str(name)
    assert os.listdir(tmp_path) == ["p.npz"]
    assert_same(jaxgmm.load(path), P)


def test_a_full_disk(tmp_path):
    """At a limit on the length of files, the system refuses to write on, as at the end of a disk,
    wherever that is.
    """
    resource = pytest.importorskip("resource")
    path = tmp_path / "p.npz"
    jaxgmm.save(path, P)
    length = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 1, length // 2, length - 1):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            with pytest.raises(OSError, match=re.escape(str(path))):
                jaxgmm.save(path, Q)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["p.npz"]
    assert_same(jaxgmm.load(path), P)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="users as Unix has them")
def test_a_read_only_folder():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "p.npz")
        jaxgmm.save(path, P)
        os.chmod(folder, 0o555)
        user = os.geteuid()
        try:
            if user == 0:  # who may write anywhere
                os.seteuid(65534)
            with pytest.raises(PermissionError, match=re.escape(path)):
                jaxgmm.save(path, Q)
            assert_same(jaxgmm.load(path), P)
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o755)
        assert os.listdir(folder) == ["p.npz"]


def test_folders_and_missing_files(tmp_path):
    for act, path, error in [
        (jaxgmm.load, tmp_path, IsADirectoryError),
        (jaxgmm.load, tmp_path / "none.npz", FileNotFoundError),
        (lambda path: jaxgmm.save(path, P), tmp_path, IsADirectoryError),
        (lambda path: jaxgmm.save(path, P), tmp_path / "none" / "p.npz", FileNotFoundError),
    ]:
        with pytest.raises(error, match=re.escape(str(path))):
            act(path)
