"""Pictures without a screen, each closed after its test."""

import matplotlib
import pytest
from matplotlib import pyplot

matplotlib.use("Agg")


@pytest.fixture
def ax():
    """Of a figure that pyplot does not know."""
    return matplotlib.figure.Figure().add_subplot()


@pytest.fixture(autouse=True)
def no_figure_is_shown_or_leaked(monkeypatch):
    monkeypatch.setattr(pyplot, "show", lambda *args, **kwargs: pytest.fail("a picture was shown"))
    yield
    assert pyplot.get_fignums() == []
