"""The commands `compare`, `drift` and `reduce`."""

import argparse
from typing import Any

import jax
import numpy as np

import jaxgmm
from jaxgmm._cli.divergences import MEASURES, function_of, numbers_of
from jaxgmm._cli.fitting import drift_of, fits_of, tested_name
from jaxgmm._cli.pictures import check_picture, draw
from jaxgmm._cli.report import announced, description_of, print_json, print_results, say
from jaxgmm._cli.samples import by_period, listed, samples_of, varying
from jaxgmm._cli.tables import Table, is_saved_mixture, read_table
from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.validated_jit import declared_by


def compare(arguments: argparse.Namespace) -> None:
    """Print the divergences between two mixtures, and draw them if a picture is asked for."""
    if arguments.plot is not None:
        check_picture(arguments.plot)
    paths = {"A": arguments.a, "B": arguments.b}
    given = {n: _loaded(p) if is_saved_mixture(p) else read_table(p) for n, p in paths.items()}
    tables = {name: table for name, table in given.items() if isinstance(table, Table)}
    samples = samples_of(tables, arguments)
    samples = varying(samples) if tables else samples
    saved = {name: gmm for name, gmm in given.items() if isinstance(gmm, GMM)}
    _check_one_space(paths, saved, samples.names)
    if arguments.divergence is None:  # with chance beside it, JS alone tells enough
        arguments.divergence = ["js"] if len(tables) == 2 else ["kl", "js"]
    # The keys of `two_sample_test`, so that Python gives the same numbers, and one for the rest.
    key_test, key = jax.random.key(arguments.seed), jax.random.key(~arguments.seed)
    *_, key_number = jax.random.split(key_test, 4)
    fits, test = fits_of(key_number, key_test, samples, arguments)
    mixtures = {name: saved[name] if name in saved else fits[name] for name in paths}
    if arguments.plot is not None:
        with announced("drawing"):
            draw(arguments.plot, mixtures, samples.names, "p: {A}, q: {B}".format(**paths))
    tests = {tested_name(arguments.divergence): test} if test is not None else {}
    results: list[dict[str, Any]] = []
    for name in arguments.divergence:
        results += _results(name, key, mixtures, arguments.rtol, tests.get(name))
    about = {name: description_of(paths[name], gmm) for name, gmm in mixtures.items()}
    for name, points in samples.points.items():
        about[name]["num_rows"] = len(points)
    print_results(arguments, about, results, columns=samples.names, notes=samples.notes)


def drift(arguments: argparse.Namespace) -> None:
    """Print whether periods differ by more than chance, since when, and in which columns."""
    tables = {path: read_table(path) for path in arguments.tables}
    if (len(tables) == 1) != (arguments.by is not None):
        raise ValueError("give one table and --by COLUMN, or a table for each of several periods")
    of_values = argparse.Namespace(**vars(arguments))
    of_values.drop = arguments.drop if arguments.by is None else [*arguments.drop, arguments.by]
    samples = samples_of(tables, of_values)
    if arguments.by is not None:
        samples = by_period(samples, tables[arguments.tables[0]], arguments.by)
    samples = varying(samples)
    names = list(samples.points)
    unknown = [name for name in arguments.baseline or [] if name not in names]
    if unknown:
        raise ValueError(f"--baseline: there is no period {unknown[0]!r}, but {listed(names)}")
    result = drift_of(jax.random.key(arguments.seed), samples, arguments)
    if arguments.json:
        others = {"columns_used": samples.names, "notes": samples.notes}
        rows = {name: len(points) for name, points in samples.points.items()}
        print_json(arguments, num_rows=rows, **others, **result.to_dict())
    else:
        print(result)


def reduce(arguments: argparse.Namespace) -> None:
    """Save a mixture of fewer components, and print its divergence from the given one."""
    gmm = _loaded(arguments.a)
    key = jax.random.key(arguments.seed)
    refine = jaxgmm.forward_kl_loss if arguments.refine else None
    with announced(f"reducing {arguments.a}"):
        smaller = jaxgmm.reduce(gmm, arguments.num_components, refine=refine, key=key)
    jaxgmm.save(arguments.out, smaller)
    result = _results("kl", key, {"A": gmm, "OUT": smaller}, arguments.rtol)[0]
    out = description_of(arguments.out, smaller)
    print_results(arguments, {"A": description_of(arguments.a, gmm), "OUT": out}, [result])


def _check_one_space(paths: dict[str, str], saved: dict[str, GMM], names: list[str]) -> None:
    dims = {name: saved[name].num_dims if name in saved else len(names) for name in paths}
    if dims["A"] != dims["B"]:
        each = ", ".join(f"{paths[name]} has {num}" for name, num in dims.items())
        columns = f" ({listed(names)})" if names else ""
        raise ValueError(f"they live in spaces of different dimensions: {each}{columns}")


def _loaded(path: str) -> GMM:
    """The mixture in a file of `jaxgmm.save`, or an error if there is a stack of them."""
    gmm = jaxgmm.load(path)
    if not isinstance(gmm, GMM):
        raise ValueError(f"{path} holds no mixture, but {type(gmm).__name__}")
    if gmm.loc.ndim != 2:
        raise ValueError(f"{path} holds a stack of {len(gmm.loc)} mixtures, and not one")
    return gmm


def _results(
    name: str, key: jax.Array, mixtures: dict[str, GMM], rtol: float, test: Any = None
) -> list[dict[str, Any]]:
    """The results of a measure, in both orders of the mixtures if the order matters.

    A test of the samples gives the first of them.
    """
    orders = [mixtures]
    if not declared_by(function_of(name)).symmetric:
        orders.append(dict(reversed(mixtures.items())))
    found = [_numbers(name, key, order, rtol) for order in orders[test is not None :]]
    if test is not None:
        known = test.to_dict()
        fits = {"fits_converged": known.pop("converged")}
        found = [{**known, **fits, "words": str(test)}, *found]
    kind, _, label, unit = MEASURES[name]
    about = {"name": name, "kind": kind, "unit": unit}
    return [
        {"label": label.format(*order), **about, **numbers}
        for order, numbers in zip(orders, found, strict=True)
    ]


def _numbers(name: str, key: jax.Array, mixtures: dict[str, GMM], rtol: float) -> dict[str, Any]:
    label = MEASURES[name].label.format(*mixtures)
    pair = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tuple(mixtures.values()))
    with announced(f"computing {label}"):
        found = numbers_of(name, key, pair, rtol)
    if found.get("converged") is False:
        say(f"{label}: the error is above the tolerance even with {found['n']} points")
    return found
