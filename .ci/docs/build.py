"""The documentation as a site, from the README, the guide, the notebooks and the docstrings:
`python .ci/docs/build.py OUT`.

It fails if a public name has no docstring or no page, if a page names or links what is not there,
and if a page shows raw formulas, code of more than 88 columns or a picture without words.
"""

import importlib
import inspect
import pathlib
import pkgutil
import shutil
import sys
import tempfile
import types
from typing import Any

from checks import problems
from parts import contents, of_site, with_words
from references import bibliography
from sphinx.cmd.build import build_main

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # for the package of this checkout

# The pages, and the modules whose names they hold. A module that is not private is a page itself.
PAGES = {
    "Mixtures": (
        "_mixture.gmm",
        "_mixture.density",
        "_mixture.sampling",
        "_mixture.algebra",
        "_mixture.products",
        "_mixture.combine",
    ),
    "Estimates of divergences": (
        "_divergence.entropies",
        "_divergence.elbo",
        "_divergence.importance_weights",
        "_divergence.midpoint",
        "_divergence.all_divergences",
        "_divergence.renyi",
        "_expectation.estimate",
        "_expectation.result",
        "_divergence.pairwise",
    ),
    "Expectations and rules": (
        "_expectation.expectation",
        "_quadrature.rule",
        "_quadrature.monte_carlo",
        "_quadrature.sobol",
        "_quadrature.deterministic",
    ),
    "Exact values": ("_divergence.closed_form", "_divergence.gaussian", "_divergence.transport"),
    "Approximations and bounds": ("_divergence.approximations", "_divergence.bounds"),
    "Fitting and reduction": (
        "_fit.em",
        "_fit.em_runs",
        "_fit.fit",
        "_fit.loop",
        "_fit.losses",
        "_fit.scale_floor",
        "_fit.reduce",
    ),
    "Samples": (
        "_samples.two_sample",
        "_samples.result",
        "_samples.columns",
        "_samples.drift",
    ),
    "Functions of your own": ("_validation.validated_jit", "_mixture.validation"),
}


def public_modules() -> dict[str, types.ModuleType]:
    """The package itself, and the modules in it that are not private."""
    package = importlib.import_module("jaxgmm")
    names = [
        f"jaxgmm.{name}" for _, name, _ in pkgutil.iter_modules(package.__path__) if name[0] != "_"
    ]
    return {"jaxgmm": package} | {name: importlib.import_module(name) for name in names}


def public_names() -> dict[str, Any]:
    """Every function and class that a user may import, by its shortest full name."""
    names: dict[str, Any] = {}
    for module_name, module in public_modules().items():
        offered = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
        ours = {name: value for name, value in offered.items() if is_of(value, module_name)}
        names |= {f"{module_name}.{name}": v for name, v in ours.items() if v not in names.values()}
    return names


def is_of(value: Any, module_name: str) -> bool:
    """Whether it is documented with a module; `jaxgmm.extend` holds names of other modules."""
    if not (inspect.isroutine(value) or inspect.isclass(value)):
        return False
    home = "jaxgmm" if module_name == "jaxgmm.extend" else module_name
    return value.__module__.startswith(home)


def page_of(value: Any) -> str:
    """The title of its page."""
    module = value.__module__.removeprefix("jaxgmm.")
    titles = [title for title, modules in PAGES.items() if module in modules]
    if module[0] == "_" and not titles:
        raise SystemExit(
            f"{value.__name__} is on no page: name its module {module} in PAGES of {__file__}"
        )
    return titles[0] if titles else f"jaxgmm.{module.split('.')[0]}"


def has_docstring(value: Any) -> bool:
    text = inspect.getdoc(value) or ""
    return bool(text) and not text.startswith(
        f"{value.__name__}("
    )  # as a dataclass writes for itself


def page(title: str, names: dict[str, Any]) -> str:
    """A table of the names, then each with its docstring, in the order of the source."""
    table = [
        ".. autosummary::",
        "   :nosignatures:",
        "",
        *(f"   {name.removeprefix('jaxgmm.')}" for name in names),
        "",
    ]
    entries = [
        f".. autoclass:: {name}\n   :members:\n"
        if inspect.isclass(value)
        else f".. autofunction:: {name}\n"
        for name, value in names.items()
    ]
    return "\n".join(
        [title, "=" * len(title), "", ".. currentmodule:: jaxgmm", "", *table, *entries]
    )


def place(value: Any) -> tuple[int, int]:
    """Of its module among those of its page, and of its line there."""
    module = value.__module__.removeprefix("jaxgmm.")
    return PAGES.get(page_of(value), (module,)).index(module), inspect.getsourcelines(
        inspect.unwrap(value)
    )[1]


def write_reference(folder: pathlib.Path, names: dict[str, Any]) -> list[str]:
    """The pages of the public names, and the names of these pages."""
    bare = [name for name, value in names.items() if not has_docstring(value)]
    if bare:
        raise SystemExit(f"without a docstring: {', '.join(bare)}")
    titles = [*PAGES, *sorted({page_of(value) for value in names.values()} - set(PAGES))]
    pages = [f"api{number:02d}" for number in range(len(titles))]
    for name_of_page, title in zip(pages, titles, strict=True):
        on_page = {
            name: names[name]
            for name in sorted(names, key=lambda n: place(names[n]))
            if page_of(names[name]) == title
        }
        (folder / f"{name_of_page}.rst").write_text(page(title, on_page))
    (folder / "bibliography.rst").write_text(bibliography(names))
    return pages


def write_sources(folder: pathlib.Path) -> None:
    """All that Sphinx reads, with the README as the first page."""
    names = public_names()
    reference = write_reference(folder, names)
    if (ROOT / "notebooks").exists():
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=hidden)
        for notebook in (folder / "notebooks").glob("*.ipynb"):
            notebook.write_text(with_words(notebook.read_text()))
    for here, there in {
        ROOT / "README.md": "index.md",
        ROOT / "jaxgmm" / "CHANGELOG.md": "changes.md",
        ROOT / ".github" / "CONTRIBUTING.md": "contributing.md",
        **{p: f"notebooks/guide/{p.name}" for p in (ROOT / "notebooks" / "guide").glob("*.md")},
    }.items():
        if here.exists():
            (folder / there).write_text(of_site(here.read_text(), set(names)))
    with (folder / "index.md").open("a") as index:
        index.write(contents(folder, reference))


def main(out: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        write_sources(pathlib.Path(folder))
        failed = build_main(
            ["-b", "html", "-W", "--keep-going", "-q", "-E", "-c", str(HERE), folder, out]
        )
    found = [] if failed else problems(pathlib.Path(out))
    print(*found, sep="\n", file=sys.stderr, end="\n" * bool(found))
    return failed or bool(found)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
