"""The arguments of the command, and the command as a process."""

import argparse
import contextlib
import math
import os
import sys
from typing import Any, NoReturn

import jaxgmm
from jaxgmm._cli.commands import run_compare, run_reduce
from jaxgmm._cli.demo import demo
from jaxgmm._cli.divergences import MEASURES
from jaxgmm._mixture.moments import COVARIANCE_TYPES

INTERRUPTED = 130  # the status that a shell gives to a process that SIGINT has ended


class Parser(argparse.ArgumentParser):
    """A parser that answers an error by one line and exit status 2, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run() -> NoReturn:
    """Run the command as a process of its own, and end the process."""
    status = main()
    if status == INTERRUPTED:
        # Threads of XLA may still be at work, and would crash an interpreter that ends as usual.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        print("jaxgmm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (ValueError, ImportError, FloatingPointError) as error:
        parser.error(" ".join(str(error).split()))
    return 0


def _parser() -> Parser:
    """The parser of all commands. It sets the argument `run` to the function to call."""
    parser = Parser(
        prog="jaxgmm",
        description="Compute divergences between Gaussian mixtures, with standard errors. "
        "Without a command, an example is run.",
        epilog="A saved mixture is a file of jaxgmm.save. `jaxgmm COMMAND --help` tells more.",
    )
    parser.set_defaults(run=lambda arguments: demo())
    parser.add_argument("--version", action="version", version=f"jaxgmm {jaxgmm.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_compare(commands)
    _add_reduce(commands)
    return parser


def _add_compare(commands: Any) -> None:
    text = "How far apart are two mixtures, or two tables of points?"
    compare = commands.add_parser(
        "compare",
        help=text,
        description=f"{text} KL both ways and JS, in nats, each with its standard error.",
        epilog="A table is a .npy file or an .npz file of one array (n, D), or a text file with a "
        "line for each point, with or without a line of names; scikit-learn fits a mixture to it.",
    )
    compare.set_defaults(run=run_compare)
    add = compare.add_argument
    add("a", metavar="A", help="a saved mixture, or a table of points")
    add("b", metavar="B", help="the other mixture or table")
    text = "the number of components to fit to each table"
    add("-k", "--components", type=_positive_int, metavar="K", help=text)
    text = "of the fitted mixtures (default: %(default)s)"
    add("--covariance-type", choices=COVARIANCE_TYPES, default="full", help=text)
    text = f"a list with commas (default: %(default)s) of: {', '.join(MEASURES)}"
    add("-d", "--divergence", type=_names, default="kl,js", metavar="NAMES", help=text)
    text = "the file for a picture of both mixtures, such as a .png or .pdf"
    add("--plot", metavar="PICTURE", help=text)
    _add_common(compare)


def _add_reduce(commands: Any) -> None:
    text = "Make a mixture smaller."
    reduce = commands.add_parser(
        "reduce",
        help=text,
        description=f"{text} Components are merged, two at a time. Prints KL(A || OUT) with its "
        "standard error.",
    )
    reduce.set_defaults(run=run_reduce)
    add = reduce.add_argument
    add("a", metavar="A", help="a saved mixture")
    text = "the largest number of components to leave"
    add("num_components", type=_positive_int, metavar="K", help=text)
    add("-o", "--out", required=True, metavar="OUT", help="the file to save the smaller mixture to")
    add("--refine", action="store_true", help="then fit the smaller mixture to A by forward KL")
    _add_common(reduce)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "the standard error to reach, relative to the value or 0.01, whichever is larger"
    add("--rtol", type=_positive_float, default=1e-3, help=f"{text} (default: %(default)s)")
    text = "the seed of all random numbers (default: %(default)s)"
    add("--seed", type=int, default=0, help=text)
    add("--json", action="store_true", help="print a JSON object")


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return int(text)


def _positive_float(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")


def _names(text: str) -> list[str]:
    """The measures in a list with commas, by their names or those of their public functions."""
    parts = [name.strip() for name in text.split(",")]
    names = [name.removesuffix("_divergence").removesuffix("_distance") for name in parts]
    for name in names:
        if name not in MEASURES:
            known = ", ".join(MEASURES)
            raise argparse.ArgumentTypeError(f"there is no {name!r}: the names are {known}")
    return names
