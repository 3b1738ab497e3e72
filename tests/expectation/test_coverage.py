"""Shares of keys whose 95 % interval holds the truth, where that is hard."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree

import jaxgmm
from oracles import quadrature
from support.hard_pairs import line
from support.mixtures import PAIRS, gmm

pytestmark = pytest.mark.long

NUM_POINTS = 16 * 256
BETWEEN = np.linspace(-20, 60, 400_001)
ALONE = line([0.5, 0.5], [0, 0], [1, 1])
# They overlap with a standard normal less and less: by tails, in a needle, by a small weight.
FAR = [line([0.5, 0.5], [d, d], [1, 1]) for d in (3, 4, 5, 6, 7, 8, 9, 10)]
FAR += [line([0.5, 0.5], [d, d], [0.01, 0.01]) for d in (2, 3, 4)]
FAR += [line([1 - w, w], [40, 0.5], [1, 1]) for w in (1e-2, 1e-3, 1e-4)]


def js_deficit(t: np.ndarray) -> np.ndarray:
    """What a point with this log-ratio takes from log 2."""
    mine, other = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(t))
    return -(mine * np.log(mine) + other * np.log(other))


DEFICITS = {
    "js": (jaxgmm.js_divergence, np.log(2), js_deficit),
    "tv": (jaxgmm.total_variation, 1.0, lambda t: 1 - np.abs(np.tanh(t / 2))),
}


def far_truth(q, bound, deficit) -> tuple[float, float]:
    """The divergence, and the probability of the points that make half of its distance from the
    bound.
    """
    log_p, log_q = (np.asarray(jaxgmm.log_density(m)(BETWEEN[:, None])) for m in (ALONE, q))
    mass = 0.5 * (np.exp(log_p) + np.exp(log_q)) * (BETWEEN[1] - BETWEEN[0])
    each = deficit(np.clip(log_p - log_q, -500, 500))
    most = np.argsort(-each)
    part = np.cumsum((mass * each)[most])
    return bound - part[-1], np.cumsum(mass[most])[np.searchsorted(part, part[-1] / 2)]


@pytest.mark.parametrize("name", DEFICITS)
def test_far_pairs(name, key):
    """Where events that the points may meet make up half of the distance from the bound, intervals
    hold the truth; elsewhere they reach the bound.
    """
    divergence, bound, deficit = DEFICITS[name]
    truth, probability = np.transpose([far_truth(q, bound, deficit) for q in FAR])
    run = functools.partial(jaxgmm.estimate, divergence, rule=jaxgmm.Sobol(NUM_POINTS // 16))
    of_all = jax.vmap(run, in_axes=(None, None, 0))
    stacked = tree.map(lambda *leaves: jnp.stack(leaves), *FAR)
    keys = jax.random.split(key, 300)
    results = jax.jit(lambda keys: jax.lax.map(lambda k: of_all(k, ALONE, stacked), keys))(keys)
    low, high = map(np.asarray, results.interval())
    covers = np.mean((low <= truth) & (truth <= high), axis=0)
    reaches = np.mean(high >= bound, axis=0)
    seen = probability > 5 / NUM_POINTS
    assert 4 <= seen.sum() < len(FAR) - 2
    assert np.all(covers[seen] >= 0.9)
    assert np.all(reaches[~seen] >= 0.99)
    assert np.all(reaches[truth < bound - 20 * bound / NUM_POINTS] <= 0.01)


@pytest.mark.parametrize(
    ("rule", "atol"), [(jaxgmm.MonteCarlo(64), 5e-3), (jaxgmm.Sobol(64), 5e-4)], ids=str
)
def test_few_replicates_to_a_tolerance(rule, atol, key):
    """Two are raised to eight, as of two the smallest standard errors would end the run."""
    truth = quadrature.kl(*PAIRS["overlapping"])
    run = functools.partial(jaxgmm.estimate, jaxgmm.kl_divergence, num_replicates=2)
    results = [
        run(k, *map(gmm, PAIRS["overlapping"]), rule=rule, atol=atol)
        for k in jax.random.split(key, 400)
    ]
    assert {result.num_replicates for result in results} == {8}
    ends = np.array([result.interval() for result in results])
    assert np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) >= 0.9
