"""The divergences of the command line by their names."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

import jaxgmm
from jaxgmm._mixture.gmm import GMM


@dataclasses.dataclass(frozen=True)
class Measure:
    """A function of two mixtures. In its label, {0} and {1} stand for their names."""

    kind: str
    function: Callable[..., Any]
    label: str
    unit: str = "nats"


MEASURES = {
    "kl": Measure("estimate", jaxgmm.kl_divergence, "KL({0} || {1})"),
    "js": Measure("estimate", jaxgmm.js_divergence, "JS({0}, {1})"),
    "jeffreys": Measure("estimate", jaxgmm.jeffreys_divergence, "Jeffreys({0}, {1})"),
    "chi_squared": Measure(
        "estimate", jaxgmm.chi_squared_divergence, "chi-squared({0} || {1})", ""
    ),
    "hellinger": Measure("estimate", jaxgmm.hellinger_distance, "Hellinger({0}, {1})", ""),
    "total_variation": Measure("estimate", jaxgmm.total_variation, "TV({0}, {1})", ""),
    "cauchy_schwarz": Measure(
        "exact", jaxgmm.cauchy_schwarz_divergence, "Cauchy-Schwarz({0}, {1})"
    ),
    "l2": Measure("exact", jaxgmm.l2_distance, "L2({0}, {1})", ""),
    "mixture_wasserstein": Measure("exact", jaxgmm.mixture_wasserstein, "MW2({0}, {1})", ""),
    "kl_variational": Measure("approximation", jaxgmm.kl_variational, "KL variational({0} || {1})"),
    "kl_product": Measure("approximation", jaxgmm.kl_product, "KL product({0} || {1})"),
    "kl_matched": Measure("approximation", jaxgmm.kl_matched, "KL matched({0} || {1})"),
    "kl_moment_matched": Measure(
        "approximation", jaxgmm.kl_moment_matched, "KL moment-matched({0} || {1})"
    ),
    "kl_bounds": Measure("bounds", jaxgmm.kl_bounds, "KL bounds({0} || {1})"),
    "js_bounds": Measure("bounds", jaxgmm.js_bounds, "JS bounds({0}, {1})"),
}


def numbers_of(
    measure: Measure, key: jax.Array, pair: tuple[GMM, ...], rtol: float
) -> dict[str, Any]:
    """The results of a measure for a JSON object: a value, two bounds, or an estimate."""
    if measure.kind == "bounds":
        lower, upper = measure.function(*pair)
        return {"lower": float(lower), "upper": float(upper)}
    if measure.kind != "estimate":
        return {"value": float(measure.function(*pair))}
    result = jaxgmm.estimate(measure.function, key, *pair, rtol=rtol, atol=0.01 * rtol)
    numbers = {"value": float(result.value), "standard_error": float(result.standard_error)}
    if result.rounding is not None:
        numbers["rounding"] = float(result.rounding)
    return {**numbers, "converged": result.converged, "n": result.num_points}
