"""Every mutation still applies to the package, and is found by what it means, not by its layout."""

import pathlib
import subprocess
import sys

import pytest

from mutations.matching import Broken, mutated, scopes_in

TESTS = pathlib.Path(__file__).parents[1]
TEXT = """
LIMIT = 3

@cache(size=4)
def f(x, n=5):
    "A docstring."
    print(x)
    name = "é"; y = g("ü", x + LIMIT, axis=0)
    def inner(z):
        return z * x
    return inner(
        [y,
         x - 1]
    )

class A:
    def g(self):
        return self.h(1) or self.h(2) or self.h(1)

def inner(v):
    return f"{v + 1}"
"""
SCOPES = list(scopes_in(pathlib.Path("wing/file.py"), TEXT))


def changed(function: str, old: str, new: str) -> tuple[str, str]:
    """These lines are no longer in the text, and those stand there instead."""
    path, text = mutated(SCOPES, function, old, new)
    assert path == pathlib.Path("wing/file.py")
    before, after = TEXT.splitlines(), text.splitlines()
    while before[0] == after[0]:
        del before[0], after[0]
    while before[-1] == after[-1]:
        del before[-1], after[-1]
    return "\n".join(before).strip(), "\n".join(after).strip()


def test_every_mutation_applies_once():
    command = [sys.executable, str(TESTS / "mutations"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr


def test_two_matches_are_refused():
    with pytest.raises(Broken, match=r"there 2 times(.|\n)*line 18"):
        mutated(SCOPES, "A.g", "self.h(1)", "0")


def test_what_is_not_there_is_refused_with_what_is_near():
    with pytest.raises(Broken, match=r"there 0 times(.|\n)*near it: line 8: x \+ LIMIT"):
        mutated(SCOPES, "f", "x + LIMITS", "0")
    with pytest.raises(Broken, match=r"0 functions(.|\n)*stands in: wing.file.f"):
        mutated(SCOPES, "no_such", "x + LIMIT", "0")
    with pytest.raises(Broken, match=r"0 functions(.|\n)*named like it: wing.file.f.inner"):
        mutated(SCOPES, "f.inne", "no_such", "0")


def test_two_functions_of_one_scope_are_told_apart_by_the_outer_one():
    assert changed("f.inner", "z * x", "z") == ("return z * x", "return (z)")
    assert changed("f.<locals>.inner", "z * x", "z") == ("return z * x", "return (z)")
    assert changed("inner", 'f"{v + 1}"', "0") == ('return f"{v + 1}"', "return (0)")
    assert changed("wing.g", "self.h(2)", "0")[1] == "return self.h(1) or (0) or self.h(1)"


def test_two_functions_of_one_name_are_refused():
    other = list(scopes_in(pathlib.Path("other/file.py"), TEXT))
    with pytest.raises(Broken, match=r"2 functions(.|\n)*other\.file\.f, other"):
        mutated(SCOPES + other, "f", "x + LIMIT", "x")
    path, _ = mutated(SCOPES + other, "other.f", "x + LIMIT", "x")
    assert path == pathlib.Path("other/file.py")


@pytest.mark.parametrize("old", ["[y, x - 1]", "[ y ,(x-1) ]", "[\n  y,\n  x - 1,\n]"])
def test_line_breaks_and_spaces_do_not_matter(old):
    assert changed("f", old, "y")[1] == "(y)"


def test_quotes_and_parentheses_do_not_matter():
    assert changed("f", "g('ü', (x) + LIMIT, axis = 0)", "y")[1] == 'name = "é"; y = (y)'


def test_letters_of_two_bytes_before_a_match_do_not_shift_it():
    assert changed("f", "x + LIMIT", "x")[1] == 'name = "é"; y = g("ü", (x), axis=0)'


def test_keyword_arguments_decorators_and_defaults():
    assert changed("f", "axis=0", "axis=1")[1] == 'name = "é"; y = g("ü", x + LIMIT, axis=1)'
    assert changed("f", "5", "6")[1] == "def f(x, n=(6)):"
    assert changed("f", "cache(size=4)", "cache") == ("@cache(size=4)", "@(cache)")


def test_statements_are_replaced_and_deleted():
    assert changed("f", "print(x)", "") == ("print(x)", "pass")
    assert changed("f", "print(x)", "if x:\n    return") == ("print(x)", "if x:\n        return")
    assert changed("f", "return inner([y, x - 1])", "return")[1] == "return"


def test_constants_and_modules():
    assert changed("LIMIT", "3", "4") == ("LIMIT = 3", "LIMIT = (4)")
    assert changed("file.<module>", "LIMIT = 3", "LIMIT = 4") == ("LIMIT = 3", "LIMIT = 4")


@pytest.mark.parametrize(
    ("old", "new"), [("x + LIMIT", "x +"), ("x - 1", "pass"), ("x - 1", "(x) - 1")]
)
def test_what_is_no_python_or_the_same_is_refused(old, new):
    with pytest.raises(Broken):
        mutated(SCOPES, "f", old, new)


def test_places_in_f_strings_are_not_looked_for():
    with pytest.raises(Broken, match="there 0 times"):
        mutated(SCOPES, "inner", "v + 1", "v")
