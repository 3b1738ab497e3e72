"""What `build.py` has Sphinx do: docstrings in Google's style, formulas by MathJax, notebooks as
they were left.
"""

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

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
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
