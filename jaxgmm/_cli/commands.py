"""The commands `compare` and `reduce`."""

import argparse
import warnings
from typing import Any

import jax
import numpy as np

import jaxgmm
from jaxgmm._cli.divergences import MEASURES, numbers_of
from jaxgmm._cli.report import announced, description_of, interruptible, print_results, say
from jaxgmm._cli.tables import is_saved_mixture, read_points
from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.validated_jit import declared_by
from jaxgmm.interop._imports import imported


def run_compare(arguments: argparse.Namespace) -> None:
    """Print the divergences between two mixtures, and draw them if a picture is asked for."""
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
    found = [_results(name, key, mixtures, arguments.rtol) for name in arguments.divergence]
    about = {name: description_of(paths[name], gmm) for name, gmm in mixtures.items()}
    print_results(arguments, about, [result for results in found for result in results])


def run_reduce(arguments: argparse.Namespace) -> None:
    """Save a mixture of fewer components, and print its divergence from the given one."""
    jax.config.update("jax_enable_x64", True)
    gmm = _loaded(arguments.a)
    key = jax.random.key(arguments.seed)
    refine = jaxgmm.forward_kl_loss if arguments.refine else None
    with announced(f"reducing {arguments.a}"), interruptible():
        smaller = jaxgmm.reduce(gmm, arguments.num_components, refine=refine, key=key)
    jaxgmm.save(arguments.out, smaller)
    result = _result("kl", key, {"A": gmm, "OUT": smaller}, arguments.rtol)
    out = description_of(arguments.out, smaller)
    print_results(arguments, {"A": description_of(arguments.a, gmm), "OUT": out}, [result])


def _draw(path: str, mixtures: dict[str, GMM], title: str) -> None:
    """Save a picture of both mixtures, on the line or in the plane of the first two coordinates."""
    module = imported("matplotlib.figure", "--plot", "matplotlib", "plot")
    a, b = mixtures.values()
    figure = module.Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)
    if a.num_dims > 2:
        say(f"{path} shows the first two of {a.num_dims} coordinates")
        a, b = (jaxgmm.marginal(gmm, (0, 1)) for gmm in (a, b))
    picture = jaxgmm.plot.densities if a.num_dims == 1 else jaxgmm.plot.contours
    picture(a, b, ax=axes)
    figure.savefig(path)


def _loaded(path: str) -> GMM:
    """The mixture in a file of `jaxgmm.save`, or an error if there is a stack of them."""
    gmm = jaxgmm.load(path)
    if gmm.loc.ndim != 2:
        raise ValueError(f"{path} holds a stack of {len(gmm.loc)} mixtures, and not one")
    return gmm


def _mixture(path: str, arguments: argparse.Namespace) -> GMM:
    """The mixture in a file, or a mixture that is fitted to the points in the file."""
    if is_saved_mixture(path):
        return _loaded(path)
    points = read_points(path)
    if arguments.components is None:
        mend = "say by --components how many components to fit to it"
        raise ValueError(f"{path} is a table of {len(points)} points: {mend}")
    with announced(f"fitting {path}"):
        return _fitted(path, points, arguments)


def _fitted(path: str, points: np.ndarray, arguments: argparse.Namespace) -> GMM:
    sklearn = imported("sklearn.mixture", f"{path}, a table of points,", "scikit-learn", "sklearn")
    from sklearn.exceptions import ConvergenceWarning

    settings = {"covariance_type": arguments.covariance_type, "random_state": arguments.seed}
    model = sklearn.GaussianMixture(arguments.components, **settings, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a message below says the same
        try:
            model.fit(points)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if not model.converged_:
        say(f"the fit to {path} has not converged")
    return jaxgmm.from_sklearn(model)


def _results(
    name: str, key: jax.Array, mixtures: dict[str, GMM], rtol: float
) -> list[dict[str, Any]]:
    """The results of a measure, in both orders of the mixtures if the order matters."""
    orders = [mixtures]
    if not declared_by(MEASURES[name].function).symmetric:
        orders.append(dict(reversed(mixtures.items())))
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
