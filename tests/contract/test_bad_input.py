"""Whatever a public function is given in any argument, it raises an error that names the argument,
or it answers well.
"""

import contextlib
import pathlib
import re
import traceback
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from support.arguments import (
    ANYTHING,
    FUNCTIONS,
    LEAVES,
    OF_ARRAYS,
    call,
    good,
    names_of_arguments,
    replacements,
    to_trace,
)
from support.libraries import SILENCED, lenient

WARNED = pytest.mark.filterwarnings("ignore:the rounding error:RuntimeWarning")  # of 1e30, say
FEW = pytest.mark.filterwarnings("ignore:the divergence is that of the fits:RuntimeWarning")
pytestmark = [pytest.mark.long, WARNED, FEW, *SILENCED]
T = TypeVar("T")
PACKAGE = str(pathlib.Path(jaxgmm.__file__).parent)

MIXTURE = {
    "traced",
    "logits minus infinity",
    *(f"{leaf} {name}" for leaf in LEAVES for name in ("negative", "zero", "huge")),
}
MIXTURE -= {"log_diag huge"}  # whose exponential is infinite
OF_ANY_VALUE = {
    f"{leaf} {name}"
    for leaf in LEAVES
    for name in OF_ARRAYS
    if name not in ("int", "bool", "more axes", "no axes")
}
MIXTURES = {"traced", "loc negative", "loc zero", "loc huge"}
NUMBERS = {"its negative", "its zero", "its huge", "its int", "its bool"}
POINTS = {"traced", "its more axes"} | NUMBERS
POSITIVE = {"float", "int", "huge"}
# What is as good as what stands in the table of good arguments, by the names of functions and
# arguments; all else is refused.
LEGAL = {
    "p q gmm mixtures": MIXTURE,
    "to_sklearn.gmm": MIXTURE - {"traced"},
    "reduce.gmm": MIXTURE - {"traced", "loc huge", "off_diag huge"},
    "gmms": MIXTURES,
    "others": MIXTURES | {"None"},
    "key": {"traced"},
    "reduce.key": set(),
    "estimate.rule gradient_of": {"None"},
    "mesh ax dtype refine optimizer": {"None"},
    "labels column_labels": {"None", "texts", "ragged list", "array", "array of nan"},
    "two_sample_test.key drift.key": set(),
    "two_sample_test.x two_sample_test.y": NUMBERS,
    "drift.x": NUMBERS - {"its zero"},
    "num_permutations num_bootstrap": {"int", "zero int"},
    "columns": {"None", "texts"},
    "plot.contours.columns plot.log_ratio.columns plot.ellipses.columns": {"None", "texts", "array"}
    | {"array of nan", "ragged list"},
    "plot.densities.columns plot.integrand.columns": {"None", "text"},
    "groups baseline dims": {"None"},
    "condition.dims marginal.dims": set(),
    "by_column": {"bool"},
    "path_gradient midpoint log_ratio antithetic variance_reduction fixed_key progress": {"bool"},
    "keep_best normalize": {"bool"},
    "precisions_cholesky log_weights": {"None"},
    "return_plan": {"bool"},
    "symmetric": {"bool", "None"},
    "num_samples num_replicates num_components num_dims batch_size n order window max_points": {
        "int"
    },
    "num_starts max_steps": {"int"},
    "sample_weight": {"traced", "None", "its huge", "its int", "its bool"},
    "start": {"None"},
    "fit_em.x": POINTS - {"its more axes", "its zero"},
    "select_components.x": POINTS - {"traced", "its more axes", "its zero"},
    "fit_em.tol select_components.tol": POSITIVE | {"huge int"},
    "select_components.key": set(),
    "select_components.reg_covar": POSITIVE,
    "select_components.sample_weight": {"None", "its huge", "its int", "its bool"},
    "likelihood_loss.batch_size": {"int", "None"},
    "num_steps": {"int", "zero int"},
    "x": POINTS,
    "log_prob.x component_log_prob.x responsibilities.x": POINTS | {"its empty"},
    "GMM.from_data.x likelihood_loss.x": POINTS - {"its more axes"},
    "values": {"traced"} | NUMBERS,
    "shift": {"traced", "None"} | NUMBERS,
    "matrix": {"traced"} | NUMBERS - {"its zero"},
    "plot.pairwise.matrix": NUMBERS,
    "mixture_of.weights": {"traced", "None"},
    "means": NUMBERS,
    "covariances precisions": {"its huge", "its int", "its bool"},
    "bandwidth spread reg_covar alpha": POSITIVE | {"traced"},
    "min_scale": POSITIVE,
    "atol rtol": POSITIVE | {"huge int", "None"},
    "tol": POSITIVE | {"huge int", "None", "zero", "zero int"},
    "fit.optimizer": set(),
    "params": {"traced"} | MIXTURE,
    "plot.contours.q plot.densities.q plot.convergence.q": MIXTURE | {"None"},
    "tree": (
        set(ANYTHING) - {"text", "object", "texts", "huge int"}
        | MIXTURE
        | {"loc more axes", "loc no axes"}
    )
    - {"traced"},
    "like": {"None"} | OF_ANY_VALUE,
    "save.path": {"text"},
    "unit": {"text"},
}
LEGAL = {name: labels for names, labels in LEGAL.items() for name in names.split()}
# Where an error says it in other words than the name of the argument.
NAMES = {
    "mixtures": "p",  # the first of them
    "fit.params": "params|q",  # which the loss calls q
    "reduce.key": "key|gmm",
    "select_components.sample_weight": "sample_weight|x",  # likewise
    "select_components.reg_covar": "reg_covar|x",
    "reduce.optimizer": "optimizer|gmm",  # as under jax.jit nothing of gmm is concrete
    # that of two components 1e30 apart is not positive definite in floats
    "reduce.gmm": "gmm|covariances",
    "load.path": "path|No such file",
    "tree": r"tree|leaves(\[0\]|\.\w+)?",
    "like": r"like|leaves(\[0\]|\.\w+)?",
}
DOCUMENTED = (TypeError, ValueError, FloatingPointError, FileNotFoundError)
EAGER = (
    "expectation",
    "elbo",
    "importance_weights",
    "log_density",
    "GMM.from_data",
    "GMM.random",
)  # which are not jitted, so that each call compiles anew
IN_NUMPY = (
    "two_sample_test",
    "drift",
    "reduce",
    "select_components",
    "GMM.from_moments",
    "GMM.from_precisions",
    "to_sklearn",
    "from_sklearn",
    "from_gmmx",
    "save",
    "load",
    "estimate to a tolerance",
)

