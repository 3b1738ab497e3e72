"""Results do not depend on the units of the points, other than by their dimension, over the whole
range of the dtype.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm import GMM
from oracles import bounds, distances, gaussians
from support.long import first_by_default
from support.mixtures import gmm, random_mixture
from support.units import CASES, Case, cast, in_units, random_stack

# An error that is relative to the value, and one for each unit of a log-scale.
TOLERANCES = {np.float32: (1e-5, 1e-6), np.float64: (1e-10, 1e-12)}
FACTORS = {np.float32: 1e18, np.float64: 1e150}
SHORT = ("bhattacharyya_distance", "kl_moment_matched", "mixture_wasserstein", "product")


def units_of(case: Case, dtype) -> list[np.ndarray]:
    c = FACTORS[dtype]
    across = [] if case.common else [np.array([c, 1 / c]), np.array([1 / c, c])]
    return [np.array([c, c]), np.array([1 / c, 1 / c]), *across]


@functools.cache
def program(name: str):
    """The values of all pairs of a stack, and the gradients of a sum of them with fixed weights."""

    def value_and_gradient(p, q, units):
        def total(p, q):
            value = CASES[name].fn(p, q, units)
            weights = jax.tree.map(lambda v: jnp.cos(jnp.arange(v.size, dtype=v.dtype)), value)
            terms = jax.tree.map(lambda v, w: jnp.vdot(v.ravel(), w), value, weights)
            return sum(jax.tree.leaves(terms)), value

        gradient, value = jax.grad(total, argnums=(0, 1), has_aux=True)(p, q)
        return value, gradient

    # Most of the time goes to the compiler.
    quickly = {"xla_backend_optimization_level": 0}
    mapped = jax.vmap(value_and_gradient, in_axes=(0, 0, None))
    return jax.jit(mapped, compiler_options=quickly)


def assert_close(actual, expected, relative: float, absolute, unit, what: str) -> None:
    """The numbers, over their unit, where the dtype holds the expected ones."""
    info = jnp.finfo(actual.dtype)
    assert not np.isnan(actual).any(), f"{what} has NaN"
    held = np.abs(expected * unit) < float(info.max) / 4
    assert np.isfinite(actual[held]).all(), f"{what} has infinity"
    # XLA on CPU rounds numbers below the smallest normal one to 0, in the terms of a sum too.
    allowed = relative * np.abs(expected) + absolute + 16 * float(info.tiny) / np.abs(unit)
    expected = np.where(held, expected, 0)
    errors = np.abs(np.where(held, actual, 0).astype(float) / unit - expected) / allowed
    assert errors[held].max() <= 1, f"{what} is off by {errors[held].max():.3g} of what is allowed"


def check(name: str, dtype, n: int) -> None:
    """Against the same pairs in float64 and in units of 1, from the rounded parameters."""
    case = CASES[name]
    for units in units_of(case, dtype):
        scaled = [cast(in_units(random_stack(s, n, 3, 2), units), dtype) for s in (1, 2)]
        plain = [cast(in_units(m, 1 / units), np.float64) for m in scaled]
        if case.draws:
            plain = [cast(m, dtype) for m in plain]
        with jax.debug_nans(False):
            values, slopes = program(name)(*scaled, jnp.asarray(units, dtype))
            expected = program(name)(*plain, jnp.ones(2, plain[0].loc.dtype))
        check_values(case, dtype, units, values, expected[0], f"{name} in units of {units}")
        check_slopes(case, dtype, units, slopes, expected[1], f"{name} in units of {units}")


def check_values(case: Case, dtype, units: np.ndarray, values, expected, what: str) -> None:
    relative, per_log = TOLERANCES[dtype]
    shift = case.shift * np.log(units).sum()
    for actual, exact in zip(jax.tree.leaves(values), jax.tree.leaves(expected), strict=True):
        exact = np.asarray(exact, float) + shift
        absolute = per_log * 2 * np.abs(np.log(units)).max()
        size = np.abs(exact).max(tuple(range(1, exact.ndim)), keepdims=True)
        absolute = absolute * (size if case.relative else 1)
        unit = np.broadcast_to(case.factor(units), exact.shape)
        assert_close(np.asarray(actual), exact, relative, absolute, unit, what)


def check_slopes(case: Case, dtype, units: np.ndarray, slopes, expected, what: str) -> None:
    """The gradients, whose rounding is relative to the largest entry in the unit of each."""
    relative, per_log = TOLERANCES[dtype]
    factor = np.asarray(case.factor(units))
    largest = [np.abs(leaf).reshape(len(leaf), -1).max(1) for leaf in jax.tree.leaves(expected)]
    absolute = per_log * 2 * np.abs(np.log(units)).max() * (1 + np.max(largest, axis=0))
    if case.noisy_gradient:
        absolute = 1e-5 * (1 + np.max(largest, axis=0))
    is_compared = np.ptp(factor) == 0 and not (case.noisy_gradient and dtype == np.float32)
    of_leaf = {"logits": 1.0, "loc": units, "log_diag": 1.0, "off_diag": units[1:]}
    for side in (0, 1):
        for leaf, unit in of_leaf.items():
            actual, exact = (np.asarray(getattr(both[side], leaf)) for both in (slopes, expected))
            by = f"{what}, by {leaf} of {'pq'[side]}"
            assert np.isfinite(actual).all(), f"{by}, is not finite"
            if is_compared:
                unit = np.broadcast_to(factor.flat[0] / unit, exact.shape)
                allowed = absolute.reshape(-1, *[1] * (exact.ndim - 1))
                assert_close(actual, exact.astype(float), relative, allowed, unit, by)


@pytest.mark.parametrize("name", first_by_default(SHORT, 2))
def test_units_do_not_matter_to_a_few(name):
    check(name, np.float32, 4)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_units_do_not_matter(name, dtype):
    """Over 200 pairs in the plane."""
    check(name, dtype, 200)


@pytest.mark.parametrize("c", [1e20, 1e-19])
def test_pairs_of_components_against_dense_formulas(c):
    """In float32, where squares of the deviations are out of its range."""
    mixtures = random_mixture(1, 3, 2), random_mixture(2, 2, 2)
    pair = [cast(in_units(gmm(m), np.array([c, c])), np.float32) for m in mixtures]
    truths = {
        "kl_bounds": np.array(bounds.kl(*mixtures)),
        "bhattacharyya_distance": gaussians.table(gaussians.bhattacharyya, *mixtures),
        "cauchy_schwarz_divergence": distances.cauchy_schwarz(*mixtures),
    }
    for name, truth in truths.items():
        value = np.array(getattr(jaxgmm, name)(*pair))
        np.testing.assert_allclose(value, truth, rtol=1e-5, atol=2e-6 * abs(np.log(c)))


@pytest.mark.parametrize("c", [1e-19, 1e19])
@pytest.mark.parametrize("d", [2, 6])
def test_gradients_of_diagonal_mixtures(d, c):
    """By log_diag and loc of q: KL of N(0, I) from N(m, s^2 I) changes by 1 - (1 + m^2) / s^2 and
    by m / s^2 for each coordinate.
    """
    zeros, m, s = jnp.zeros((1, d), np.float32), 0.5, 2.0
    p = GMM(zeros[:, 0], zeros, zeros + np.float32(np.log(c)), None)
    q = GMM(zeros[:, 0], zeros + np.float32(m * c), zeros + np.float32(np.log(s * c)), None)
    gradient = jax.grad(jaxgmm.kl_divergence, argnums=2)(None, p, q, jaxgmm.SigmaPoints())
    np.testing.assert_allclose(gradient.log_diag, 1 - (1 + m**2) / s**2, rtol=1e-4)
    np.testing.assert_allclose(gradient.loc * np.float32(c), m / s**2, rtol=1e-4)
