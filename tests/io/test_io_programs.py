"""The folder of compiled programs, by the conventions of each platform, and its size."""

import os
import pathlib
import sys

import jax
import pytest

from jaxgmm.io import _files, keep_compiled_programs


@pytest.fixture
def settings(monkeypatch):
    """The settings of JAX that are made, but which are not set in the process of the tests."""
    made = {}
    monkeypatch.setattr(jax.config, "update", made.__setitem__)
    return made


@pytest.mark.parametrize(
    ("system", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "{}/x"}, "x"),
        ("linux", {"XDG_CACHE_HOME": ""}, ".cache"),
        ("darwin", {"XDG_CACHE_HOME": "{}/x"}, "Library/Caches"),
        ("win32", {"LOCALAPPDATA": "{}/Local"}, "Local"),
    ],
)
def test_the_folder_of_each_platform(system, variables, folder, monkeypatch, tmp_path, settings):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(pathlib.Path, "home", lambda: tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    keep_compiled_programs()
    path = pathlib.Path(settings["jax_compilation_cache_dir"])
    assert path.parent == tmp_path / folder / "jaxgmm"
    assert path.is_dir()
    # By default, JAX keeps no programs that compile within a second.
    assert settings["jax_persistent_cache_min_compile_time_secs"] == 0
    assert settings["jax_persistent_cache_min_entry_size_bytes"] == -1


def test_the_programs_used_last_are_kept(monkeypatch, tmp_path, settings):
    monkeypatch.setattr(_files, "MAX_BYTES", 25)
    for name, age in (("a-cache", 1), ("b-cache", 300), ("c-cache", 200), ("others", 900)):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    keep_compiled_programs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cache", "c-cache", "others"]
    assert settings["jax_compilation_cache_dir"] == str(tmp_path)


def test_no_folder(monkeypatch, tmp_path, settings):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        keep_compiled_programs(tmp_path / "file" / "folder")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="is read-only, so programs cannot be kept there"):
        keep_compiled_programs(tmp_path)
    assert settings == {}
