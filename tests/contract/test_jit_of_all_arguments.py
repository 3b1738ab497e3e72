"""`jax.jit` of every public function with every argument passed through: it works, or the error
names an argument that must be static or concrete.
"""

import re
from typing import Any

import jax
import numpy as np
import pytest

import jaxgmm
from support.arguments import FUNCTIONS, KEY, Q, call, good
from support.libraries import SILENCED, lenient
from support.long import first_by_default

pytestmark = [*SILENCED]

OF_JAX = r"Error interpreting argument to .* at path given\['(\w+)'\]"
STATIC = r"^(\w+) is traced, but it must be static: close over it, or name it in the static_argname"
CONCRETE = r"^(\w+).* outside jax\.jit"
# What runs in NumPy, and so outside of jax.jit, by the argument that the error names.
IN_NUMPY = {
    **dict.fromkeys(("GMM.from_moments", "GMM.from_precisions"), "weights"),
    **dict.fromkeys(("from_gmmx",), "mixture"),
    **dict.fromkeys(("to_sklearn", "reduce", "plot.ellipses"), "gmm"),
    **dict.fromkeys(("two_sample_test", "drift"), "x"),
    **dict.fromkeys(("save", "load"), "leaves"),
    **dict.fromkeys(("select_components", "plot.convergence"), "key"),
    **dict.fromkeys([f"plot.{name}" for name in ("densities", "contours", "log_ratio")], "p"),
    "plot.integrand": "p",
    "plot.losses": "result",
    "plot.pairwise": "matrix",
    "estimate to a tolerance": "atol",
}
# No pytree, so that JAX names it; closed over, it is as outside of jax.jit.
NOT_AN_ARRAY = {"from_sklearn": "mixture", "plot.two_samples": "result"}
OF_LIBRARIES = [name for name in FUNCTIONS if name.startswith(("from_", "to_"))]
OTHERS_LATER = first_by_default(
    sorted(FUNCTIONS, key=lambda name: name in OF_LIBRARIES), len(FUNCTIONS) - len(OF_LIBRARIES)
)


def arrays(function: str, arguments: dict[str, Any]) -> list:
    """The arrays in its result, or the value of a loss that it returns."""
    result = call(function, arguments)
    value = result(KEY, Q) if function.endswith("_loss") else result
    return [leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, jax.Array | np.ndarray)]


def found(function: str) -> tuple[Any, dict[str, Any], set[str], str | None]:
    """The jitted function and what is passed to it, the arguments that errors call static, and the
    one that must be concrete.
    """
    passed, closed = dict(good(function)), {}
    while True:
        program = jax.jit(lambda **given: arrays(function, {**closed, **given}))
        try:
            program.trace(**passed)
            return program, passed, set(closed), None
        except (TypeError, ValueError) as error:
            text = str(error)
        named = re.search(OF_JAX, text, re.DOTALL) or re.search(STATIC, text)
        if named is None:
            concrete = re.search(CONCRETE, text)
            assert concrete is not None, text
            return None, passed, set(closed), concrete[1]
        closed[named[1]] = passed.pop(named[1])


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jaxgmm.save("p.npz", good("save")["tree"])


@pytest.mark.parametrize("function", OTHERS_LATER)
def test_it_works_or_the_error_names_the_argument(function):
    with lenient():
        _, _, static, concrete = found(function)
    assert concrete == IN_NUMPY.get(function)
    assert NOT_AN_ARRAY.get(function) in {None, *static}
    # What holds numbers only is never static.
    assert static.isdisjoint(("key", "p", "q", "gmm", "gmms", "x", "values", "matrix", "rule"))


@pytest.mark.long
@pytest.mark.usefixtures("nan_is_meant")
@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in IN_NUMPY])
def test_it_answers_as_outside(function):
    with lenient():
        program, passed, _, _ = found(function)
        inside, outside = program(**passed), arrays(function, good(function))
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
