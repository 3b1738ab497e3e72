"""The names of the package: each is imported when it is first used, and help tells of them."""

import inspect
import re
import subprocess
import sys

import pytest

import jaxgmm
from jaxgmm import GMM
from support.paths import ROOT

EXTRAS = ("sklearn", "matplotlib", "pyarrow", "tqdm", "numpyro", "distrax", "gmmx", "ott", "pandas")
LATER = (*EXTRAS, "tensorflow_probability", "mpmath", "optax", "scipy.stats", "scipy.optimize")


def imported_by(program: str, names: tuple[str, ...]) -> list[str]:
    """Which of these modules a process of its own has imported after a program."""
    program += f"; import sys; print(*(name for name in {names} if name in sys.modules))"
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, cwd=ROOT, check=True
    ).stdout.split()


@pytest.mark.smoke
def test_importing_the_package_imports_little():
    assert imported_by("import jaxgmm", (*LATER, "jax", "numpy")) == []
    used = "jaxgmm.estimate, jaxgmm.kl_divergence, jaxgmm.two_sample_test, jaxgmm.load"
    assert imported_by(f"import jaxgmm; {used}", LATER) == []
    assert imported_by("import jaxgmm; jaxgmm.fit", LATER) == ["optax"]


def test_names_are_listed_and_found():
    names = [name for name in dir(jaxgmm) if name[0] != "_"]
    assert {"GMM", "estimate", "plot", "io", "extend", "interop"} < set(names)
    assert all(hasattr(jaxgmm, name) for name in names)
    with pytest.raises(AttributeError, match="module 'jaxgmm' has no attribute 'no_such_name'"):
        jaxgmm.no_such_name  # noqa: B018
    assert not hasattr(jaxgmm, "importlib")


@pytest.mark.smoke
def test_help_is_a_page():
    text = jaxgmm.__doc__
    named = re.findall(r"`(?:jaxgmm\.)?(\w+)`", text)
    assert len(text.splitlines()) > 20
    assert len(named) > 20
    assert [name for name in named if not hasattr(jaxgmm, name)] == []


def test_signatures_show_no_private_names():
    """Functions that check their arguments show unions of arrays by their names."""
    public = {name: getattr(jaxgmm, name) for name in dir(jaxgmm) if name[0] != "_"}
    checked = [*public.values(), *vars(GMM).values()]
    signatures = {
        value.__name__: str(inspect.signature(value))
        for value in (getattr(value, "__func__", value) for value in checked)
        if hasattr(value, "__wrapped__")
    }
    assert len(signatures) > 60
    assert [n for n, text in signatures.items() if re.search(r"\b_[A-Za-z]|dtype\[", text)] == []
