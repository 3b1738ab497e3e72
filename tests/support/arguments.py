"""Good arguments for every public function, found by their names, and what may be put in the place
of each.
"""

import dataclasses
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import GMM
from support.leaves import LEAVES
from support.libraries import library
from support.readme import RESULTS

P = GMM.from_moments(
    [0.3, 0.7], [[-1.0, 0.5], [1.0, 2.0]], [[[1.0, 0.2], [0.2, 2.0]], [[3.0, 0.5], [0.5, 1.5]]]
)
Q = GMM.from_moments(
    [0.6, 0.4], [[0.5, -0.5], [2.0, 1.0]], [[[2.0, -0.3], [-0.3, 1.0]], [[1.5, 0.1], [0.1, 2.5]]]
)
LINE = GMM.from_moments([0.3, 0.7], [[-1.0], [1.0]], [1.0, 2.0], "spherical")
KEY, RULE, X = (
    jax.random.key(0),
    jaxgmm.MonteCarlo(16),
    np.array([[0.5, 1.0], [-1.0, 2.0], [0.25, -3.0]]),
)

COMPARED = jaxgmm.TwoSampleResult(
    *(0.3, 0.1, np.array([0.1, 0.2]), 0.05, 0.1, (0.0, 0.2), P, Q, True, (3, 3), "JS", None, {})
)
# By the name of the argument, as an argument means the same everywhere.
USUAL = {
    "key": KEY,
    "p": P,
    "q": Q,
    "gmm": P,
    "gmms": [P, Q],
    "others": [Q],
    "mixtures": P,
    "x": X,
    "rule": RULE,
    "mesh": None,
    "divergence": jaxgmm.kl_divergence,
    **dict.fromkeys(("path_gradient", "midpoint", "log_ratio", "return_plan", "symmetric"), False),
    "batch_size": 2,
    "f": jnp.square,
    "fn": jnp.square,
    "alpha": 0.5,
    "bandwidth": 1.5,
    "num_samples": 3,
    "num_replicates": 4,
    "gradient_of": None,
    "dims": (1,),
    "values": np.array([0.5]),
    "matrix": np.array([[1.0, 2.0]]),
    "shift": np.array([3.0]),
    "weights": np.array([0.25, 0.75]),
    "means": np.array([[0.5, 1.0], [2.0, 3.0]]),
    "covariances": np.array([2 * np.eye(2), 3 * np.eye(2)]),
    "covariance_type": "full",
    "precisions": np.array([2 * np.eye(2), 3 * np.eye(2)]),
    **{"precisions_cholesky": None, "log_weights": None, "normalize": False},
    "dtype": None,
    "num_components": 2,
    "num_dims": 2,
    "spread": 1.5,
    **dict.fromkeys(("reg_covar", "min_scale", "level", "tol", "atol", "rtol"), 0.5),
    "n": 16,
    "antithetic": True,
    "variance_reduction": False,
    "order": 4,
    "loss": jaxgmm.forward_kl_loss(P, RULE),
    "params": Q,
    "optimizer": optax.adam(0.05),
    "num_steps": 2,
    "fixed_key": False,
    "sample_weight": np.array([1.0, 2.0, 1.0]),
    "num_starts": 2,
    "start": None,
    "max_steps": 5,
    "counts": [1, 2],
    **{"window": 2, "keep_best": False, "progress": False},
    "refine": lambda p: jaxgmm.cross_entropy_loss(p, RULE),
    "path": "p.npz",
    "tree": P,
    "like": Q,
    "max_points": 64,
    "result": jaxgmm.FitResult(P, np.array([2.0, 1.0]), np.array(False), np.array(False), None),
    "ax": None,
    "labels": ["a", "b"],
    "column_labels": ["a", "b"],
    "y": X + 1,
    "num_permutations": 2,
    "num_bootstrap": 2,
    "columns": ["a", "b"],
    "groups": ([0, 1, 2], [3, 4, 5]),
    "by_column": False,
    "period": [1, 1, 2],
    "baseline": [1],
    "unit": "nats",
    "sizes": (16, 32),
    "rules": {"Sobol'": jaxgmm.Sobol},
}
# What a function has of its own, made when it is needed.
OWN = {
    "select_components": lambda: {"counts": [2]},
    **dict.fromkeys(("elbo", "importance_weights"), lambda: {"target": jaxgmm.log_density(P)}),
    "estimate": lambda: {"divergence": jaxgmm.entropy},
    # From P to Q it is infinite.
    "chi_squared_divergence": lambda: {"p": Q, "q": jaxgmm.mixture_of([P, Q])},
    "reduce": lambda: {"num_components": 1},
    "two_sample_test": lambda: {"num_components": 1, "divergence": jaxgmm.l2_distance},
    "drift": lambda: {"num_components": 1},
    "from_sklearn": lambda: {
        "mixture": GaussianMixture(2).fit(np.arange(20.0).reshape(10, 2) ** 1.5)
    },
    "from_gmmx": lambda: {"mixture": of_gmmx()},
    "from_ott": lambda: {
        "mixture": library("ott").GaussianMixture.from_random(KEY, n_components=2, n_dimensions=2)
    },
    "from_distribution": lambda: {"distribution": jaxgmm.to_numpyro(P)},
    "plot.densities": lambda: {"p": LINE, "q": LINE, "columns": ["a"], "dims": (0,)},
    **dict.fromkeys(("plot.contours", "plot.log_ratio", "plot.ellipses"), lambda: {"dims": (0, 1)}),
    "plot.integrand": lambda: OWN["plot.densities"]() | {"divergence": "js"},
    "plot.two_samples": lambda: {"result": COMPARED},
    "plot.pairwise": lambda: {"matrix": np.array([[0.5, 1.0], [2.0, 0.25]])},
}


