"""Words are spelt right, as codespell sees it."""

import shutil
import subprocess
import sys

import pytest

from support.paths import ROOT

WORDS = ROOT / ".ci" / "words.txt"
CHECKED = ("README.md", "pyproject.toml", "jaxgmm", "tests", "notebooks", ".ci", ".github")


def spelt(*paths) -> str:
    """What codespell finds, a line for each word that is wrong; "" if there is none."""
    pytest.importorskip("codespell_lib")
    command = [sys.executable, "-m", "codespell_lib", "--check-hidden", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout


def test_no_word_is_wrong():
    assert spelt(*(name for name in CHECKED if (ROOT / name).exists())) == ""


def test_a_wrong_word_is_found(tmp_path):
    """Also in a notebook, whose pictures are no text."""
    name = "01_the_question.ipynb"
    shutil.copy(ROOT / "notebooks" / name, tmp_path)
    assert spelt(tmp_path / name) == ""
    text = (tmp_path / name).read_text()
    wrong = "sepe" + "rate"
    (tmp_path / name).write_text(text.replace("mixtures", wrong, 1))
    assert wrong in spelt(tmp_path / name)


@pytest.mark.smoke
def test_few_words_are_excepted():
    assert len(WORDS.read_text().split()) <= 150
