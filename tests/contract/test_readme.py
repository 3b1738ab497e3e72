"""Every block of the README and every example in a docstring runs, as a user runs it: default
flags, warnings as errors.
"""

import inspect
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from support.paths import ROOT
from support.readme import PUBLIC, README, blocks

RESULTS = ("Divergences", "Estimate", "FitResult", "Column", "DriftResult", "TwoSampleResult")
RESULTS += ("EMResult", "ComponentTable")

# Of TensorFlow Probability and of OTT-JAX, when they are imported.
IGNORED = [
    "-Wignore:jax.core.pytype_aval_mappings is deprecated:DeprecationWarning",
    "-Wignore:JAXopt is no:DeprecationWarning",
]
PYTHON = [sys.executable, *IGNORED, "-c"]


def run(command: list[str], folder: pathlib.Path) -> str:
    """What it prints, run in that folder with this checkout's package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.timeout(900)  # a minute of work where nothing else runs
def test_python_blocks_and_then_the_command_line(tmp_path):
    """In one folder, as the commands read the files that the blocks have written."""
    assert len(blocks("python")) >= 5
    program = "\n".join([*blocks("python"), "print(smooth.losses[-1])"])
    assert abs(float(run([*PYTHON, program], tmp_path).split()[-1])) < 0.01
    commands = [block for block in blocks("sh") if block.startswith("jaxgmm ")]
    assert commands
    # the script may be that of another checkout
    module = f'set -e\njaxgmm() {{ "{sys.executable}" -m jaxgmm "$@"; }}\n'
    output = run(["sh", "-c", module + "\n".join(commands)], tmp_path)
    assert re.search(r"^KL\(A \|\| B\) +\S+ \+- \S+ nats$", output, re.MULTILINE)


@pytest.mark.smoke
def test_commands_are_those_of_ci():
    commands = [command.strip() for command in blocks("sh")]
    assert commands[:2] == [
        "pip install . && python -m jaxgmm",
        "pip install '.[test]' && python -m pytest",
    ]
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line in commands] == commands[:2]


@pytest.mark.parametrize("block", blocks("sh"))
def test_commands_are_of_this_project(block):
    """Shell can read them, and the files and extras that they name are there."""
    assert subprocess.run(["sh", "-n"], input=block, text=True, capture_output=True).stderr == ""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {
        name for names in re.findall(r"\.\[(.*?)\]", block) for name in names.split(",")
    } <= set(extras)
    for path in re.findall(r"(?:tests|\.ci)[/\w.]*", block):
        assert (ROOT / path).exists(), path


@pytest.mark.smoke
def test_no_other_language():
    assert set(re.findall(r"^```(\w+)$", README, re.MULTILINE)) == {"python", "sh"}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstrings_are_complete(name):
    documented = PUBLIC[name]
    text = inspect.getdoc(documented)
    if name == "Rule" or name in RESULTS:
        return  # a protocol, and results that are not built by hand
    assert "Example:" in text
    signature = inspect.signature(documented)
    if signature.parameters:
        assert ("Attributes:" if name == "GMM" else "Args:") in text
    for parameter in signature.parameters:
        assert re.search(rf"^  (\w+, )*{parameter}(, \w+)*: ", text, re.MULTILINE), parameter
    if not inspect.isclass(documented):
        assert "Returns:" in text
        assert "Raises:" in text


MODULES = sorted({value.__module__ for value in PUBLIC.values()})


@pytest.mark.timeout(900)
def test_docstring_examples():
    program = """
import doctest, importlib, sys
attempted = 0
for name in sys.argv[1:]:
    failed, count = doctest.testmod(importlib.import_module(name))
    attempted += count
    assert not failed
print(attempted)
"""
    assert int(run([*PYTHON, program, *MODULES], ROOT)) > 30
