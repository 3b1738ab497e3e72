"""Other libraries, imported on demand."""

import importlib
from types import ModuleType
from typing import Any

from jaxgmm._validation.checks import kind


def check_type(mixture: Any, library: str, name: str) -> None:
    if not any(
        base.__name__ == name and base.__module__.split(".")[0] == library
        for base in type(mixture).__mro__
    ):
        raise TypeError(
            f"mixture must be a {name} of {library}, got {kind(mixture, type(mixture).__module__)}"
        )


def imported(module: str, function: str, library: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{function} needs {library}: pip install 'jaxgmm[{extra}]'") from error
