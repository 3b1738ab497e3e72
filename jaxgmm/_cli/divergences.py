"""The divergences of the command line by their names."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jaxgmm

if TYPE_CHECKING:
    import jax

    from jaxgmm._mixture.gmm import GMM


class Measure(NamedTuple):
    """A public function of two mixtures. In its label, {0} and {1} stand for their names."""

    kind: str
    function: str
    label: str
    unit: str = "nats"


MEASURES = {
    "kl": Measure("estimate", "kl_divergence", "KL({0} || {1})"),
    "js": Measure("estimate", "js_divergence", "JS({0}, {1})"),
    "jeffreys": Measure("estimate", "jeffreys_divergence", "Jeffreys({0}, {1})"),
    "chi_squared": Measure("estimate", "chi_squared_divergence", "chi-squared({0} || {1})", ""),
    "hellinger": Measure("estimate", "hellinger_distance", "Hellinger({0}, {1})", ""),
    "total_variation": Measure("estimate", "total_variation", "TV({0}, {1})", ""),
    "cauchy_schwarz": Measure("exact", "cauchy_schwarz_divergence", "Cauchy-Schwarz({0}, {1})"),
    "l2": Measure("exact", "l2_distance", "L2({0}, {1})", ""),
    "mixture_wasserstein": Measure("exact", "mixture_wasserstein", "MW2({0}, {1})", ""),
    "kl_variational": Measure("approximation", "kl_variational", "KL variational({0} || {1})"),
    "kl_product": Measure("approximation", "kl_product", "KL product({0} || {1})"),
    "kl_matched": Measure("approximation", "kl_matched", "KL matched({0} || {1})"),
    "kl_moment_matched": Measure(
        "approximation", "kl_moment_matched", "KL moment-matched({0} || {1})"
    ),
    "kl_bounds": Measure("bounds", "kl_bounds", "KL bounds({0} || {1})"),
    "js_bounds": Measure("bounds", "js_bounds", "JS bounds({0}, {1})"),
}


def function_of(name: str) -> Any:
    return getattr(jaxgmm, MEASURES[name].function)


def numbers_of(name: str, key: "jax.Array", pair: tuple["GMM", ...], rtol: float) -> dict[str, Any]:
    """The results of a measure for a JSON object: a value, two bounds, or an estimate."""
    kind, function = MEASURES[name].kind, function_of(name)
    if kind == "bounds":
        return dict(zip(("lower", "upper"), map(float, function(*pair)), strict=True))
    if kind != "estimate":
        return {"value": float(function(*pair))}
    result = jaxgmm.estimate(function, key, *pair, rtol=rtol, atol=0.01 * rtol)
    numbers = {"value": float(result.value), "standard_error": float(result.standard_error)}
    if result.rounding is not None:
        numbers["rounding"] = float(result.rounding)
    return {**numbers, "converged": result.converged, "n": result.num_points}