CELLS = [
    (function, argument) for function in FUNCTIONS for argument in names_of_arguments(function)
]


def of_cell(table: dict[str, T], function: str, argument: str, otherwise: T) -> T:
    return table.get(f"{function}.{argument}", table.get(argument, otherwise))


def strictness(function: str):
    """Optax and the other libraries cannot do without promotion."""
    return (
        lenient()
        if function in ("fit", "reduce") or "from_" in function or "to_" in function
        else contextlib.nullcontext()
    )


def what_is_unclear(error: Exception, function: str, argument: str) -> str | None:
    """What a user would miss in an error."""
    if type(error) not in DOCUMENTED:
        return f"is a {type(error).__name__}"
    if not traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE):
        return "comes from another library"
    if not re.search(rf"\b({of_cell(NAMES, function, argument, argument)})\b", str(error)):
        return "does not name the argument"
    return "speaks of tracers" if "Tracer" in str(error) else None


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jaxgmm.save("p.npz", good("save")["tree"])


@pytest.mark.usefixtures("nan_is_meant")
@pytest.mark.parametrize(("function", "argument"), CELLS)
def test_what_is_refused(function, argument):
    unclear = []
    arguments = good(function)
    for name, value in [*replacements(arguments[argument]), ("traced", None)]:
        if name in of_cell(LEGAL, function, argument, set()):
            continue
        try:
            with strictness(function):
                if name == "traced":
                    jax.eval_shape(
                        lambda traced: call(function, {**arguments, argument: traced}),
                        to_trace(arguments[argument]),
                    )
                else:
                    call(function, {**arguments, argument: value})
        except Exception as error:
            complaint = what_is_unclear(error, function, argument)
            if complaint:
                unclear.append(f"{name}: {error!r} {complaint}")
        else:
            unclear.append(f"{name}: no error")
    assert unclear == [], "\n".join(unclear)


def leaves(tree) -> list:
    """Those that are numbers or arrays of such."""
    return [
        leaf
        for leaf in jax.tree.leaves(tree)
        if isinstance(leaf, jax.Array | np.ndarray | float | int)
    ]


def kinds(tree) -> list[tuple]:
    return [(np.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in jax.tree.leaves(tree)]


def are_alike(a, b) -> bool:
    """Whether they are arrays that one program is for."""
    return kinds(a) == kinds(b) and all(
        isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(a)
    )


def assert_right(answer, usual, name: str) -> None:
    """Of the same shapes and dtypes, and finite, but for the logits of components without
    weight.
    """
    assert kinds(leaves(answer)) == kinds(leaves(usual)), name
    for leaf in leaves(answer):
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            allowed = np.isneginf(leaf) if "minus infinity" in name else False
            # The chi-squared divergence is infinite between many mixtures.
            allowed |= np.isposinf(leaf) if "chi_squared" in name else False
            assert np.all(np.isfinite(leaf) | allowed), f"{name}: {leaf}"


def cells_of(function: str) -> Iterator[tuple[str, str, Any]]:
    for argument, value in good(function).items():
        labels = of_cell(LEGAL, function, argument, set())
        yield from (
            (argument, name, other) for name, other in replacements(value) if name in labels
        )
        if "traced" in labels:
            yield argument, "traced", to_trace(value)


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if not name.startswith("plot")])
def test_what_is_legal(function):
    """Numbers for numbers of the same shapes, from the same program; what needs a program of its
    own is only traced.
    """
    arguments = good(function)
    with strictness(function):
        usual = None if function in EAGER else call(function, arguments)
        for argument, name, value in cells_of(function):
            changed = {**arguments, argument: value}
            if name == "traced":
                jax.eval_shape(
                    lambda value, a=argument: leaves(call(function, {**arguments, a: value})), value
                )
            elif are_alike(value, arguments[argument]) and function not in EAGER:
                assert_right(call(function, changed), usual, f"{function}, {argument}: {name}")
            elif function in IN_NUMPY:
                call(function, changed)
            else:
                jax.eval_shape(lambda changed=changed: leaves(call(function, changed)))
