"""What rules promise of polynomials holds for any mixture that Hypothesis draws."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxgmm
from jaxgmm import GMM
from support.strategies import numbers

pytestmark = pytest.mark.long


def moment(n: int, mean: float, scale: float) -> float:
    """E[(mean + scale z)^n], by the binomial theorem, with E[z^m] = (m - 1)!! for even m and 0 for
    odd m.
    """
    of_normal = [math.prod(range(m - 1, 0, -2)) if m % 2 == 0 else 0 for m in range(n + 1)]
    return math.fsum(
        math.comb(n, m) * mean ** (n - m) * scale**m * of_normal[m] for m in range(n + 1)
    )


def diagonal(logits: np.ndarray, loc: np.ndarray, log_diag: np.ndarray) -> GMM:
    return GMM(jnp.asarray(logits), jnp.asarray(loc), jnp.asarray(log_diag), None)


SMALL = st.builds(diagonal, numbers((2,), -5, 0), numbers((2, 2), -1, 1), numbers((2, 2), -2, 0))


def of_monomial(p: GMM, loc: np.ndarray, powers: tuple[int, int]) -> float:
    """The expectation of x^a y^b, around these means."""
    weights, scales = np.exp(p.logits) / np.exp(p.logits).sum(), np.exp(p.log_diag)
    terms = [
        [moment(n, float(loc[k, i]), float(scales[k, i])) for i, n in enumerate(powers)]
        for k in range(len(loc))
    ]
    return float(weights @ np.prod(terms, axis=1))


@functools.cache
def mean_of_monomial(rule):
    def mean(key, p: GMM, powers):
        repeated = np.arange(9)[:, None, None] < powers[None, None]
        return jaxgmm.expectation(
            key, p, lambda x: jnp.where(repeated, x[None], 1).prod((0, 2)), rule
        )

    return jax.jit(mean)


ANTITHETIC = jaxgmm.MonteCarlo(50, antithetic=True)


DEGREES = {jaxgmm.GaussHermite(n): lambda a, b, n=n: max(a, b) < 2 * n for n in (1, 2, 5)}


DEGREES[jaxgmm.SigmaPoints()] = lambda a, b: a + b <= 3


DEGREES[ANTITHETIC] = lambda a, b: a + b <= 1


DEGREES[jaxgmm.MonteCarlo(50)] = DEGREES[jaxgmm.Sobol(64)] = lambda a, b: a + b == 0


@pytest.mark.parametrize("rule", DEGREES, ids=str)
def test_rules_are_exact_for_polynomials(rule):
    """To the degree that each promises; that weights sum to 1 is degree 0."""
    within = [(a, b) for a in range(10) for b in range(10) if DEGREES[rule](a, b)]

    @given(SMALL, st.sampled_from(within), st.integers(0, 2**32 - 1))
    def check(p, powers, seed):
        key = jax.random.key(seed) if rule.is_random else None
        size = of_monomial(p, np.abs(p.loc), powers)
        value = mean_of_monomial(rule)(key, p, jnp.array(powers))
        np.testing.assert_allclose(
            value, of_monomial(p, np.asarray(p.loc), powers), rtol=0, atol=1e-12 * (1 + size)
        )

    check()


@given(SMALL, st.sampled_from([(1, 0), (2, 1), (1, 2), (0, 5), (4, 3)]), st.integers(0, 2**32 - 1))
def test_mirror_images_cancel(p, powers, seed):
    """Around the one mean of a mixture what is odd has the expectation 0, as a random rule without
    them shows.
    """
    around_zero = diagonal(p.logits, jnp.zeros((2, 2)), p.log_diag)
    key, powers = jax.random.key(seed), jnp.array(powers)
    np.testing.assert_allclose(
        mean_of_monomial(ANTITHETIC)(key, around_zero, powers), 0, atol=1e-12
    )
    assert mean_of_monomial(jaxgmm.MonteCarlo(50))(key, around_zero, powers) != 0
