"""Decorators that check the arguments of a function by its annotations, and compile it."""

import contextlib
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ParamSpec, TypeVar, get_args, get_origin

import jax
import numpy.typing as npt
from jax.typing import ArrayLike, DTypeLike

from jaxgmm._numerics.transforms import in_float32, on_any_mesh
from jaxgmm._validation.checks import check_static

P = ParamSpec("P")
R = TypeVar("R")
Relation = Callable[[Mapping[str, Any]], Mapping[str, Any]]
ALIASES: list[tuple[Any, str]] = [
    (ArrayLike, "ArrayLike"),
    (npt.ArrayLike, "ArrayLike"),
    (ArrayLike | None, "ArrayLike | None"),
    (npt.ArrayLike | None, "ArrayLike | None"),
    (DTypeLike | None, "DTypeLike | None"),
]
"""Unions that `help` shows by their names."""
NO_CONTEXT = contextlib.nullcontext()


@dataclasses.dataclass(frozen=True, repr=False)
class Check:
    """The check of an argument, to stand in its annotation: ``Annotated[GMM, Check(function)]``.

    Attributes:
      function: a function of the name and the value of an argument, which returns the value that
        the decorated function gets, or raises an error.
      static: whether ``validated_jit`` compiles a program for each value, which must be hashable.
    """

    function: Callable[[str, Any], Any]
    static: bool = False

    def __repr__(self) -> str:
        return f"Check({getattr(self.function, '__name__', 'function')})"

    def __call__(self, name: str, value: Any) -> Any:
        if self.static:
            check_static(name, value)
        return self.function(name, value)


@dataclasses.dataclass(frozen=True)
class Declared:
    """The facts that a function declares about its values by the options of `validated_jit`."""

    symmetric: bool = False
    finiteness: Callable[..., Any] | None = None
    scaling: float | None = None
    bound: Any = None


def validated(relation: Relation | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that checks the arguments of a function by its annotations.

    Args:
      relation: a function of the checked arguments by name, such as ``one_space``. It returns the
        arguments that the decorated function gets, or raises an error if two do not agree.

    Returns:
      The decorator. ``help`` shows the annotations of a decorated function without their checks.
    """
    return functools.partial(_decorated, relation=relation, declared=Declared(), compiled=False)


def validated_jit(
    relation: Relation | None = None,
    *,
    symmetric: bool = False,
    finiteness: Callable[..., Any] | None = None,
    scaling: float | None = None,
    bound: Any = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that checks the arguments of a function, as ``validated`` does, and compiles it.

    The checks run outside `jax.jit`, so they see concrete values in an eager call. An argument with
    a static `Check` is static for `jax.jit`. Other shapes, such as a larger n, K or D, are another
    program, which JAX compiles anew. The function is one program under `jax.disable_jit`, too, as
    its operations would take longer to compile one by one.

    Args:
      relation: as for ``validated``.
      symmetric: whether the function of two mixtures has the same value in either order. If it is,
        `jaxgmm.pairwise` computes each pair once.
      finiteness: a function that tells whether the value is finite; see `jaxgmm.estimate`.
      scaling: with all points times c, the value grows by scaling * D * log c; 0 for divergences
        and 1 for entropies. If it is declared, `jaxgmm.estimate` finds the rounding.
      bound: the value of mixtures that do not overlap, which no value exceeds. If it is declared,
        the standard errors of `jaxgmm.estimate` near it allow for overlaps that no point has met. A
        function that returns several values declares a bound for each, inf for none.

    Returns:
      The decorator.

    Example:
      >>> import jax, jaxgmm
      >>> from jaxgmm.extend import Key, Mixture, RuleArg, one_space, validated_jit
      >>> @validated_jit(one_space)
      ... def skew(key: Key, left: Mixture, right: Mixture, rule: RuleArg = jaxgmm.Sobol(64)):
      ...     return jaxgmm.kl_divergence(key, left, jaxgmm.mixture_of([left, right]), rule)
      >>> skew(jax.random.key(0), 3, 4)  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      TypeError: left must be a jaxgmm.GMM, got int; build one with GMM.from_moments, ...
    """
    declared = Declared(symmetric, finiteness, scaling, bound)
    return functools.partial(_decorated, relation=relation, declared=declared, compiled=True)


def declared_by(function: Callable[..., Any]) -> Declared:
    """The declarations of a function, or of the function in a `functools.partial`."""
    function = getattr(function, "func", function)
    owner, declared = getattr(function, "declared", (function, Declared()))
    # `jax.grad` copies the attributes of a function, but the gradient is another function.
    return declared if owner is function else Declared()


def _decorated(
    function: Callable[P, R], *, relation: Relation | None, declared: Declared, compiled: bool
) -> Callable[P, R]:
    signature = inspect.signature(function)
    checks = {name: _check_of(p.annotation) for name, p in signature.parameters.items()}
    static = [name for name, check in checks.items() if check is not None and check.static]
    program = on_any_mesh(in_float32(function))
    called = jax.jit(program, static_argnames=static) if compiled else function

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = _bound(function.__name__, signature, args, kwargs)
        given = bound.arguments
        arguments = {name: _checked(checks[name], name, given[name]) for name in given}
        bound.arguments = dict(arguments if relation is None else relation(arguments))
        is_off = jax.config.jax_disable_jit  # pyright: ignore[reportAttributeAccessIssue]
        with jax.disable_jit(False) if compiled and is_off else NO_CONTEXT:
            return called(*bound.args, **bound.kwargs)

    vars(checked).update(__signature__=_as_shown(signature), declared=(checked, declared))
    return checked


def _check_of(annotation: Any) -> Check | None:
    """The check of an annotation, or of a member of a union such as ``Mixture | None``."""
    if get_origin(annotation) is Annotated:
        return next((item for item in annotation.__metadata__ if isinstance(item, Check)), None)
    members = (_check_of(member) for member in get_args(annotation) if member is not annotation)
    check = next((check for check in members if check is not None), None)
    return None if check is None else dataclasses.replace(check, function=_or_none(check.function))


def _or_none(function: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else function(name, value)


def _checked(check: Check | None, name: str, value: Any) -> Any:
    return value if check is None else check(name, value)


def _bound(
    name: str, signature: inspect.Signature, args: Any, kwargs: Any
) -> inspect.BoundArguments:
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        names = ", ".join(signature.parameters).removeprefix("cls, ")
        raise TypeError(f"{name}({names}): {error}") from None


class _Shown(str):
    """The text of an annotation, so that `help` shows it without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _shown(annotation: Any) -> Any:
    """An annotation without its checks and without the modules of its types."""
    if annotation is inspect.Signature.empty:
        return annotation
    alias = next((name for union, name in ALIASES if annotation == union), None)
    if alias is not None:
        return _Shown(alias)
    if get_origin(annotation) is Annotated:
        return _shown(get_args(annotation)[0])
    if any(get_origin(member) is Annotated for member in get_args(annotation)):
        return _Shown(" | ".join(map(_shown, get_args(annotation))).replace("NoneType", "None"))
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _Shown(re.sub(r"\b(\w+\.)+", "", text))


def _as_shown(signature: inspect.Signature) -> inspect.Signature:
    """The signature that `help` shows."""
    given = signature.parameters.values()
    parameters = [p.replace(annotation=_shown(p.annotation)) for p in given]
    returns = _shown(signature.return_annotation)
    return signature.replace(parameters=parameters, return_annotation=returns)
