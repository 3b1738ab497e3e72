"""Mixtures that are fitted to samples, and tests whether samples differ."""

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxgmm
from jaxgmm._cli import report
from jaxgmm._cli.divergences import MEASURES, function_of
from jaxgmm._cli.report import announced, counted
from jaxgmm._cli.samples import Samples
from jaxgmm._mixture.gmm import GMM
from jaxgmm._samples.comparison import components_of


def chosen_components(key: jax.Array, samples: Samples, arguments: argparse.Namespace) -> int:
    """The number of components that is asked for, or the one of the lowest BIC for all rows."""
    if arguments.components != "auto":
        return arguments.components
    rows = np.concatenate(list(samples.points.values()))
    with announced("choosing the number of components", samples.note):
        number = components_of(key, rows, "auto", arguments.covariance_type)
    samples.note(f"{counted(number, 'component')} by the BIC of all rows; -k sets another number")
    return number


def fits_of(
    key_number: jax.Array, key: jax.Array, samples: Samples, arguments: argparse.Namespace
) -> tuple[dict[str, GMM], Any]:
    """The fit to each sample, and the result of their test if there are two."""
    if not samples.points:
        return {}, None
    num_components = chosen_components(key_number, samples, arguments)
    names, settings = list(samples.points), {"covariance_type": arguments.covariance_type}
    tested = tested_name(arguments.divergence)
    with announced("fitting", samples.note):
        if len(names) == 1:
            fit = jaxgmm.fit_em(key, samples.points[names[0]], num_components, **settings)
            return {names[0]: fit.params}, None
        x, y = samples.points.values()
        test = jaxgmm.two_sample_test(
            key,
            x,
            y,
            num_components,
            function_of(tested or "js"),
            **settings,
            num_permutations=arguments.permutations if tested else 0,
            num_bootstrap=arguments.bootstrap,
            columns=samples.names,
            by_column=arguments.by_column,
            progress=progress(),
        )
    if not test.converged:
        samples.note("the fits have not converged")
    return dict(zip(names, (test.p, test.q), strict=True)), test


def drift_of(key: jax.Array, samples: Samples, arguments: argparse.Namespace) -> jaxgmm.DriftResult:
    """Whether samples of one period after the other drift."""
    *_, key_number = jax.random.split(key, 5)  # as `drift` does
    num_components = chosen_components(key_number, samples, arguments)
    names, values = list(samples.points), list(samples.points.values())
    with announced("comparing the periods", samples.note):
        result = jaxgmm.drift(
            key,
            np.concatenate(values),
            np.repeat(np.arange(len(values)), [len(x) for x in values]),  # in the order of time
            num_components,
            baseline=arguments.baseline and [names.index(name) for name in arguments.baseline],
            covariance_type=arguments.covariance_type,
            num_permutations=arguments.permutations,
            columns=samples.names,
            progress=progress(),
        )
    p_values = {names[i]: p_value for i, p_value in result.p_values.items()}
    first = None if result.first is None else names[result.first]
    return dataclasses.replace(result, periods=tuple(names), p_values=p_values, first=first)


def tested_name(names: list[str]) -> str | None:
    """The measure to compare with chance: JS or else the first estimate, if there is one."""
    estimates = [name for name in names if MEASURES[name].kind == "estimate"]
    return "js" if "js" in estimates else next(iter(estimates), None)


def progress() -> Callable[[int, int], None]:
    """A function that says now and then how many refits are done."""
    last = time.monotonic()

    def said(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > report.PATIENCE and done < total:
            report.say(f"{done} of {total} refits to permuted or resampled rows")
            last = time.monotonic()

    return said
