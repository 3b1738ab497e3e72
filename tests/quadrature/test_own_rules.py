"""Rules of somebody else, with and without the base class, in everything that takes a rule."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import softmax

import jaxgmm
from jaxgmm.extend import Batch, Rule
from oracles import differences
from oracles.quadrature import js, kl
from support.estimates import assert_within
from support.long import first_by_default
from support.mixtures import PAIRS, gmm

P, Q = PAIRS["overlapping"]


def normals(key, weights, num_dims, n):
    """n independent nodes for each component, in one batch."""
    k = len(weights)

    def batch(index):
        nodes = jax.random.normal(jax.random.fold_in(key, index), (k, num_dims, n), weights.dtype)
        return Batch(jnp.arange(k), nodes, jnp.full((k, n), 1 / n, weights.dtype))

    return 1, batch


@dataclasses.dataclass(frozen=True)
class Mine(Rule):
    """A subclass, with all capabilities."""

    n: int = 64

    @property
    def num_points(self):
        return self.n

    def resized(self, n):
        return Mine(n)

    def batches(self, key, weights, num_dims, length):
        return normals(key, weights, num_dims, self.n)


@dataclasses.dataclass(frozen=True)
class Foreign:
    """No subclass, with no more than a rule must have."""

    n: int = 64
    is_random = True

    def batches(self, key, weights, num_dims, length):
        return normals(key, weights, num_dims, self.n)


@dataclasses.dataclass(frozen=True)
class Growing(Foreign):
    """No subclass, with what a tolerance asks for."""

    @property
    def num_points(self):
        return self.n

    def resized(self, n):
        return Growing(n)


@dataclasses.dataclass(frozen=True)
class Tuples(Rule):
    """Its batches are plain tuples."""

    def batches(self, key, weights, num_dims, length):
        count, batch = normals(key, weights, num_dims, 8)
        return count, lambda index: tuple(batch(index))


@pytest.mark.smoke
@pytest.mark.parametrize("rule", first_by_default([Mine(512), Foreign(512), Growing(512)]))
def test_values_and_gradients(rule, key):
    p, q = gmm(P), gmm(Q)
    divergences = {jaxgmm.kl_divergence: kl(P, Q), jaxgmm.js_divergence: js(P, Q)}
    for divergence, truth in divergences.items():
        result = jaxgmm.estimate(divergence, key, p, q, rule=rule, num_replicates=64)
        assert abs(result.value - truth) < 5 * result.standard_error < 0.1
    mean = jaxgmm.expectation(key, p, lambda x: x[:, 0], rule)
    assert abs(mean - P.weights @ P.means[:, 0]) < 5 * np.sqrt(2 / 512)


@pytest.mark.parametrize("rule", [Mine(2048), Growing(2048)])
def test_gradients_in_the_weights(rule, key):
    gradient = jax.grad(jaxgmm.kl_divergence, argnums=(1, 2))
    result = jaxgmm.estimate(gradient, key, gmm(P), gmm(Q), rule=rule, num_replicates=64)
    for side in (0, 1):

        def truth(logits, side=side):
            pair = [P, Q]
            pair[side] = dataclasses.replace(pair[side], weights=softmax(logits))
            return kl(*pair)

        exact = differences.gradient(truth, np.log((P, Q)[side].weights))
        value, error = result.value[side].logits, result.standard_error[side].logits
        mine = dataclasses.replace(result, value=value, standard_error=error)
        assert_within(mine, exact, catches=0.02)


@pytest.mark.parametrize("rule", first_by_default([Mine(64), Growing(64)]))
def test_a_tolerance_makes_them_grow(rule, key):
    result = jaxgmm.estimate(jaxgmm.kl_divergence, key, gmm(P), gmm(Q), rule=rule, atol=2e-3)
    assert result.converged
    assert result.standard_error <= 2e-3
    assert result.num_points > 16 * 64
    assert_within(result, kl(P, Q), catches=0.05)


def test_a_rule_that_cannot_grow_is_told_so(key):
    with pytest.raises(
        TypeError, match=r"rule must have num_points and resized\(n\), .* got Foreign"
    ):
        jaxgmm.estimate(jaxgmm.kl_divergence, key, gmm(P), gmm(Q), rule=Foreign(), rtol=0.1)

    class OfOneSize(Rule):
        num_points = 64

        def batches(self, key, weights, num_dims, length):
            return normals(key, weights, num_dims, 64)

    with pytest.raises(TypeError, match=r"rule must have a method resized\(n\)"):
        jaxgmm.estimate(jaxgmm.kl_divergence, key, gmm(P), gmm(Q), rule=OfOneSize(), atol=1e-9)


@pytest.mark.usefixtures("as_optax_needs_it")
def test_a_fit_takes_them(key):
    loss = jaxgmm.forward_kl_loss(gmm(P), Mine(64))
    result = jaxgmm.fit(key, loss, gmm(Q), optax.adam(0.02), 100)
    assert result.losses[-20:].mean() < result.losses[:20].mean()


@pytest.mark.smoke
def test_they_pass_through_jit_as_arguments(key):
    """A subclass is a static pytree node: equal values share one program."""
    traces = []

    @jax.jit
    def value(key, p, q, rule):
        traces.append(rule)
        return jaxgmm.kl_divergence(key, p, q, rule)

    rules = [Mine(64), Mine(64), jaxgmm.Sobol(64), jaxgmm.Sobol(64), jaxgmm.GaussHermite(8)]
    for rule in rules:
        draws = key if rule.is_random else None
        expected = jaxgmm.kl_divergence(draws, gmm(P), gmm(Q), rule)
        np.testing.assert_allclose(value(draws, gmm(P), gmm(Q), rule), expected, rtol=1e-12)
    assert len(traces) == 3
    assert jax.tree.leaves(Mine(64)) == []


@pytest.mark.parametrize(
    "use",
    [
        lambda key, rule: jaxgmm.expectation(key, gmm(P), jnp.sin, rule),
        lambda key, rule: jaxgmm.kl_divergence(key, gmm(P), gmm(Q), rule),
        lambda key, rule: jaxgmm.js_divergence(key, gmm(P), gmm(Q), rule),
        lambda key, rule: jaxgmm.hellinger_distance(key, gmm(P), gmm(Q), rule),
        lambda key, rule: jaxgmm.estimate(jaxgmm.entropy, key, gmm(P), rule=rule),
    ],
)
def test_a_batch_of_another_type_is_one_error_everywhere(use, key):
    with pytest.raises(TypeError, match=r"the batches of the rule Tuples\(\) must be .* got tuple"):
        use(key, Tuples())


@pytest.mark.parametrize("rule", [Mine, [Mine()], object(), dataclasses.make_dataclass("R", [])()])
def test_what_is_no_rule(rule, key):
    with pytest.raises(TypeError, match="rule must be a rule such as"):
        jaxgmm.kl_divergence(key, gmm(P), gmm(Q), rule)


def test_a_rule_must_be_hashable(key):
    class Unhashable:
        is_random = True
        __hash__ = None
        batches = Mine.batches

    with pytest.raises(TypeError, match=r"rule must be hashable, got .*; make its class a frozen"):
        jaxgmm.kl_divergence(key, gmm(P), gmm(Q), Unhashable())
