"""Imports of other libraries on demand, and checks of their types without an import."""

import importlib
from types import ModuleType
from typing import Any

from jaxgmm._validation.checks import kind


def check_type(mixture: Any, library: str, name: str) -> None:
    """Raise unless the type of a mixture, or a base class, has this name in this library."""
    bases = type(mixture).__mro__
    if (library, name) not in [(base.__module__.split(".")[0], base.__name__) for base in bases]:
        got = kind(mixture, type(mixture).__module__)
        raise TypeError(f"mixture must be a {name} of {library}, got {got}")


def imported(module: str, function: str, library: str, extra: str) -> ModuleType:
    """The module of a library, or an error that says how to install the library for a function."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{function} needs {library}: pip install 'jaxgmm[{extra}]'") from error
