"""The messages of the command, and its results as text or JSON."""

import argparse
import contextlib
import json
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any

import jax
import numpy as np

import jaxgmm
from jaxgmm._expectation.result import rounding_matters
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import plain

PATIENCE = 2.0  # seconds before the command says what it is doing
ERRORS = "+- is the standard error of the integration alone."
NO_CHANCE = "Chance cannot be told without the data: compare tables for that."


def description_of(path: str, gmm: GMM) -> dict[str, Any]:
    """The entries of a mixture in the JSON object."""
    shape = {"num_components": gmm.num_components, "num_dims": gmm.num_dims}
    return {"path": path, **shape, "covariance_type": gmm.covariance_type}


def print_results(
    arguments: argparse.Namespace,
    mixtures: dict[str, dict[str, Any]],
    results: list[dict[str, Any]],
    **others: Any,
) -> None:
    """Print the mixtures by their names, and the results, as text or as a JSON object.

    The text of a result is its "words", if it has any. The others are entries of the object.
    """
    if arguments.json:
        results = [{k: v for k, v in result.items() if k != "words"} for result in results]
        print_json(arguments, mixtures=mixtures, results=results, **others)
        return
    for name, about in mixtures.items():
        components = counted(about["num_components"], "component")
        dims = counted(about["num_dims"], "dimension")
        rows = f", {counted(about['num_rows'], 'row')}" if "num_rows" in about else ""
        family = about["covariance_type"]
        print(f"{name + ':':5s}{about['path']}: {components} ({family}) in {dims}{rows}")
    width = max(len(result["label"]) for result in results)
    for result in results:
        line = f"{result['label']:{width}s}  {_number(result)} {result['unit']}".rstrip()
        print(result.get("words", line))
    if any("standard_error" in result and "words" not in result for result in results):
        print(ERRORS)
    if "OUT" not in mixtures and any("num_rows" not in about for about in mixtures.values()):
        print(NO_CHANCE)


def print_json(arguments: argparse.Namespace, **entries: Any) -> None:
    """Print a JSON object of the versions, the settings and these entries."""
    settings = {name: value for name, value in vars(arguments).items() if name != "run"}
    versions = {"jaxgmm": jaxgmm.__version__, "jax": jax.__version__, "numpy": np.__version__}
    print(json.dumps(plain({**versions, "settings": settings, **entries}), indent=2))


def _number(result: dict[str, Any]) -> str:
    """The bounds, or the value with its standard error if it has one."""
    if "lower" in result:
        return f"{result['lower']:.6g} to {result['upper']:.6g}"
    error = f" +- {result['standard_error']:.2g}" if "standard_error" in result else ""
    rounding = result.get("rounding", 0)
    if rounding_matters(result.get("standard_error"), rounding):
        error += f" (rounding {rounding:.2g})"
    return f"{float(result['value']):.6g}{error}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(message: str) -> None:
    """Print a message beside the results, to standard error."""
    print(f"jaxgmm: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def announced(what: str, note: Callable[[str], None] | None = None) -> Generator[None, None, None]:
    """A context that prints a message if the work inside it takes long.

    Warnings in it are notes, and an interrupted fit, which only warns, raises KeyboardInterrupt.
    """
    timer = threading.Timer(PATIENCE, say, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        with warnings.catch_warnings(record=note is not None) as caught:
            if note is not None:
                warnings.simplefilter("always", RuntimeWarning)
            warnings.filterwarnings("error", "fit(_em)? was interrupted", RuntimeWarning)
            yield
    except RuntimeWarning as error:
        raise (KeyboardInterrupt if "interrupted" in str(error) else error) from None
    finally:
        timer.cancel()
    for warning in caught or []:
        if note is not None:
            note(str(warning.message))
