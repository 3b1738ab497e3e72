"""The command `jaxgmm`: compare two mixtures, or make one smaller, from a shell."""

import argparse
import contextlib
import json
import math
import os
import sys
import threading
import warnings
from collections.abc import Generator
from typing import Any, NoReturn

import jax
import numpy as np

import jaxgmm
from jaxgmm._example import demo
from jaxgmm._measures import MEASURES, numbers_of
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.moments import COVARIANCE_TYPES
from jaxgmm._table import is_saved_mixture, read_points

PATIENCE = 2.0  # seconds without a word

INTERRUPTED = 130  # as a shell counts what ends by SIGINT


class Parser(argparse.ArgumentParser):
    """One line and exit status 2 for what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run() -> NoReturn:
    """The command as a process of its own."""
    status = main()
    if status == INTERRUPTED:  # XLA may still be at work in its threads, under which the interpreter crashes as it ends
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
    compare.add_argument("-k", "--components", type=_positive_int, metavar="K", help="components of mixtures fitted to points")
    compare.add_argument("--covariance-type", choices=COVARIANCE_TYPES, default="full", help="of these (default: %(default)s)")
    compare.add_argument(
        "-d",
        "--divergence",
        type=_names,
        default="kl,js",
        metavar="NAMES",
        help=f"which, with commas between (default: %(default)s): {', '.join(MEASURES)}",
    )
    compare.add_argument("--plot", metavar="PICTURE", help="a file for a picture of both, a .png or .pdf, say")
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
    reduce.add_argument("num_components", type=_positive_int, metavar="K", help="how many components to leave, at most")
    reduce.add_argument("-o", "--out", required=True, metavar="OUT", help="the file to save the smaller mixture to")
    reduce.add_argument("--refine", action="store_true", help="then fit it to A by forward KL")
    _add_common(reduce)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rtol",
        type=_positive_float,
        default=1e-3,
        help="standard error to reach, as a share of the value, or of 0.01 where that is more (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random (default: %(default)s)")
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
    names = [name.strip().removesuffix("_divergence").removesuffix("_distance") for name in text.split(",")]
    for name in names:
        if name not in MEASURES:
            raise argparse.ArgumentTypeError(f"there is no {name!r}: the names are {', '.join(MEASURES)}")
    return names


def run_compare(arguments: argparse.Namespace) -> None:
    jax.config.update("jax_enable_x64", True)
    paths = {"A": arguments.a, "B": arguments.b}
    mixtures = {name: _mixture(path, arguments) for name, path in paths.items()}
    if mixtures["A"].num_dims != mixtures["B"].num_dims:
        each = ", ".join(f"{paths[name]} has {gmm.num_dims}" for name, gmm in mixtures.items())
        raise ValueError(f"both must live in one space, but their dimensions differ: {each}")
    if arguments.plot is not None:
        with announced("drawing"):
            _draw(arguments.plot, mixtures, "p: {A}, q: {B}".format(**paths))
    key = jax.random.key(arguments.seed)
    results = [result for name in arguments.divergence for result in _results(name, key, mixtures, arguments.rtol)]
    print_results(arguments, {name: description_of(paths[name], gmm) for name, gmm in mixtures.items()}, results)


def run_reduce(arguments: argparse.Namespace) -> None:
    jax.config.update("jax_enable_x64", True)
    gmm, key = _loaded(arguments.a), jax.random.key(arguments.seed)
    refine = jaxgmm.forward_kl_loss if arguments.refine else None
    with announced(f"reducing {arguments.a}"), interruptible():
        smaller = jaxgmm.reduce(gmm, arguments.num_components, refine=refine, key=key)
    jaxgmm.save(arguments.out, smaller)
    results = [_result("kl", key, {"A": gmm, "OUT": smaller}, arguments.rtol)]
    print_results(arguments, {"A": description_of(arguments.a, gmm), "OUT": description_of(arguments.out, smaller)}, results)


def _draw(path: str, mixtures: dict[str, GMM], title: str) -> None:
    """The densities on the line, or their regions in the plane of the first two coordinates."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("--plot needs matplotlib: pip install 'jaxgmm[plot]'") from error
    a, b = mixtures.values()
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)
    if a.num_dims > 2:
        say(f"{path} shows the first two of {a.num_dims} coordinates")
        a, b = (jaxgmm.marginal(gmm, (0, 1)) for gmm in (a, b))
    picture = jaxgmm.plot.densities if a.num_dims == 1 else jaxgmm.plot.contours
    picture(a, b, ax=axes)
    figure.savefig(path)


