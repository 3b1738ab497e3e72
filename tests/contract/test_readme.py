"""Every block of the README and of the guide, and every example in a docstring, runs as a user runs
it: default flags, warnings as errors.
"""

import inspect
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from support.long import first_by_default
from support.paths import ROOT
from support.readme import (
    GUIDE,
    PUBLIC,
    README,
    RESULTS,
    blocks,
    commands,
    differences,
    write_wines,
)

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


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    first_by_default([README, *GUIDE]),
    ids=lambda page: page.stem,
)
def test_blocks_of_a_page(page, tmp_path):
    """In one folder, as the commands may read files that the blocks have written."""
    write_wines(tmp_path)
    # the script may be that of another checkout
    module = f'set -e\njaxgmm() {{ "{sys.executable}" -m jaxgmm "$@"; }}\n'
    printed = run([*PYTHON, "\n".join(blocks("python", page))], tmp_path)
    if commands(page):
        printed += run(["sh", "-c", module + "\n".join(commands(page))], tmp_path)
    assert [differences(printed, promised) for promised in blocks("text", page)] == [
        [] for _ in blocks("text", page)
    ]


@pytest.mark.smoke
def test_differences_are_seen():
    printed = "JS 0.57; by chance 0.057\n(95 %: 0.028 to 0.1), 1,024 points, error 4e-06"
    assert differences(printed, "JS 0.58; by chance 0.06") == []
    assert differences(printed, "1,030 points, error 6e-06") == []
    assert differences(printed, "JS 0.62") == ["0.62 is 0.57"]
    assert differences(printed, "1,124 points") == ["1,124 is 1,024"]
    assert differences(printed, "KL 0.57") == ["nothing like this is printed: KL 0.57"]


@pytest.mark.smoke
def test_readme_is_one_page():
    """It has at most 800 words outside of code, and its first example needs no extra."""
    text = re.sub(r"^```.*?^```$", "", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(text.split()) <= 800
    imports = re.findall(r"^import (\w+)", blocks("python")[0], re.MULTILINE)
    assert imports == ["jax", "jaxgmm"]
    assert len([line for line in blocks("python")[0].splitlines() if line]) <= 10


@pytest.mark.smoke
def test_commands_are_those_of_ci():
    shown = [command.strip() for command in blocks("sh")]
    both = ["pip install . && python -m jaxgmm", "pip install '.[test]' && python -m pytest"]
    assert [command for command in shown if command in both] == both
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line in both] == both


@pytest.mark.parametrize(
    "block", [block for page in (README, *GUIDE) for block in blocks("sh", page)]
)
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
@pytest.mark.parametrize("page", [README, *GUIDE], ids=lambda page: page.stem)
def test_languages_and_width(page):
    """Code is of languages that are executed, and at most 88 columns wide."""
    text = page.read_text()
    languages = set(re.findall(r"^```(.+)$", text, re.MULTILINE))
    assert languages <= {"python", "sh", "text", "bibtex"}
    code = [line for name in ("python", "sh") for b in blocks(name, page) for line in b.split("\n")]
    assert [line for line in code if len(line) > 88] == []


@pytest.mark.smoke
@pytest.mark.parametrize("page", [README, *GUIDE], ids=lambda page: page.stem)
def test_links_inside_lead_somewhere(page):
    """Every file that a page links or names is there, and so is every name in backquotes."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []
    named = re.findall(r"\b(?:tests|\.ci)/[\w./]+", text)
    assert [path for path in named if not (ROOT / path.rstrip(".")).exists()] == []


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
WINGS = sorted({".".join(module.split(".")[:2]) for module in MODULES})
DEFAULT = ("jaxgmm._expectation", "jaxgmm._quadrature", "jaxgmm.io")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "wing", [pytest.param(w, marks=[pytest.mark.long] if w not in DEFAULT else []) for w in WINGS]
)
def test_docstring_examples(wing):
    program = """
import doctest, importlib, sys
attempted = 0
for name in sys.argv[1:]:
    failed, count = doctest.testmod(importlib.import_module(name))
    attempted += count
    assert not failed
print(attempted)
"""
    modules = [module for module in MODULES if f"{module}.".startswith(f"{wing}.")]
    assert int(run([*PYTHON, program, *modules], ROOT)) >= len(modules)
