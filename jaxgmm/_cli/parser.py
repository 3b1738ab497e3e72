"""The arguments of the command, and the command as a process."""

import argparse
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import jaxgmm
from jaxgmm._cli.divergences import MEASURES
from jaxgmm._cli.process import prepared

TABLES = (
    "A table is a .npy file, an .npz file of one array (n, D) or of a vector for each column, a "
    "text file such as csv with a line for each row, or a file of parquet. Columns that have names "
    "are matched by name."
)
INTERRUPTED = 130  # the status that a shell gives to a process that SIGINT has ended


class Parser(argparse.ArgumentParser):
    """A parser that answers an error by one line and exit status 2, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run() -> NoReturn:
    """Run the command as a process of its own, and end the process."""
    signal.signal(signal.SIGINT, _end)  # imports that are interrupted would print tracebacks
    status = main(prepare=prepared)
    if status == INTERRUPTED:
        # Threads of XLA may still be at work, and would crash an interpreter that ends as usual.
        os._exit(status)
    sys.exit(status)


def _end(*_: Any) -> NoReturn:
    os._exit(_interrupted())


def _interrupted() -> int:
    print("jaxgmm: interrupted", file=sys.stderr, flush=True)
    return INTERRUPTED


def main(
    argv: list[str] | None = None, prepare: Callable[[argparse.Namespace], Any] | None = None
) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if prepare is not None:
            prepare(arguments)
        _command(arguments.run or "demo")(arguments)
    except KeyboardInterrupt:
        return _interrupted()
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (ValueError, ImportError, FloatingPointError) as error:
        parser.error(" ".join(str(error).split()))
    return 0


def _command(name: str) -> Callable[[argparse.Namespace], Any]:
    """The function of a command, whose import takes long."""
    if name == "demo":
        from jaxgmm._cli import demo as commands
    else:
        import jax

        from jaxgmm._cli import commands

        jax.config.update("jax_enable_x64", True)
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return getattr(commands, name)


def _parser() -> Parser:
    """The parser of all commands. It sets the argument `run` to the name of the command."""
    parser = Parser(
        prog="jaxgmm",
        description="Compute divergences between Gaussian mixtures, with standard errors. "
        "Without a command, an example is run.",
        epilog="A saved mixture is a file of jaxgmm.save. `jaxgmm COMMAND --help` tells more.",
    )
    parser.set_defaults(cache=True)
    parser.add_argument("--version", action="version", version=f"jaxgmm {jaxgmm.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="run")
    _add_compare(commands)
    _add_drift(commands)
    _add_reduce(commands)
    return parser


def _add_compare(commands: Any) -> None:
    text = "How far apart are two mixtures, or two tables of points?"
    add = _added(
        commands,
        "compare",
        text,
        f"{text} In nats, with the standard error of the integration, and between tables with what "
        "chance alone gives. Rows are taken to be exchangeable: where they depend on those before "
        "them, or several are of one subject, p is too small; in Python, `groups=` helps.",
    )
    add("a", metavar="A", help="a saved mixture, or a table")
    add("b", metavar="B", help="the other mixture or table")
    _add_of_tables(add)
    text = "how often to resample the rows for an interval of the excess (default: %(default)s)"
    add("--bootstrap", type=_count, default=199, metavar="N", help=text)
    text = "say which columns differ, too: each alone, with p raised by Holm's method for their "
    text += "number, and what it adds to the divergence beyond all others"
    add("--by-column", action="store_true", help=text)
    text = f"a list with commas (default: js between tables, else kl,js) of: {', '.join(MEASURES)}"
    add("-d", "--divergence", type=_names, metavar="NAMES", help=text)
    text = "the file for a picture of both mixtures, such as a .png or .pdf"
    add("--plot", metavar="PICTURE", help=text)
    _add_rtol(add)


def _add_drift(commands: Any) -> None:
    text = "Do data change from period to period, since when, and in which columns?"
    add = _added(commands, "drift", text, text)
    add("tables", nargs="+", metavar="TABLE", help="one table, or one for each period")
    add("--by", metavar="COLUMN", help="the column of one table that names the period of each row")
    text = "the periods to compare all others with (default: each with all before it)"
    add("--baseline", type=_listed, metavar="PERIODS", help=text)
    _add_of_tables(add)


def _add_of_tables(add: Callable[..., Any]) -> None:
    """Add what both commands on tables take."""
    text = "the number of components of each fit, or auto (the default): the one of the lowest BIC"
    add("-k", "--components", type=_components, default="auto", metavar="K", help=text)
    text = "of the fitted mixtures (default: %(default)s)"
    types = ("full", "tied", "diag", "spherical")
    add("--covariance-type", choices=types, default="full", help=text)
    text = "use these columns alone: names with commas, or numbers from 1 where there are no names"
    add("--columns", type=_listed, metavar="NAMES", help=text)
    add("--drop", type=_listed, default=[], metavar="NAMES", help="leave these columns out")
    add("--dropna", action="store_true", help="leave out the rows in which a value is missing")
    text = "how often to permute the rows, to see what chance does; 0: not (default: %(default)s)"
    add("--permutations", type=_count, default=199, metavar="N", help=text)


def _add_reduce(commands: Any) -> None:
    text = "Make a mixture smaller."
    more = f"{text} Components are merged, two at a time. Prints KL(A || OUT) and its error."
    add = _added(commands, "reduce", text, more, epilog=None)
    add("a", metavar="A", help="a saved mixture")
    text = "the largest number of components to leave"
    add("num_components", type=_positive_int, metavar="K", help=text)
    add("-o", "--out", required=True, metavar="OUT", help="the file to save the smaller mixture to")
    add("--refine", action="store_true", help="then fit the smaller mixture to A by forward KL")
    _add_rtol(add)


def _added(
    commands: Any, name: str, text: str, description: str, epilog: str | None = TABLES
) -> Callable[..., Any]:
    """The method that adds arguments to a new command, which has those of all commands."""
    parser = commands.add_parser(name, help=text, description=description, epilog=epilog)
    add = parser.add_argument
    add("--seed", type=int, default=0, help="the seed of all random numbers (default: %(default)s)")
    add("--json", action="store_true", help="print a JSON object")
    text = "do not keep compiled programs for the next time, in the user's folder of caches"
    add("--no-cache", action="store_false", dest="cache", help=text)
    return add


def _add_rtol(add: Callable[..., Any]) -> None:
    text = "the standard error to reach, relative to the value or 0.01, whichever is larger"
    text += " (default: %(default)s)"
    add("--rtol", type=_positive_float, default=1e-3, help=text)


def _components(text: str) -> int | str:
    return text if text == "auto" else _positive_int(text)


def _count(text: str) -> int:
    return 0 if text == "0" else _positive_int(text)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


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
    names = [n.removesuffix("_divergence").removesuffix("_distance") for n in _listed(text)]
    for name in names:
        if name not in MEASURES:
            known = ", ".join(MEASURES)
            raise argparse.ArgumentTypeError(f"there is no {name!r}: the names are {known}")
    return names
