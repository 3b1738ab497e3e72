"""What `build.py` has Sphinx do: docstrings in Google's style, formulas by a MathJax of the site's
own, notebooks as they were left.
"""

import importlib.metadata
import inspect
import pathlib
import re
import shutil
from typing import Any

from references import add_links

import jaxgmm

project = "jaxgmm"
author = "The jaxgmm developers"
version = release = jaxgmm.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_nb",
]
html_theme = "furo"
html_title = f"jaxgmm {version}"
html_static_path = ["static"]
html_css_files = ["wide.css"]

autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nb_execution_mode = "off"
myst_heading_anchors = 3

# A name in backquotes is one of ours, or the build fails; those of others are not looked up, as
# that needs a network.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    (r"py:obj", r"(jax|numpy|np|optax|sklearn|functools)\..*"),
    (r"py:class", r"[a-z]\w*\..*|[A-Z]\w*"),  # in annotations, which may also name what is private
]

# Formulas, in Markdown between dollar signs.
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_dmath_double_inline = True
mathjax_path = "tex-svg.js"

html_theme_options = {"top_of_page_buttons": []}
html_show_sourcelink = False
html_copy_source = False


def add_mathjax(app: Any, exception: Exception | None) -> None:
    """Copy MathJax, in one file that needs no other, from the package that brings it."""
    if exception is None:
        package = importlib.metadata.distribution("sphinx-mathjax-offline")
        source = package.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")
        shutil.copy(str(source), pathlib.Path(app.outdir) / "_static" / "tex-svg.js")


def as_help(
    app: Any, what: str, name: str, obj: Any, options: Any, arguments: str, returns: str
) -> tuple[str, str] | None:
    """The signature that `help` shows, without modules, of functions."""
    if inspect.isclass(obj) or not callable(obj):
        return None
    if hasattr(obj, "__wrapped__"):  # it checks its arguments
        arguments, _, returns = str(inspect.signature(obj)).rpartition(" -> ")
    return plain(arguments), plain(returns or "")


def plain(text: str) -> str:
    text = re.sub(r"<function (\w+) at \w+>", r"\1", text)
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    text = re.sub(r"~(?:\w+\.)*(?=[A-Z])", "", text)
    return re.sub(r"Sobol\(n=(\d+)[^)]*\)", r"Sobol(\1)", text)


def setup(app: Any) -> None:
    app.connect("build-finished", add_mathjax)
    app.connect("autodoc-process-signature", as_help)
    app.connect("autodoc-process-docstring", lambda *arguments: add_links(arguments[-1]))
