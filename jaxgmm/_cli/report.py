"""Messages and results of the command, as text or JSON."""

import argparse
import contextlib
import json
import sys
import threading
import warnings
from collections.abc import Generator
from typing import Any

import jaxgmm
from jaxgmm._mixture.gmm import GMM

PATIENCE = 2.0  # seconds without a word


def description_of(path: str, gmm: GMM) -> dict[str, Any]:
    shape = {"num_components": gmm.num_components, "num_dims": gmm.num_dims}
    return {"path": path, **shape, "covariance_type": gmm.covariance_type}


def print_results(
    arguments: argparse.Namespace,
    mixtures: dict[str, dict[str, Any]],
    results: list[dict[str, Any]],
) -> None:
    if arguments.json:
        print(
            json.dumps(
                {"jaxgmm": jaxgmm.__version__, "mixtures": mixtures, "results": results}, indent=2
            )
        )
        return
    for name, about in mixtures.items():
        components, dims = (
            _counted(about["num_components"], "component"),
            _counted(about["num_dims"], "dimension"),
        )
        print(
            f"{name + ':':5s}{about['path']}: {components} ({about['covariance_type']}) in {dims}"
        )
    width = max(len(result["label"]) for result in results)
    for result in results:
        print(f"{result['label']:{width}s}  {_number(result)} {result['unit']}".rstrip())


def _number(result: dict[str, Any]) -> str:
    if "lower" in result:
        return f"{result['lower']:.6g} to {result['upper']:.6g}"
    return f"{result['value']:.6g}" + (
        f" +- {result['standard_error']:.2g}" if "standard_error" in result else ""
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(message: str) -> None:
    print(f"jaxgmm: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def announced(what: str) -> Generator[None, None, None]:
    """Say what is being done if it takes long."""
    timer = threading.Timer(PATIENCE, say, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def interruptible() -> Generator[None, None, None]:
    """An interrupt from the keyboard ends the command, although it only ends a fit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "fit was interrupted", RuntimeWarning)
        try:
            yield
        except RuntimeWarning as error:
            raise KeyboardInterrupt from error
