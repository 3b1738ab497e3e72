"""Imports of other libraries on demand."""

import importlib
from types import ModuleType


def imported(module: str, function: str, library: str, extra: str) -> ModuleType:
    """The module of a library, or an error that says how to install the library for a function."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{function} needs {library}: pip install 'jaxgmm[{extra}]'") from error
