"""What the package and its tests promise of their own text.

Imports point downwards and are public, functions and files are short; tests share what stands in
tests/support and tests/oracles alone, and oracles share nothing with the package.
"""

import ast
import graphlib
import pathlib
import re
import sys

import pytest

from support.paths import ROOT

PACKAGE = ROOT / "jaxgmm"
FILES = sorted(
    path for folder in ("jaxgmm", "tests", ".ci") for path in (ROOT / folder).rglob("*.py")
)
TESTS = [path for path in FILES if path.is_relative_to(ROOT / "tests")]

# A wing imports from the floors below its own alone.
FLOORS = """
    _numerics
    _validation
    _quadrature _mixture
    _expectation interop io
    _divergence
    _fit
    _samples
    plot
    __init__ extend
    _cli
    __main__
"""
FLOOR_OF = {wing: floor for floor, line in enumerate(FLOORS.split("\n")) for wing in line.split()}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

PRIVATE = ("interpreters", "lib")  # of jax, beside what begins with an underscore
DEPENDENCIES = {"jax", "numpy", "optax", "scipy", "jaxgmm"}
EXTRAS = (
    "sklearn",
    "matplotlib",
    "pyarrow",
    "tqdm",
    "numpyro",
    "distrax",
    "tensorflow_probability",
    "gmmx",
    "ott",
    "arviz_stats",
)


def parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported in it, and every name from one, with dots: whether `a.b` is a
    module nobody knows.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"a relative import in line {node.lineno}: write out the package"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules_imported(tree: ast.AST) -> set[str]:
    """The modules of the package among these, by their dotted names in it."""
    ours = [name.split(".")[1:] for name in imported(tree) if name.split(".")[0] == "jaxgmm"]
    return {
        next((m for m in (".".join(parts), ".".join(parts[:-1])) if m in MODULES), "__init__")
        for parts in ours
    }


def wing(module: str) -> str:
    return module.split(".")[0]


def upwards(module: str, tree: ast.AST) -> list[str]:
    """The modules that it imports from its own floor or above, outside of its own wing."""
    others = [other for other in modules_imported(tree) if wing(other) != wing(module)]
    return sorted(other for other in others if FLOOR_OF[wing(other)] >= FLOOR_OF[wing(module)])


def test_every_wing_has_its_floor():
    assert {wing(module) for module in MODULES} == set(FLOOR_OF), "add a new wing to FLOORS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module):
    assert upwards(module, parsed(MODULES[module])) == []


def imports_in_order(trees: dict[str, ast.AST]) -> list[str]:
    """The modules, each after all that it imports; or an error that names a circle."""
    graph = {module: modules_imported(tree) - {module} for module, tree in trees.items()}
    return list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.smoke
def test_no_circles():
    assert len(imports_in_order({module: parsed(path) for module, path in MODULES.items()})) == len(
        MODULES
    )


def private_imports(tree: ast.AST) -> set[str]:
    """Modules of JAX that are not public, whether they are imported or reached through `jax`."""
    reached = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    of_jax = {name for name in imported(tree) | reached if name.split(".")[0] in ("jax", "jaxlib")}
    return {name for name in of_jax if any(is_private(part) for part in name.split(".")[1:])}


def is_private(part: str) -> bool:
    return part in PRIVATE or (part.startswith("_") and not part.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_names_of_jax(path):
    assert private_imports(parsed(path)) == set()


def imports_of_tests(tree: ast.AST) -> set[str]:
    """The test modules among what is imported, and conftest."""
    parts = {part for name in imported(tree) for part in name.split(".")}
    return parts & {"conftest", *(path.stem for path in TESTS if path.name.startswith("test_"))}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_module_is_imported(path):
    assert imports_of_tests(parsed(path)) == set()


def packages(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imported(tree)}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "oracles").glob("*.py")), ids=lambda path: path.stem
)
def test_oracles_are_independent(path):
    assert packages(parsed(path)) & {"jaxgmm", "support"} == set()


def test_every_wing_has_its_folder_of_tests():
    """And no two test modules have one name, so that each can be named without its folder."""
    folders = {path.parent.name for path in TESTS if path.name.startswith("test_")}
    wings = {wing(module) for module, path in MODULES.items() if path.parent != PACKAGE}
    assert {wing.removeprefix("_") for wing in wings} <= folders
    names = [path.name for path in TESTS if path.name.startswith("test_")]
    assert len(set(names)) == len(names)


