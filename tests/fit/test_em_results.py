"""What `fit_em` returns, and its warnings and errors."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm._fit import em_runs
from support.em import fitted, mixed_rows
from support.paths import ROOT

KEY = jax.random.key(0)


def test_a_result_is_ready_for_json_and_for_files(tmp_path):
    result = fitted(mixed_rows(), "full", max_steps=200)
    as_dict = json.loads(json.dumps(result.to_dict()))
    again = jaxgmm.GMM.from_moments(**as_dict["params"])
    np.testing.assert_allclose(again.covariances, result.params.covariances, rtol=1e-12)
    rest = {name: as_dict[name] for name in ("log_likelihood", "bic", "num_steps", "converged")}
    assert rest == {name: getattr(result, name).item() for name in rest}
    jaxgmm.save(tmp_path / "r.npz", result)
    like = jax.tree.map(lambda leaf: np.zeros((0,) * leaf.ndim, leaf.dtype), result)
    for loaded in (jaxgmm.load(tmp_path / "r.npz", like=like), jaxgmm.load(tmp_path / "r.npz")):
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), loaded, result))


def test_a_fit_that_has_not_converged_warns():
    with pytest.warns(RuntimeWarning, match="not converged in 2 steps"):
        result = fitted(mixed_rows(), "full", max_steps=2, tol=1e-12)
    assert not result.converged
    assert result.num_steps == 2


def test_an_interrupt_leaves_the_best_so_far(monkeypatch):
    advanced, calls = em_runs._advanced, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return advanced(*arguments)

    monkeypatch.setattr(em_runs, "_advanced", interrupted)
    monkeypatch.setattr(em_runs, "OPERATIONS", 1)  # so that each call takes one step
    with pytest.warns(RuntimeWarning, match="interrupted after"):
        result = fitted(mixed_rows(), "full", tol=1e-12)
    assert not result.converged
    assert np.isfinite(result.log_likelihood)


X = mixed_rows(30)
WITH_NAN = np.where(np.arange(90).reshape(30, 3) == 16, np.nan, X)
OTHER = jaxgmm.GMM.from_moments([1.0], [[0.0] * 3], [1.0], "spherical")


@pytest.mark.parametrize(
    ("message", "x", "k", "keywords"),
    [
        ("4 distinct rows, too few for 5", np.tile(X[:4], (30, 1)), 5, {}),
        ("4 distinct rows, too few for 5", X, 5, {"sample_weight": np.arange(30) < 4}),
        (r"x\[5, 1\] is nan", WITH_NAN, 2, {}),
        ("x is a masked array", np.ma.masked_invalid(WITH_NAN), 2, {}),
        ("column 1 of x is constant, 7", X * [1, 0, 1] + [0, 7, 0], 2, {}),
        (r"sample_weight must have shape \(30,\)", X, 2, {"sample_weight": np.ones(29)}),
        (r"sample_weight\[2\] is", X, 2, {"sample_weight": np.where(np.arange(30) == 2, -1, 1)}),
        ("sample_weight must not be all zero", X, 2, {"sample_weight": np.zeros(30)}),
        ("start has K = 1 and D = 3, but num_components is 2", X, 2, {"start": OTHER}),
        ("start has covariance_type 'spherical'", X, 1, {"start": OTHER}),
    ],
)
def test_an_error_names_what_is_wrong(message, x, k, keywords):
    with pytest.raises((ValueError, TypeError), match=message):
        jaxgmm.fit_em(KEY, x, k, **keywords)


@pytest.mark.parametrize("counts", [[], "3", 3, [0], [1, 2.5]])
def test_counts_are_positive_integers(counts):
    with pytest.raises((ValueError, TypeError), match="counts"):
        jaxgmm.select_components(KEY, X, counts)


PEAK = """
import resource, sys
import jax, numpy as np
import jaxgmm

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

x = np.random.default_rng(0).normal(size=(2_000_000, 4)).astype(np.float32)
x += 6 * (np.arange(2_000_000) % 12).astype(np.float32)[:, None]
jaxgmm.fit_em(jax.random.key(0), x[:20_000], 12, num_starts=2)
before = peak()
jaxgmm.fit_em(jax.random.key(0), x, 12, num_starts=2)
print((peak() - before) / x.nbytes)
"""


@pytest.mark.long
def test_the_memory_is_a_few_times_that_of_the_data():
    """The responsibilities of all points would be 3 times, the whitened points 12 times."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert float(done.stdout) < 7
