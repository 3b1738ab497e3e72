"""Variational inference on targets of known evidence, with the code of the benchmark."""

import importlib
import math

import jax
import pytest

from support.paths import ROOT

# By symmetry the best Gaussian is a product, and its variance in x is the root of 16 u^2 + u = 1.
U = (math.sqrt(65) - 1) / 32
GAP_OF_ONE_GAUSSIAN = -0.5 * math.log(U) + U / 2 + 4 * U**2 - 0.5


@pytest.fixture
def benchmark(monkeypatch):
    """Its module, with the flags of a user."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    promotion = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with jax.enable_x64(False), jax.debug_nans(False), promotion[0], promotion[1]:
        yield importlib.import_module("variational")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_banana_and_eight_schools(benchmark):
    """The ELBO stays below log Z, and importance weights find Z where Pareto k trusts them."""
    pytest.importorskip("arviz_stats")
    gaps = {}
    for name, num_components in (("banana", 1), ("banana", 4), ("8 schools, D = 10", 1)):
        target = benchmark.TARGETS[name]
        found = benchmark.row(target, num_components, target.log_z(), num_steps=1500)
        gaps[name, num_components] = found.gap
        assert found.gap > -5 * found.error
        assert found.error < 0.01
        assert found.pareto_k >= 0.7 or abs(found.log_evidence_errors) < 5
    assert gaps["banana", 1] == pytest.approx(GAP_OF_ONE_GAUSSIAN, abs=0.02)
    assert gaps["banana", 4] < 0.5 * GAP_OF_ONE_GAUSSIAN