def questions_of_rules(tree: ast.AST) -> list[str]:
    """The calls that ask a rule for its type or for an attribute that it may lack."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    asked = [
        call for call in calls if ast.unparse(call.func) in ("isinstance", "hasattr", "getattr")
    ]
    return [
        ast.unparse(call) for call in asked if re.search(r"\brule\b", ast.unparse(call.args[0]))
    ]


@pytest.mark.parametrize("module", [name for name in MODULES if wing(name) != "_quadrature"])
def test_rules_are_asked_in_their_wing_alone(module):
    assert questions_of_rules(parsed(MODULES[module])) == []


def num_lines(function: ast.FunctionDef) -> int:
    """Of the body, its docstring not counted."""
    body = function.body if ast.get_docstring(function) is None else function.body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def long_functions(tree: ast.AST) -> dict[str, int]:
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        function.name: num_lines(function) for function in functions if num_lines(function) > 30
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_files_are_short(path):
    assert long_functions(parsed(path)) == {}
    assert len(path.read_text().splitlines()) <= 300


def imported_at_once(module: ast.Module) -> set[str]:
    """The packages imported when the module is, which neither functions do nor what is there for
    types alone.
    """
    at_once = [
        node
        for node in module.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    statements = [node for node in at_once if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {name.split(".")[0] for node in statements for name in imported(node)}


@pytest.mark.parametrize("module", MODULES)
def test_extras_are_imported_on_demand(module):
    assert imported_at_once(parsed(MODULES[module])) - set(sys.stdlib_module_names) <= DEPENDENCIES


def test_examples_fit_the_pages_of_the_site():
    """Docstrings are indented by at most six columns, which their pages do not show."""
    wide = {
        f"{path.name}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.match(r" *(>>>|\.\.\.) ", line) and len(line.strip()) > 88
    }
    assert wide == set()


@pytest.mark.smoke
def test_the_checks_themselves():
    """Each sees what it is there for."""
    to_fit = ast.parse("from jaxgmm._fit.fit import fit\nimport jaxgmm._numerics.linalg")
    assert upwards("_mixture.gmm", to_fit) == ["_fit.fit"]
    to_door = ast.parse("def f():\n  from jaxgmm import sample")
    assert upwards("_mixture.gmm", to_door) == ["__init__"]
    to_own_floor = ast.parse("from jaxgmm._quadrature import sobol")
    assert upwards("_mixture.gmm", to_own_floor) == ["_quadrature.sobol"]
    circle = {"_fit.fit": "import jaxgmm._fit.loop", "_fit.loop": "from jaxgmm._fit import fit"}
    with pytest.raises(graphlib.CycleError):
        imports_in_order({module: ast.parse(text) for module, text in circle.items()})
    assert questions_of_rules(ast.parse("getattr(self.rule, 'n', 0)")) == [
        "getattr(self.rule, 'n', 0)"
    ]
    assert questions_of_rules(ast.parse("isinstance(gmm, GMM)")) == []


def test_the_other_checks_themselves():
    """Each sees what it is there for."""
    assert private_imports(ast.parse("from jax._src import core")) == {"jax._src.core"}
    assert private_imports(
        ast.parse("import jax\njax.interpreters.ad.defjvp\njax.__version__")
    ) >= {"jax.interpreters"}
    assert private_imports(ast.parse("from jax.core import Tracer\njax.numpy.zeros(1)")) == set()
    assert imports_of_tests(ast.parse("from conftest import gmm\nimport test_io")) == {
        "conftest",
        "test_io",
    }
    assert imports_of_tests(ast.parse("def f():\n  from io.test_io import P")) == {"test_io"}
    assert imports_of_tests(ast.parse("from jax.test_util import check_grads")) == set()
    assert packages(ast.parse("import numpy\ndef f():\n  from jaxgmm.io import save")) == {
        "numpy",
        "jaxgmm",
    }
    assert long_functions(ast.parse('def f():\n  """Text."""\n' + "  x = 1\n" * 31)) == {"f": 31}
    assert long_functions(ast.parse('def f():\n  """Text."""\n' + "  x = 1\n" * 30)) == {}
    assert imported_at_once(ast.parse("import sklearn.mixture\ndef f():\n  import tqdm")) == {
        "sklearn"
    }
