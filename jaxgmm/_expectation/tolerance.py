"""Estimates whose number of points grows until the error is within a tolerance."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxgmm._expectation.result import Estimate
from jaxgmm._expectation.rounding import largest
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import Sobol

FIRST_RULE = Sobol(2**12, variance_reduction=False)  # compiles fast, and often suffices

DOUBLES = "as atol and rtol double the points of the rule until the error is small"


def check_concrete(key: Any, mixtures: tuple[Any, ...]) -> None:
    for name, value in (("key", key), *zip("pq", mixtures, strict=False)):
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            problem = f"{name} must be concrete, outside jax.jit, {DOUBLES}"
            raise TypeError(f"{problem}; or leave atol and rtol out")


def to_tolerance(
    run: Callable[..., Estimate], rule: Rule, later: Rule, atol: float, rtol: float, limit: int
) -> Estimate:
    """The estimate of the first rule whose error is within the tolerance, or else of the last."""
    size = rule.num_points
    if size is None:
        raise TypeError(f"rule must have num_points and resized(n), {DOUBLES}; got {rule!r}")
    while True:
        result = run(rule, draws_of_size=size)
        excess = _excess(result.standard_error, result.value, atol, rtol)
        if excess <= 1:
            # More points would not lower the rounding.
            is_covered = _excess(result.rounding, result.value, atol, rtol) <= 1
            return dataclasses.replace(result, converged=is_covered)
        # These doublings suffice for an error that falls as 1 / n. A slower one takes more rounds.
        doublings = math.ceil(min(math.log2(excess), 30.0))
        affordable = int(math.log2(max(1.0, limit / (result.num_replicates * size))))
        if affordable == 0:
            return dataclasses.replace(result, converged=False)
        size *= 2 ** min(doublings, affordable)
        rule = later.resized(size)


def _excess(error: Any, value: Any, atol: float, rtol: float) -> float:
    """The largest ratio of an error to its tolerance; 0 without an error."""
    ratios = [0.0]
    leaves = (jax.tree.leaves(jax.tree.map(np.asarray, tree)) for tree in (error, value))
    for e, v in zip(*leaves, strict=False):
        tolerance = np.maximum(np.maximum(atol, rtol * np.abs(v)), np.finfo(float).tiny)
        ratios.append(largest(np.where(e == 0, 0, e / tolerance)))
    return max(ratios)
