"""Mixtures in other units of the points, and how the results of each function follow them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgmm
from jaxgmm import GMM

RULE = jaxgmm.GaussHermite(4)
X = np.array([[0.3, -0.7], [2.0, 1.0]])


def random_stack(seed: int, n: int, k: int, d: int) -> GMM:
    """A stack of n full mixtures in float64, with deviations about 1."""
    rng = np.random.default_rng(seed)
    return GMM(
        rng.normal(size=(n, k)),
        2 * rng.normal(size=(n, k, d)),
        0.5 * rng.normal(size=(n, k, d)),
        0.5 * rng.normal(size=(n, k, d * (d - 1) // 2)),
    )


def in_units(gmm: GMM, units: np.ndarray) -> GMM:
    """The mixtures of x times units (D,), in float64."""
    logits, loc, log_diag = (np.asarray(a, float) for a in (gmm.logits, gmm.loc, gmm.log_diag))
    below = np.tril_indices(len(units), -1)[0]
    off_diag = None if gmm.off_diag is None else np.asarray(gmm.off_diag, float) * units[below]
    return GMM(logits, loc * units, log_diag + np.log(units), off_diag)


def cast(gmm: GMM, dtype) -> GMM:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), gmm)


@dataclasses.dataclass(frozen=True)
class Case:
    """A function of p, q and the units (D,), and how it follows them.

    Attributes:
      fn: the function.
      factor: units -> what multiplies the result.
      shift: how often the logarithm of the product of the units is added to the result.
      common: whether all coordinates have the same unit.
      relative: whether an error of the logarithms is one of the result relative to its size.
      noisy_gradient: whether an iteration leaves an error in the gradient, which in float32 is
        about as large as the gradient.
      draws: whether its random draws depend on the dtype.
    """

    fn: Callable[..., Any]
    factor: Callable[[np.ndarray], Any] = lambda units: 1.0
    shift: float = 0.0
    common: bool = False
    relative: bool = False
    noisy_gradient: bool = False
    draws: bool = False


def sampled(name: str, **options: Any) -> Callable[..., Any]:
    function = getattr(jaxgmm, name)
    return lambda p, q, units: function(None, p, q, rule=RULE, **options)


def of_one(name: str) -> Callable[..., Any]:
    return lambda p, q, units: getattr(jaxgmm, name)(None, p, RULE)


def exact(name: str) -> Callable[..., Any]:
    return lambda p, q, units: getattr(jaxgmm, name)(p, q)


def at_points(name: str) -> Callable[..., Any]:
    return lambda p, q, units: getattr(jaxgmm, name)(p, units[None] * X.astype(units.dtype))


def as_numbers(gmm: GMM, units: jax.Array) -> tuple[jax.Array, ...]:
    """The parameters of a mixture, without their units."""
    log_diag = gmm.log_diag - jnp.log(units)[None]
    return gmm.logits, gmm.loc / units[None], log_diag, gmm.off_diag / units[1]


INVARIANT = {
    **{name: sampled(name) for name in ("kl_divergence", "js_divergence", "jeffreys_divergence")},
    **{name: sampled(name) for name in ("hellinger_distance", "total_variation")},
    "renyi_divergence": sampled("renyi_divergence", alpha=0.5),
    "near kl": sampled("kl_divergence", midpoint=True),
    "all_divergences": sampled("all_divergences"),
    **{name: of_one(name) for name in ("component_information", "classification_entropy")},
    **{name: exact(name) for name in ("gaussian_kl", "bhattacharyya_distance", "kl_product")},
    **{name: exact(name) for name in ("cauchy_schwarz_divergence", "kl_variational", "kl_matched")},
    "kl_moment_matched": exact("kl_moment_matched"),
    "responsibilities": at_points("responsibilities"),
    "convolve": lambda p, q, units: as_numbers(jaxgmm.convolve(p, q), units),
    "product": lambda p, q, units: as_numbers(jaxgmm.product(p, q)[0], units),
    "mixture_of": lambda p, q, units: as_numbers(jaxgmm.mixture_of([p, q]), units),
    "centred": lambda p, q, units: as_numbers(jaxgmm.centred(p, q)[1], units),
    "condition": lambda p, q, units: (
        jaxgmm.condition(p, (0,), 0.5 * units[:1]).loc / units[1],
        jaxgmm.condition(p, (1,), 0.5 * units[1:]).weights,
    ),
    "marginal": lambda p, q, units: jaxgmm.marginal(p, (1,)).scale_tril / units[1],
}
CASES = {name: Case(fn) for name, fn in INVARIANT.items()} | {
    "f_divergence": Case(sampled("f_divergence", f=jnp.square), relative=True),
    "kl_bounds": Case(exact("kl_bounds"), noisy_gradient=True),
    "js_bounds": Case(exact("js_bounds"), noisy_gradient=True),
    "entropy": Case(of_one("entropy"), shift=1),
    "cross_entropy": Case(sampled("cross_entropy"), shift=1),
    "entropy_bounds": Case(lambda p, q, units: jaxgmm.entropy_bounds(p), shift=1),
    "quadratic_renyi_entropy": Case(lambda p, q, units: jaxgmm.quadratic_renyi_entropy(p), shift=1),
    "log_normaliser": Case(lambda p, q, units: jaxgmm.product(p, q)[1], shift=-1),
    "log_prob": Case(at_points("log_prob"), shift=-1),
    "component_log_prob": Case(at_points("component_log_prob"), shift=-1),
    "negative_log_likelihood": Case(at_points("negative_log_likelihood"), shift=1),
    "log_l2_distance": Case(exact("log_l2_distance"), shift=-0.5),
    "l2_distance": Case(exact("l2_distance"), lambda units: np.prod(units) ** -0.5, relative=True),
    "mmd": Case(lambda p, q, units: jaxgmm.mmd(p, q, 1.5 * units[0]), common=True),
    "gaussian_wasserstein_squared": Case(
        exact("gaussian_wasserstein_squared"),
        lambda units: units[0] ** 2,
        common=True,
        relative=True,
    ),
    "mixture_wasserstein": Case(
        exact("mixture_wasserstein"), lambda units: units[0], common=True, relative=True
    ),
    "affine": Case(
        lambda p, q, units: as_numbers(
            jaxgmm.affine(p, jnp.array([[1, 0.5], [-0.3, 2]], p.loc.dtype), 2 * units), units
        ),
        common=True,
    ),
    "mixture_mean": Case(
        lambda p, q, units: jaxgmm.mixture_mean(p), lambda units: units, relative=True
    ),
    "mixture_covariance": Case(
        lambda p, q, units: jaxgmm.mixture_covariance(p),
        lambda units: np.outer(units, units),
        relative=True,
    ),
    "covariances": Case(
        lambda p, q, units: p.covariances, lambda units: np.outer(units, units), relative=True
    ),
    "sample": Case(
        lambda p, q, units: jaxgmm.sample(jax.random.key(0), p, 8),
        lambda units: units,
        relative=True,
        draws=True,
    ),
}
