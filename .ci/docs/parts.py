"""The parts of the site and the pages of the guide, as Sphinx is to read them."""

import json
import pathlib
import re
from typing import Any

# The pages of each part in order; a page that is not there is left out, and a notebook or a page of
# the guide that stands here nowhere goes to the end of the how-to part.
PARTS = {
    "Tutorial": ("guide/start", "08_two_data_sets", "01_the_question"),
    "How-to": (
        "guide/choose_a_divergence",
        "guide/choose_a_rule",
        "guide/choose_the_number_of_points",
        "guide/compare_two_samples",
        "guide/find_drift",
        "07_drift",
        "guide/read_other_libraries",
        "guide/fit_with_optax",
        "04_fitting",
        "guide/variational_inference",
        "guide/mixture_density_networks",
        "guide/mixture_priors",
        "guide/reduce_a_mixture",
        "05_mixture_reduction",
        "guide/many_devices",
        "guide/float32",
        "guide/files_and_the_command_line",
        "guide/draw_pictures",
        "guide/write_a_divergence",
        "guide/write_a_rule",
    ),
    "Explanation": (
        "guide/the_error_of_integration",
        "guide/is_it_real",
        "guide/the_weight_gradient",
        "03_the_gradient",
        "guide/quasi_monte_carlo",
        "02_estimators_and_rules",
        "guide/control_variates",
        "guide/path_gradients",
        "guide/bounds_against_the_truth",
        "06_bounds_and_approximations",
        "guide/benchmarks",
        "guide/peers",
    ),
}
ABOUT = ("guide/glossary", "bibliography", "guide/versions", "changes", "contributing")

# Files that stand elsewhere in the site than in the repository.
MOVED = {
    "jaxgmm/CHANGELOG.md": "changes.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    "](../notebooks/": "](notebooks/",
}


def of_site(text: str, names: set[str]) -> str:
    """A page of Markdown with the links of the site, and with links from names to their entries."""
    for there, here in MOVED.items():
        text = text.replace(there, here)
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if i % 2 else _linked(part, names) for i, part in enumerate(parts))


def _linked(text: str, names: set[str]) -> str:
    def link(match: re.Match[str]) -> str:
        name = match[1].removeprefix("jaxgmm.")
        return f"{{py:obj}}`{name} <jaxgmm.{name}>`" if f"jaxgmm.{name}" in names else match[0]

    return re.sub(r"(?<![`\[}])`([\w.]+)`(?!`)", link, text)


def with_words(text: str) -> str:
    """A notebook whose pictures have the words of their cell's comment `# Picture: ...`."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        words = re.match(r"# Picture: (.*)", "".join(cell["source"]))
        if words:
            image: dict[str, Any] = {"image": {"alt": words[1]}}
            cell["metadata"]["mystnb"] = image
    return json.dumps(notebook)


def contents(folder: pathlib.Path, reference: list[str]) -> str:
    """The tables of contents of all parts, for the pages that are in the folder."""
    found = {
        str(path.relative_to(folder / "notebooks").with_suffix(""))
        for path in (folder / "notebooks").rglob("*")
        if path.suffix in (".md", ".ipynb")
    }
    listed = {page for pages in (*PARTS.values(), ABOUT) for page in pages}
    parts = {title: [page for page in pages if page in found] for title, pages in PARTS.items()}
    parts["How-to"] += sorted(found - listed)
    tables = {
        title: [f"notebooks/{page}" for page in pages] for title, pages in parts.items() if pages
    }
    about = [f"notebooks/{page}" if "/" in page else page for page in ABOUT]
    there = [
        page
        for page in about
        if any((folder / page).with_suffix(suffix).exists() for suffix in (".md", ".rst"))
    ]
    tables["Reference"] = reference + there
    return "".join(_table(title, pages) for title, pages in tables.items())


def _table(caption: str, pages: list[str]) -> str:
    listed = "\n".join(pages)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"