def of_gmmx() -> Any:
    parameters = (
        leaf.astype(np.float32) for leaf in (P.means, P.covariances, P.weights)
    )  # it knows no other
    return library("gmmx").GaussianMixtureModelJax.from_squeezed(*parameters)


NOT_BUILT_BY_HAND = ("GMM", "Rule", *RESULTS)
# What is handed on to another function, and what is for a tolerance only, which has its own row.
LEFT_OUT = {
    "estimate": ("atol", "rtol", "max_points", "options"),
    "plot.ellipses": ("patch",),
    "plot.convergence": ("options",),
}
FURTHER = {
    "GMM.from_moments": GMM.from_moments,
    "GMM.from_precisions": GMM.from_precisions,
    "GMM.from_data": GMM.from_data,
    "GMM.random": GMM.random,
    "Estimate.interval": jaxgmm.Estimate(0.5, 0.1, 4, 64, None).interval,
    "estimate to a tolerance": lambda num_replicates, atol, rtol, max_points: jaxgmm.estimate(
        jaxgmm.entropy,
        KEY,
        P,
        rule=RULE,
        num_replicates=num_replicates,
        atol=atol,
        rtol=rtol,
        max_points=max_points,
    ),
}


def public(module: types.ModuleType) -> dict[str, Any]:
    named = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
    return {name: value for name, value in named.items() if callable(value)}


FUNCTIONS = {
    name: value for name, value in public(jaxgmm).items() if name not in NOT_BUILT_BY_HAND
} | FURTHER
FUNCTIONS |= {f"plot.{name}": value for name, value in public(jaxgmm.plot).items()}


def names_of_arguments(function: str) -> list[str]:
    return [
        name
        for name in inspect.signature(FUNCTIONS[function]).parameters
        if name not in LEFT_OUT.get(function, ())
    ]


@functools.cache
def good(function: str) -> dict[str, Any]:
    """Good arguments of a function; a KeyError where `USUAL` or `OWN` is to get one for a new
    argument.
    """
    own = OWN.get(function, dict)()
    return {
        name: own[name] if name in own else USUAL[name] for name in names_of_arguments(function)
    }


def call(function: str, arguments: dict[str, Any]) -> Any:
    """What it returns; of `log_density`, what that returns."""
    if function.startswith("plot") and arguments["ax"] is None:
        arguments = {
            **arguments,
            "ax": Figure().subplots(),
        }  # which leaves matplotlib's own state alone
    if function == "log_density":
        return jaxgmm.log_density(**arguments)(jnp.asarray(X))
    if "mixtures" in arguments:
        leading = [arguments[name] for name in ("divergence", "key", "mixtures")]
        further = ("rule", "gradient_of", "num_replicates")
        return jaxgmm.estimate(*leading, **{name: arguments[name] for name in further})
    return FUNCTIONS[function](**arguments)


ANYTHING = {
    "None": None,
    "text": "text",
    "object": object(),
    "list": [],
    "dict": {},
    "ragged list": [[1.0], [2.0, 3.0]],
    "texts": ["a", "b"],
    "nan": math.nan,
    "infinity": math.inf,
    "negative": -0.5,
    "negative int": -1,
    "zero": 0.0,
    "zero int": 0,
    "float": 2.5,
    "int": 3,
    "huge": 1e300,
    "huge int": 10**30,
    "complex": 1j,
    "bool": True,
    "array": np.zeros((2, 3, 4)),
    "empty": np.zeros(0),
    "array of nan": np.full((2, 2), np.nan),
}


def with_first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def changed(array: np.ndarray) -> np.ndarray:
        return np.where(np.arange(array.size).reshape(array.shape) == 0, value, array)

    return changed


OF_ARRAYS = {
    "nan": with_first(np.nan),
    "infinity": with_first(np.inf),
    "minus infinity": with_first(-np.inf),
    "negative": np.negative,
    "zero": np.zeros_like,
    "huge": lambda array: 1e30 * array,
    "int": lambda array: array.astype(int),
    "bool": lambda array: array > 0,
    "empty": lambda array: array[:0],
    "more axes": lambda array: array[None],
    "no axes": lambda array: array.ravel()[0],
}


def replacements(value: Any) -> Iterator[tuple[str, Any]]:
    """What to put in the place of a good value, by a name each: anything, and the value itself with
    one thing wrong.
    """
    yield from ANYTHING.items()
    for name, change in OF_ARRAYS.items():
        if isinstance(value, np.ndarray):
            yield f"its {name}", change(value)
        if isinstance(value, GMM):
            yield from (
                (f"{leaf} {name}", changed_leaf(value, leaf, change))
                for leaf in LEAVES
                if getattr(value, leaf) is not None
            )
        if isinstance(value, list) and isinstance(value[0], GMM):
            yield f"loc {name}", [changed_leaf(value[0], "loc", change), *value[1:]]


def changed_leaf(gmm: GMM, leaf: str, change: Callable[[np.ndarray], np.ndarray]) -> GMM:
    return dataclasses.replace(gmm, **{leaf: change(np.asarray(getattr(gmm, leaf)))})


def to_trace(value: Any) -> Any:
    """The value as arrays, or a number where there is no such thing."""
    if isinstance(value, GMM | np.ndarray | jax.Array) or (
        isinstance(value, list) and isinstance(value[0], GMM)
    ):
        return value
    return jnp.asarray(value if isinstance(value, bool | int | float) else 1.0)
