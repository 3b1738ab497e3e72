"""What is shipped: a source distribution from which the wheel is built, and a documentation without
gaps.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import jaxgmm
from support.paths import ROOT
from support.readme import PUBLIC

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The names in the source distribution and in the wheel, which is built from it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, timeout=250
    )
    with (
        tarfile.open(next(folder.glob("*.tar.gz"))) as sdist,
        zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel,
    ):
        return {name.partition("/")[2] for name in sdist.getnames()}, set(wheel.namelist())


def test_the_wheel_is_the_package_and_nothing_else(shipped):
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "jaxgmm").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"jaxgmm/py.typed", "jaxgmm/CHANGELOG.md"} <= sources
    wheel = shipped[1]
    assert {
        name for name in wheel if not name.startswith(f"jaxgmm-{jaxgmm.__version__}.dist-info/")
    } == sources


def test_the_source_distribution_has_what_tests_need(shipped):
    needed = {
        "README.md",
        "notebooks/pictures/wine.png",
        "LICENSE",
        "pyproject.toml",
        "tests/conftest.py",
        ".ci/docs/build.py",
    }
    assert needed <= shipped[0]


def build_docs(checkout: pathlib.Path, out: pathlib.Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(checkout / ".ci" / "docs" / "build.py"), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for extra in ("sphinx", "furo", "myst_nb", "sphinx-mathjax-offline"):
        pytest.importorskip(extra)
    out = tmp_path_factory.mktemp("site")
    result = build_docs(ROOT, out)
    assert result.returncode == 0, result.stderr
    return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*.html")}


def test_the_site_documents_every_public_name(site):
    anchors = set(re.findall(r'id="(jaxgmm[\w.]*)"', "".join(site.values())))
    assert {f"jaxgmm.{name}" for name in PUBLIC} | {"jaxgmm.GMM.from_moments"} <= anchors


def test_formulas_notebooks_and_pictures_are_rendered(site):
    text = next(text for text in site.values() if 'id="jaxgmm.kl_divergence"' in text)
    formulas = re.findall(
        r'<div class="math notranslate nohighlight">\s*\\\[(.*?)\\\]', text, re.DOTALL
    )
    assert any(formula.startswith(r"KL(p \| q) = E_p[") for formula in formulas)
    assert 'src="_static/tex-svg.js' in text
    scripts = re.findall(r'<script[^>]* src="([^"]*)"', "".join(site.values()))
    assert [script for script in scripts if "//" in script] == []  # none is from the network
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.stem}.html" in site
    assert 'src="_images/wine.png"' in site["index.html"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("def bare(): ...", "without a docstring: jaxgmm.bare"),
        (
            'def lost():\n    """Like `no_such_name`."""',
            "py:obj reference target not found: no_such_name",
        ),
    ],
)
def test_the_site_is_not_built_with_gaps(function, message, site, tmp_path):
    checkout(tmp_path)
    with (tmp_path / "jaxgmm" / "__init__.py").open("a") as names:
        names.write(f"\n\n{function}\n")
    result = build_docs(tmp_path, tmp_path / "out")
    assert result.returncode != 0
    assert message in result.stderr


def checkout(folder: pathlib.Path) -> None:
    """What the site is made of, in that folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("jaxgmm", ".ci", ".github", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "README.md", folder)


def test_a_page_with_faults_is_not_built(site, tmp_path):
    """It is one with code that is cut, a raw formula and a picture without words."""
    checkout(tmp_path)
    page = tmp_path / "notebooks" / "guide" / "bad.md"
    picture = "../pictures/wine.png"
    page.write_text(f"# Bad\n\nIt costs $ 3.\n\n![]({picture})\n\n```python\nx = {'1' * 90}\n```\n")
    result = build_docs(tmp_path, tmp_path / "out")
    assert result.returncode != 0
    for problem in ("a raw formula: It costs $ 3.", "a picture without", "a line of 94 columns"):
        assert f"notebooks/guide/bad.html: {problem}" in result.stderr
