"""Two thousand calls of everything, and calls from many threads: no hang, no growth, the same
answers.
"""

import concurrent.futures
import subprocess
import sys

import jax
import numpy as np
import pytest

from support.paths import ROOT
from support.public_functions import FUNCTIONS, pair

pytestmark = pytest.mark.long


@pytest.mark.timeout(600)
def test_two_thousand_calls_of_every_function():
    program = ROOT / "tests" / "endurance.py"
    result = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=580
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_eight_threads_agree_with_one(key):
    """All functions from eight threads at once, each thread in an order of its own."""
    p, q = pair("full", 1)
    names = [name for name in FUNCTIONS if name != "expectation"]
    keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))

    def answers(first: int) -> dict[str, list[np.ndarray]]:
        order = names[first:] + names[:first]
        return {
            name: [np.asarray(leaf) for leaf in jax.tree.leaves(FUNCTIONS[name](keys[name], p, q))]
            for name in order
        }

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        of_threads = list(pool.map(answers, [3 * i for i in range(8)]))
    alone = answers(0)
    for answer in of_threads:
        for name in names:
            jax.tree.map(np.testing.assert_array_equal, answer[name], alone[name])
