"""Files that are damaged, foreign or hostile: an error that says why, and nothing else."""

import io
import os
import pathlib
import pickle
import re
import tempfile
import tracemalloc
import zipfile

import numpy as np
import pytest

import jaxgmm
from jaxgmm import GMM
from support.long import first_by_default
from support.mixtures import PAIRS, gmm
from support.trees import assert_same

P = gmm(PAIRS["plane"][0])


def damaged(path: pathlib.Path, content: bytes) -> bool:
    """Whether it is an error that names the file; else it must be the mixture itself."""
    path.write_bytes(content)
    try:
        loaded = jaxgmm.load(path)
    except ValueError as error:
        return str(error).startswith(f"{path} cannot be loaded: ")
    assert_same(loaded, P)
    return False


@pytest.mark.parametrize("step", first_by_default([23, 2]))
def test_truncated_anywhere(step, tmp_path):
    path = tmp_path / "p.npz"
    jaxgmm.save(path, P)
    whole = path.read_bytes()
    assert all(damaged(path, whole[:length]) for length in range(0, len(whole), step))
    assert damaged(path, whole[:-1])
    assert not damaged(path, whole)


def flip(content: bytes, bit: int) -> bytes:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


@pytest.mark.parametrize("step", first_by_default([101, 11]))
def test_any_bit_flipped(step, tmp_path):
    path = tmp_path / "p.npz"
    jaxgmm.save(path, P)
    whole = path.read_bytes()
    found = [damaged(path, flip(whole, bit)) for bit in range(0, 8 * len(whole), step)]
    assert 0.5 < np.mean(found) < 1  # a date, say, may be any


def archive(members: dict[str, np.ndarray | bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of arrays, or of bytes that only pretend to be arrays."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name, member in members.items():
            content = member
            if not isinstance(member, bytes):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.asarray(member), version=(1, 0))
                content = buffer.getvalue()
            zipped.writestr(f"{name}.npy", content)
    return file.getvalue()


def members_of(p: GMM) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        jaxgmm.save(os.path.join(folder, "p"), p)
        with np.load(os.path.join(folder, "p")) as file:
            return dict(file)


GOOD = members_of(P)


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"shape": shape, "fortran_order": False, "descr": descr}
    )
    return buffer.getvalue()


class Trap:
    """Whoever unpickles it leaves a trace."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def dumped(value) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


BAD = {
    "empty": (b"", "it is not a file of jaxgmm"),
    "text": (b"x,y\n1,2\n", "it is not a file of jaxgmm"),
    "pickle": (pickle.dumps(Trap()), "it is not a file of jaxgmm"),
    "array": (dumped(np.ones(3)), "it is not a file of jaxgmm"),
    "objects": (dumped(np.array([Trap()])), "it is not a file of jaxgmm"),
    "other archive": (
        archive({"x": np.ones(3)}),
        "it is not a file of jaxgmm, but an archive of x.npy",
    ),
    "other format": (
        archive({"format": "tinygmm", "version": 1}),
        "it is not a file of jaxgmm, but an archive of format.npy",
    ),
    "newer": (
        archive({**GOOD, "version": 2}),
        "it is written by a newer jaxgmm (format 2): upgrade jaxgmm",
    ),
    "newest": (
        archive({"format": "jaxgmm", "version": 99}),
        "it is written by a newer jaxgmm (format 99): upgrade jaxgmm",
    ),
    "no structure": (archive({"format": "jaxgmm", "version": 1}), "it is damaged"),
    "a leaf less": (
        archive({k: v for k, v in GOOD.items() if k != "leaves.off_diag"}),
        "it is damaged",
    ),
    "objects inside": (archive({**GOOD, "leaves.loc": np.array([[Trap()]])}), "leaves.loc has "),
    "objects as structure": (archive({**GOOD, "structure": np.array([Trap()])}), "structure has "),
    "numbers as structure": (archive({**GOOD, "structure": np.ones(4)}), "it is damaged"),
    "another dtype": (
        archive({**GOOD, "leaves.loc": GOOD["leaves.loc"].astype("<f4")}),
        "leaves.loc should be float64, but is",
    ),
    "integers": (
        archive(
            {
                **GOOD,
                "leaves.loc": np.ones((2, 2), int),
                "structure": [*GOOD["structure"][:1], "leaves.loc: int64"],
            }
        ),
        "it holds no mixture",
    ),
    "NaN": (
        archive({**GOOD, "leaves.loc": GOOD["leaves.loc"] * np.nan}),
        "gmm.loc holds NaN or infinity",
    ),
    "shapes": (archive({**GOOD, "leaves.loc": np.ones((3, 2))}), "gmm.logits must have shape (3,)"),
    "no axis": (archive({**GOOD, "leaves.loc": np.ones(())}), "gmm is one mixture"),
    "compressed": (
        archive(GOOD, zipfile.ZIP_DEFLATED),
        "format is compressed or longer than the file",
    ),
    "bomb": (
        archive({**GOOD, "leaves.loc": np.zeros((10**7, 2))}, zipfile.ZIP_DEFLATED),
        "format is compressed",
    ),
    "a bomb inside": (
        archive(GOOD)[:-22] + archive({"leaves.loc": np.zeros(10**7)}, zipfile.ZIP_DEFLATED),
        "it is not a file of jaxgmm, but an archive of leaves.loc",
    ),
    "boast": (
        archive({**GOOD, "leaves.loc": header((10**12, 2)) + bytes(32)}),
        "leaves.loc has 32 bytes, which are no array of",
    ),
    "addresses": (
        archive({**GOOD, "leaves.loc": header((2, 2), "|O") + b"\x01" * 32}),
        "leaves.loc has 32 bytes, which are no array of (2, 2) object",
    ),
    "negative": (
        archive({**GOOD, "leaves.loc": header((-2, -2)) + bytes(32)}),
        "negative dimensions",
    ),
    "short": (archive({**GOOD, "leaves.loc": b"\x93NUM"}), ""),
    "not NumPy's": (archive({**GOOD, "leaves.loc": bytes(200)}), ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name, tmp_path, monkeypatch):
    """Each is an error that says why; none is run, and none takes memory that the file does not
    have.
    """
    monkeypatch.chdir(tmp_path)
    content, message = BAD[name]
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    for like in (
        (None,) if name == "NaN" else (None, P)
    ):  # which is legal in a run that diverged, say
        tracemalloc.start()
        with pytest.raises(
            ValueError,
            match=re.escape(f"{path} cannot be loaded: {message}") if like is None else "cannot be",
        ):
            jaxgmm.load(path, like=like)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10**7
    assert os.listdir(tmp_path) == ["bad.npz"]
