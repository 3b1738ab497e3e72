"""These functions find a function by its name, and an expression in it by its syntax tree.

Whitespace, quotes, parentheses and line breaks do not matter, nor does the file of a function.
"""

import ast
import dataclasses
import difflib
import pathlib
from collections.abc import Iterator

MODULE = "<module>"


class Broken(Exception):
    """A mutation does not apply; the message says why, and what comes near to it."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """A scope is a function, a class, a constant of a module or a whole module.

    Attributes:
      path: the file that it stands in, relative to the folder of the package.
      module: the names of the folders and of the file.
      name: its own name, after those of the functions and classes that it stands in.
      node: its syntax tree.
      text: the text of the file.
    """

    path: pathlib.Path
    module: tuple[str, ...]
    name: tuple[str, ...]
    node: ast.AST
    text: str

    def __str__(self) -> str:
        return ".".join(self.module + self.name)


def scopes_of(folder: pathlib.Path) -> list[Scope]:
    """It lists every scope of a package."""
    paths = sorted(folder.rglob("*.py"))
    return [s for path in paths for s in scopes_in(path.relative_to(folder), path.read_text())]


def scopes_in(path: pathlib.Path, text: str) -> Iterator[Scope]:
    """It yields every scope of one file, each before those that stand in it."""
    module, tree = path.with_suffix("").parts, ast.parse(text)
    yield Scope(path, module, (MODULE,), tree, text)
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for target in targets:
            if isinstance(target, ast.Name):
                yield Scope(path, module, (target.id,), node, text)
    for name, node in definitions(tree, ()):
        yield Scope(path, module, name, node, text)


def definitions(node: ast.AST, outer: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.AST]]:
    """It yields the functions and classes inside of a node, with their names."""
    for child in ast.iter_child_nodes(node):
        name = outer
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = (*outer, child.name)
            yield name, child
        yield from definitions(child, name)


def scopes_named(scopes: list[Scope], name: str) -> list[Scope]:
    """It lists the scopes of exactly this name, or else those that the name leads to.

    `wing.step` leads to a function `step` that stands anywhere inside of `wing`, be that a folder,
    a file, a class or a function.
    """
    parts = tuple(part for part in name.split(".") if part != "<locals>")
    exact = [scope for scope in scopes if scope.name == parts]
    return exact or [scope for scope in scopes if leads_to(parts, scope.module + scope.name)]


def leads_to(parts: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    """It says whether the parts are among the whole, in this order, and end as it does."""
    rest = iter(whole)
    return parts[-1] == whole[-1] and all(part in rest for part in parts)


def nodes_inside(node: ast.AST) -> Iterator[ast.AST]:
    """It yields the nodes that have a place in the text; Python 3.11 knows none in f-strings."""
    if hasattr(node, "lineno"):
        yield node
    if not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from nodes_inside(child)


def pattern(source: str) -> list[ast.AST]:
    """A source may stand for a statement, an expression or a keyword argument `a=b`."""
    body = ast.parse(source).body
    if len(body) != 1:
        raise Broken(f"{source!r} is not one expression or statement")
    match body[0]:
        case ast.Expr(value):
            return [body[0], value]
        case ast.Assign([ast.Name(name)], value):
            return [body[0], ast.keyword(name, value)]
    return body


def matches(scope: Scope, old: str) -> list[ast.AST]:
    """These nodes of a scope are `old`; a statement that is an expression counts once."""
    dumps = {ast.dump(node) for node in pattern(old)}
    found = [node for node in nodes_inside(scope.node) if ast.dump(node) in dumps]
    values = [node.value for node in found if isinstance(node, ast.Expr)]
    return [node for node in found if node not in values]


def replaced(text: str, node: ast.AST, new: str) -> str:
    """It puts `new` in the place of a node, whose offsets count bytes."""
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    if isinstance(node, ast.stmt):
        new = (new or "pass").replace("\n", "\n" + " " * node.col_offset)
    elif isinstance(node, ast.expr):
        new = f"({new})"
    whole = text.encode()
    return (whole[:start] + new.encode() + whole[end:]).decode()


def mutated(scopes: list[Scope], function: str, old: str, new: str) -> tuple[pathlib.Path, str]:
    """It finds the file in which `old` is, inside of a function, and puts `new` there instead.

    Raises:
      Broken: the function or `old` is not there exactly once, or the file is no Python then.
    """
    named = scopes_named(scopes, function)
    if len(named) != 1:
        near = candidates(scopes, named, old) or alike(scopes, function)
        raise Broken(f"{len(named)} functions are named {function}{near}")
    (scope,) = named
    nodes = matches(scope, old)
    if len(nodes) != 1:
        there = f"{scope} is found in {scope.path}; {old!r} is there {len(nodes)} times"
        raise Broken(there + (lines_of(nodes) or nearest(scope, old) + elsewhere(scopes, old)))
    text = replaced(scope.text, nodes[0], new)
    try:
        compile(text, str(scope.path), "exec")
    except SyntaxError as error:
        raise Broken(f"{scope} is no Python with {new!r}: {error}") from None
    if ast.dump(ast.parse(text)) == ast.dump(ast.parse(scope.text)):
        raise Broken(f"{scope} is the same with {new!r}")
    return scope.path, text


def candidates(scopes: list[Scope], named: list[Scope], old: str) -> str:
    """It names the scopes of a name or, if there are none, the scopes that `old` is in."""
    if named:
        return "".join(f"\n    named so: {scope}, {scope.path}" for scope in named)
    return elsewhere(scopes, old)


def alike(scopes: list[Scope], name: str) -> str:
    """It names at most three scopes whose names are like a name."""
    names = {".".join(scope.name): scope for scope in scopes}
    near = [names[other] for other in difflib.get_close_matches(name, names, n=3)]
    return "".join(f"\n    named like it: {scope}, {scope.path}" for scope in near)


def elsewhere(scopes: list[Scope], old: str) -> str:
    """It names at most five scopes that `old` is in."""
    there = [scope for scope in scopes if scope.name != (MODULE,) and matches(scope, old)]
    return "".join(f"\n    stands in: {scope}, {scope.path}" for scope in there[:5])


def lines_of(nodes: list[ast.AST]) -> str:
    """It names the lines that nodes begin in."""
    return "".join(f"\n    line {node.lineno}" for node in nodes)


def nearest(scope: Scope, old: str) -> str:
    """It shows the three nodes of a scope that are most like `old`."""
    near = {ast.unparse(node): node for node in nodes_inside(scope.node)}
    wanted = ast.unparse(pattern(old)[-1])
    best = difflib.get_close_matches(wanted, near, n=3, cutoff=0.3)
    return "".join(f"\n    near it: line {near[text].lineno}: {text}" for text in best)
