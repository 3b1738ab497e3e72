"""The README's picture is there, small, and drawn by code that still runs."""

import re

import matplotlib.image
import numpy as np
import pytest

import draw_readme
from support.paths import ROOT
from support.readme import README


def size(path) -> tuple[int, ...]:
    """Its height and width; the pictures of blank paper have no more than one colour."""
    pixels = matplotlib.image.imread(path)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 10
    return pixels.shape[:2]


def test_pictures_of_the_readme_are_there():
    pictures = re.findall(r"!\[([^]]+)\]\((.*?)\)", README.read_text())
    assert [ROOT / path for _, path in pictures] == [draw_readme.PICTURE]
    assert draw_readme.PICTURE.stat().st_size < 60_000


@pytest.mark.long
def test_it_is_drawn_again(tmp_path):
    draw_readme.save(tmp_path / "wine.png")
    assert size(tmp_path / "wine.png") == size(draw_readme.PICTURE)
