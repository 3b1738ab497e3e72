"""One way to break the code."""

import dataclasses
import pathlib
import shlex


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A file of the package, a text in it, what to put in its place, and the tests that are to notice.

    Attributes:
      description: what is wrong then.
      file: the file in the package.
      old: a text that stands in it exactly once.
      new: what to put in its place.
      tests: arguments for pytest, of which the files stand in tests.
    """

    description: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def arguments(self) -> list[str]:
        return [f"tests/{word}" if word.startswith("test_") and ".py" in word else word for word in shlex.split(self.tests)]

    def apply(self, checkout: pathlib.Path) -> bool:
        """Break the code of a checkout; whether the text was there, once."""
        path = checkout / "jaxgmm" / self.file
        text = path.read_text()
        path.write_text(text.replace(self.old, self.new))
        compile(path.read_text(), str(path), "exec")  # what is not Python would be caught by any test
        return text.count(self.old) == 1
