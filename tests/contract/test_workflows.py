"""Workflows call the project's own commands, and the files around the package agree with it."""

import json
import os
import re
import tomllib

import pytest

import jaxgmm
from support.paths import ROOT
from support.readme import README, blocks

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SHOWN = {
    line
    for page in (README, GITHUB / "CONTRIBUTING.md", ROOT / ".ci" / "run")
    for block in (blocks("sh", page) if page.suffix == ".md" else [page.read_text()])
    for line in block.splitlines()
}
OTHERS = {"pip install '.[docs]'", "pre-commit run --all-files"}


def is_ours(command: str) -> bool:
    """Whether it is a command that a page shows, or a script of the project."""
    script = re.match(r"(?:\w+=\w+ )?(\.ci/\w+)", command)
    if script:
        return os.access(ROOT / script[1], os.X_OK)
    return command in SHOWN | OTHERS


@pytest.mark.smoke
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_commands_of_the_project(path):
    commands = re.findall(r"^ *- run: (.*)$", path.read_text(), re.MULTILINE)
    assert commands
    assert [command for command in commands if not is_ours(command)] == []
    assert not is_ours("make release")
    assert not is_ours(".ci/nothing")


@pytest.mark.smoke
def test_authors_and_version_are_the_same_everywhere():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert zenodo["creators"] == [{"name": "The jaxgmm developers"}]
    assert zenodo["license"] == project["license"]
    assert zenodo["keywords"] == project["keywords"]
    assert "author = {{The jaxgmm developers}}" in README.read_text()
    assert f"version = {{{jaxgmm.__version__}}}" in README.read_text()