def _loaded(path: str) -> GMM:
    gmm = jaxgmm.load(path)
    if gmm.loc.ndim != 2:
        raise ValueError(f"{path} holds a stack of {len(gmm.loc)} mixtures, and not one")
    return gmm


def _mixture(path: str, arguments: argparse.Namespace) -> GMM:
    """What is saved there, or a fit to the points there."""
    if is_saved_mixture(path):
        return _loaded(path)
    points = read_points(path)
    if arguments.components is None:
        raise ValueError(f"{path} is a table of {len(points)} points: say by --components how many components to fit to it")
    with announced(f"fitting {path}"):
        return _fitted(path, points, arguments)


def _fitted(path: str, points: np.ndarray, arguments: argparse.Namespace) -> GMM:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ImportError(f"{path} is a table of points, which scikit-learn fits: pip install 'jaxgmm[sklearn]'") from error
    model = GaussianMixture(
        arguments.components, covariance_type=arguments.covariance_type, random_state=arguments.seed, max_iter=1000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said below
        try:
            model.fit(points)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if not model.converged_:
        say(f"the fit to {path} has not converged")
    return jaxgmm.from_sklearn(model)


def _results(name: str, key: jax.Array, mixtures: dict[str, GMM], rtol: float) -> list[dict[str, Any]]:
    """One way or, where the order matters, both."""
    orders = [mixtures, dict(reversed(mixtures.items()))] if MEASURES[name].is_directed else [mixtures]
    return [_result(name, key, order, rtol) for order in orders]


def _result(name: str, key: jax.Array, mixtures: dict[str, GMM], rtol: float) -> dict[str, Any]:
    measure = MEASURES[name]
    label = measure.label.format(*mixtures)
    pair = jax.tree.map(lambda leaf: leaf.astype(np.float64), tuple(mixtures.values()))
    with announced(f"computing {label}"):
        found = numbers_of(measure, key, pair, rtol)
    if found.get("converged") is False:
        say(f"{label}: the error is above the tolerance even with {found['n']} points")
    return {"name": name, "label": label, "kind": measure.kind, "unit": measure.unit, **found}


def description_of(path: str, gmm: GMM) -> dict[str, Any]:
    shape = {"num_components": gmm.num_components, "num_dims": gmm.num_dims}
    return {"path": path, **shape, "covariance_type": gmm.covariance_type}


def print_results(arguments: argparse.Namespace, mixtures: dict[str, dict[str, Any]], results: list[dict[str, Any]]) -> None:
    if arguments.json:
        print(json.dumps({"jaxgmm": jaxgmm.__version__, "mixtures": mixtures, "results": results}, indent=2))
        return
    for name, about in mixtures.items():
        components, dims = _counted(about["num_components"], "component"), _counted(about["num_dims"], "dimension")
        print(f"{name + ':':5s}{about['path']}: {components} ({about['covariance_type']}) in {dims}")
    width = max(len(result["label"]) for result in results)
    for result in results:
        print(f"{result['label']:{width}s}  {_number(result)} {result['unit']}".rstrip())


def _number(result: dict[str, Any]) -> str:
    if "lower" in result:
        return f"{result['lower']:.6g} to {result['upper']:.6g}"
    return f"{result['value']:.6g}" + (f" +- {result['standard_error']:.2g}" if "standard_error" in result else "")


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
