"""The messages of the command, and its results as text or JSON."""

import argparse
import contextlib
import json
import sys
import threading
import warnings
from collections.abc import Generator
from typing import Any

import jaxgmm
from jaxgmm._expectation.rounding import rounding_matters
from jaxgmm._mixture.gmm import GMM

PATIENCE = 2.0  # seconds before the command says what it is doing


def description_of(path: str, gmm: GMM) -> dict[str, Any]:
    """The entries of a mixture in the JSON object."""
    shape = {"num_components": gmm.num_components, "num_dims": gmm.num_dims}
    return {"path": path, **shape, "covariance_type": gmm.covariance_type}


def print_results(
    arguments: argparse.Namespace,
    mixtures: dict[str, dict[str, Any]],
    results: list[dict[str, Any]],
) -> None:
    """Print the mixtures by their names, and the results, as text or as a JSON object."""
    if arguments.json:
        whole = {"jaxgmm": jaxgmm.__version__, "mixtures": mixtures, "results": results}
        print(json.dumps(whole, indent=2))
        return
    for name, about in mixtures.items():
        components = _counted(about["num_components"], "component")
        dims = _counted(about["num_dims"], "dimension")
        family = about["covariance_type"]
        print(f"{name + ':':5s}{about['path']}: {components} ({family}) in {dims}")
    width = max(len(result["label"]) for result in results)
    for result in results:
        print(f"{result['label']:{width}s}  {_number(result)} {result['unit']}".rstrip())


def _number(result: dict[str, Any]) -> str:
    """The bounds, or the value with its standard error if it has one."""
    if "lower" in result:
        return f"{result['lower']:.6g} to {result['upper']:.6g}"
    error = f" +- {result['standard_error']:.2g}" if "standard_error" in result else ""
    rounding = result.get("rounding", 0)
    if rounding_matters(result.get("standard_error"), rounding):
        error += f" (rounding {rounding:.2g})"
    return f"{float(result['value']):.6g}{error}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(message: str) -> None:
    """Print a message beside the results, to standard error."""
    print(f"jaxgmm: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def announced(what: str) -> Generator[None, None, None]:
    """A context that prints a message if the work inside it takes long."""
    timer = threading.Timer(PATIENCE, say, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def interruptible() -> Generator[None, None, None]:
    """A context that raises KeyboardInterrupt where an interrupted `fit` only warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "fit was interrupted", RuntimeWarning)
        try:
            yield
        except RuntimeWarning as error:
            raise KeyboardInterrupt from error
