"""Files for the command line to read."""

import numpy as np
import pytest

import jaxgmm
from support.mixtures import PAIRS, POINTS, gmm


@pytest.fixture
def saved_files(tmp_path, monkeypatch):
    """A folder of mixtures and of points, to work in."""
    monkeypatch.chdir(tmp_path)
    overlapping = PAIRS["overlapping"]
    jaxgmm.save("a.npz", gmm(overlapping[0]))
    jaxgmm.save("b.npz", gmm(overlapping[1], np.float32))
    jaxgmm.save("plane.npz", gmm(PAIRS["plane"][0]))
    jaxgmm.save("stack.npz", jaxgmm.stack([gmm(mixture) for mixture in overlapping]))
    jaxgmm.save("tree.npz", [np.ones(2)])
    np.save("x.npy", POINTS)
