"""The checks of the built site see what they are there for."""

import importlib
import json
import pathlib
import sys

import pytest

from support.paths import ROOT

pytest.importorskip("bs4")
sys.path.insert(0, str(ROOT / ".ci" / "docs"))
checks, parts, references = map(importlib.import_module, ("checks", "parts", "references"))

GOOD = """<a href="other.html#there">a</a> <a href="#here" id="here">b</a> <a href="https://x.y">c</a>
<img src="x.png" alt="A red line"> <code>$HOME</code> <span class="math">\\(\\frac12 $ x\\)</span>
<div class="highlight-python"><pre>x = 1</pre></div>
<div class="cell_output"><pre>{wide}</pre></div>""".format(wide="9" * 89)
BAD = {
    "a dead link, gone.html": '<a href="gone.html">a</a>',
    "a dead link, other.html#gone": '<a href="other.html#gone">a</a>',
    "a dead link, #gone": '<a href="#gone">a</a>',
    "a dead link, gone.png": '<img src="gone.png" alt="A line">',
    "a picture without alternative text, x.png": '<img src="x.png">',
    "a line of 89 columns: " + "x" * 89: f"<pre>{'x' * 89}</pre>",
    "a raw formula: $$KL(p | q)$$": "<p>$$KL(p | q)$$</p>",
    r"a raw formula: \frac12": r"<p>\frac12</p>",
}


def found(folder: pathlib.Path, body: str) -> list[str]:
    (folder / "page.html").write_text(f"<body>{body}</body>")
    (folder / "other.html").write_text('<p id="there">t</p>')
    (folder / "x.png").write_bytes(b"")
    return checks.problems(folder)


@pytest.mark.smoke
def test_a_good_page_has_no_problems(tmp_path):
    assert found(tmp_path, GOOD) == []


@pytest.mark.parametrize("problem", BAD)
def test_problems_are_found(problem, tmp_path):
    assert found(tmp_path, BAD[problem]) == [f"page.html: {problem}"]


def test_names_outside_of_code_are_links():
    text = "`kl` and `x` [`kl`](a.md)\n```python\n`kl`\n```\nsee ../../jaxgmm/CHANGELOG.md"
    linked = "{py:obj}`kl <jaxgmm.kl>` and `x` [`kl`](a.md)\n```python\n`kl`\n```\n"
    assert parts.of_site(text, {"jaxgmm.kl"}) == f"{linked}see ../../changes.md"


def test_every_page_is_in_a_table_of_contents(tmp_path):
    for name in ("guide/start.md", "guide/of_somebody.md", "09_new.ipynb", "07_drift.ipynb"):
        path = tmp_path / "notebooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    text = parts.contents(tmp_path, ["api00"])
    for page in ("guide/start", "guide/of_somebody", "09_new", "07_drift"):
        assert f"\nnotebooks/{page}\n" in text
    assert "write_a_rule" not in text
    assert "api00" in text


def test_pictures_of_notebooks_get_their_words():
    cells = [{"source": ["# Picture: a line.\n", "draw()"], "metadata": {}}]
    words = json.loads(parts.with_words(json.dumps({"cells": cells})))["cells"][0]["metadata"]
    assert words == {"mystnb": {"image": {"alt": "a line."}}}


def test_references_are_linked_and_listed():
    def cited():
        """It cites.

        References:
          Lin, Divergence measures based on the Shannon entropy, IEEE T. Inf. Theory 37 (1991),
          eq. 4.1. Nobody, Nothing (1900).
        """

    lin, nobody = "Lin, Divergence measures based", "Nobody, Nothing (1900)."
    assert references.references_of(cited)[0].startswith(lin)
    page = references.bibliography({"jaxgmm.cited": cited})
    assert "https://doi.org/10.1109/18.61115" in page
    assert nobody in page
    assert ":py:obj:`jaxgmm.cited`" in page
    lines = ["Text.", ".. rubric:: References", "", "Lin, Divergence measures", "(1991).", ""]
    references.add_links(lines)
    link = "`doi <https://doi.org/10.1109/18.61115>`__"
    assert lines[3] == f"- Lin, Divergence measures (1991). {link}"
