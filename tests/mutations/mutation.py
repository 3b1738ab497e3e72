"""A mutation is one way to break the code."""

import dataclasses
import difflib
import pathlib
import shlex

from matching import Broken, Scope, mutated


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A mutation replaces an expression in a function of the package, and names tests that notice.

    Attributes:
      description: what is wrong then.
      function: its name, such as "inv_tril" or "Sobol.batches"; also the name of a class or of a
        constant of a module. Where several have the name, something that it stands in goes before
        it: "wing.name". "file.<module>" is all of a file.
      old: an expression, a statement or a keyword argument that stands in it exactly once.
      new: what to put in its place; nothing deletes a statement.
      tests: arguments for pytest, of which the files stand anywhere in tests.
    """

    description: str
    function: str
    old: str
    new: str
    tests: str

    def mutated(self, scopes: list[Scope]) -> tuple[pathlib.Path, str]:
        """It gives the file that it changes, and what the file is then."""
        return mutated(scopes, self.function, self.old, self.new)

    def arguments(self, checkout: pathlib.Path) -> list[str]:
        """These are the arguments for pytest, with the paths at which files are in the checkout."""
        words = shlex.split(self.tests)
        return [located(checkout, w) if w.startswith("test_") and ".py" in w else w for w in words]


def located(checkout: pathlib.Path, test: str) -> str:
    """It finds the path of a file of tests by its base name."""
    name, *rest = test.split("::")
    paths = list((checkout / "tests").rglob(name))
    if len(paths) != 1:
        names = [path.name for path in (checkout / "tests").rglob("test_*.py")]
        near = "".join(f"\n    named like it: {n}" for n in difflib.get_close_matches(name, names))
        raise Broken(f"{len(paths)} files of tests are named {name}{near}")
    return "::".join([str(paths[0].relative_to(checkout)), *rest])
