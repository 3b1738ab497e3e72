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

INTERRUPTED = 130  # as a shell counts what ends by SIGINT


class Parser(argparse.ArgumentParser):
    """One line and exit status 2 for what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run() -> NoReturn:
    """The command as a process of its own."""
    status = main()
    if (
        status == INTERRUPTED
    ):  # XLA may still be at work in its threads, under which the interpreter crashes as it ends
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
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
    parser = Parser(
        prog="jaxgmm",
        description="Divergences between Gaussian mixtures, with standard errors. Without a command: an example.",
        epilog="Saved mixtures are what jaxgmm.save writes. `jaxgmm COMMAND --help` tells more.",
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
        epilog="A table is a .npy file or an .npz file of one array (n, D), or a text file with a line for each point, "
        "with or without a line of names; scikit-learn fits a mixture to it.",
    )
    compare.set_defaults(run=run_compare)
    compare.add_argument("a", metavar="A", help="a saved mixture, or a table of points")
    compare.add_argument("b", metavar="B", help="the other")
    compare.add_argument(
        "-k",
        "--components",
        type=_positive_int,
        metavar="K",
        help="components of mixtures fitted to points",
    )
    compare.add_argument(
        "--covariance-type",
        choices=COVARIANCE_TYPES,
        default="full",
        help="of these (default: %(default)s)",
    )
    compare.add_argument(
        "-d",
        "--divergence",
        type=_names,
        default="kl,js",
        metavar="NAMES",
        help=f"which, with commas between (default: %(default)s): {', '.join(MEASURES)}",
    )
    compare.add_argument(
        "--plot", metavar="PICTURE", help="a file for a picture of both, a .png or .pdf, say"
    )
    _add_common(compare)


def _add_reduce(commands: Any) -> None:
    text = "Make a mixture smaller."
    reduce = commands.add_parser(
        "reduce",
        help=text,
        description=f"{text} Components are merged, two at a time. Prints KL(A || OUT), with its standard error.",
    )
    reduce.set_defaults(run=run_reduce)
    reduce.add_argument("a", metavar="A", help="a saved mixture")
    reduce.add_argument(
        "num_components",
        type=_positive_int,
        metavar="K",
        help="how many components to leave, at most",
    )
    reduce.add_argument(
        "-o", "--out", required=True, metavar="OUT", help="the file to save the smaller mixture to"
    )
    reduce.add_argument("--refine", action="store_true", help="then fit it to A by forward KL")
    _add_common(reduce)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rtol",
        type=_positive_float,
        default=1e-3,
        help="standard error to reach, as a share of the value, or of 0.01 where that is more (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of everything that is random (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


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
    """Those of measures, with commas between; those of the public functions will do as well."""
    names = [
        name.strip().removesuffix("_divergence").removesuffix("_distance")
        for name in text.split(",")
    ]
    for name in names:
        if name not in MEASURES:
            raise argparse.ArgumentTypeError(
                f"there is no {name!r}: the names are {', '.join(MEASURES)}"
            )
    return names
