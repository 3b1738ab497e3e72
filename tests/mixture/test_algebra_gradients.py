"""Derivatives of mixing, marginals, conditionals, affine maps, sums, products and stacks; dead
components.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from oracles import differences
from support.algebra import MATRIX, SHIFT, X
from support.long import first_by_default
from support.mixtures import read, typed

ALGEBRA = {
    "mixture_of": lambda p, q: jaxgmm.mixture_of([p, q], jnp.array([0.3, 0.7])),
    "marginal": lambda p, q: jaxgmm.marginal(q, (2, 0)),
    "condition": lambda p, q: jaxgmm.condition(q, (2, 0), jnp.array([0.7, -1.0])),
    "affine": lambda p, q: jaxgmm.affine(q, MATRIX, SHIFT),
    "convolve": jaxgmm.convolve,
    "product": jaxgmm.product,
    "moments": lambda p, q: (jaxgmm.mixture_mean(q), jaxgmm.mixture_covariance(q)),
    "stack": lambda p, q: jaxgmm.stack([p, q]),
}


@jax.jit
@jax.value_and_grad
def projection(sides, cotangents):
    """A number made of all of their finite leaves, and its gradient: as one program, which compiles
    faster.
    """
    leaves = jax.tree.leaves({name: fn(*sides) for name, fn in ALGEBRA.items()})
    return sum(
        jnp.vdot(jnp.where(jnp.isfinite(leaf), leaf, 0), c)
        for leaf, c in zip(leaves, cotangents, strict=True)
    )


def cotangents_of(sides):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda p, q: {name: fn(p, q) for name, fn in ALGEBRA.items()}, *sides)
    return [rng.normal(size=leaf.shape) for leaf in jax.tree.leaves(shapes)]


def assert_gradient(value_and_grad, start, *rest) -> None:
    """Against differences along three directions."""
    gradient = value_and_grad(start, *rest)[1]
    leaves, tree = jax.tree.flatten(start)
    for seed in range(3):
        directions = [np.random.default_rng(seed).normal(size=np.shape(leaf)) for leaf in leaves]

        def along(t: np.ndarray, directions=directions) -> float:
            moved = [
                np.asarray(leaf) + t[0] * d for leaf, d in zip(leaves, directions, strict=True)
            ]
            return float(value_and_grad(jax.tree.unflatten(tree, moved), *rest)[0])

        slope = sum(
            np.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), directions, strict=True)
        )
        np.testing.assert_allclose(slope, differences.gradient(along, np.zeros(1))[0], rtol=1e-7)


@pytest.mark.parametrize(
    "types", first_by_default([("full", "full"), ("tied", "tied"), ("diag", "spherical")])
)
def test_gradients(types):
    sides = tuple(typed(seed, 3, 3, t)[1] for seed, t in enumerate(types))
    assert_gradient(projection, sides, cotangents_of(sides))


def test_components_without_weight():
    """A component without weight in place of the half of another changes no density, and no
    gradient is lost.
    """
    (_, p), (_, q) = typed(0, 3, 3, "full"), typed(1, 3, 3, "full")
    halves = jax.tree.map(lambda leaf: np.asarray(leaf)[[0, 0, 2]], q)
    halves.logits[:2] -= np.log(2)
    dead = dataclasses.replace(q, logits=np.array([q.logits[0], -np.inf, q.logits[2]]))
    given, expected = everything(p, dead), everything(p, halves)
    for value, other in zip(as_list(given), as_list(expected), strict=True):
        if isinstance(value, jaxgmm.GMM):
            x = X[:, : value.num_dims]
            np.testing.assert_allclose(read(value).log_prob(x), read(other).log_prob(x), rtol=1e-11)
        else:
            np.testing.assert_allclose(value, other, rtol=1e-11)
    for sides in ((p, dead), (dead, q), (dead, dead)):
        assert all(
            np.isfinite(leaf).all()
            for leaf in jax.tree.leaves(projection(sides, cotangents_of(sides)))
        )


@jax.jit
def everything(p, q):
    return {name: fn(p, q) for name, fn in ALGEBRA.items()}


def as_list(results):
    """The mixtures and numbers among results, stacks as their elements."""
    leaves = jax.tree.leaves(results, is_leaf=lambda leaf: isinstance(leaf, jaxgmm.GMM))
    stacks = [leaf for leaf in leaves if isinstance(leaf, jaxgmm.GMM) and leaf.loc.ndim == 3]
    elements = [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], s)
        for s in stacks
        for i in range(len(s.loc))
    ]
    return elements + [
        leaf for leaf in leaves if not (isinstance(leaf, jaxgmm.GMM) and leaf.loc.ndim == 3)
    ]


def test_derivatives_in_weights_values_and_maps():
    (_, p), (_, q) = typed(1, 3, 3, "full"), typed(2, 2, 3, "diag")

    def total(arguments):
        weights, values, matrix, shift = map(jnp.asarray, arguments)
        mixtures = (
            jaxgmm.mixture_of([p, q], weights),
            jaxgmm.condition(p, (1,), values),
            jaxgmm.affine(p, matrix, shift),
        )
        return sum(jaxgmm.log_prob(m, X[:, : m.num_dims]).sum() for m in mixtures)

    value_and_grad = jax.jit(jax.value_and_grad(total))
    assert_gradient(value_and_grad, (np.array([0.3, 0.7]), np.array([0.4]), MATRIX, SHIFT))
    gradient = value_and_grad((np.array([1.0, 0.0]), np.array([0.4]), MATRIX, SHIFT))[1]
    assert all(np.isfinite(leaf).all() for leaf in gradient)
    many = jax.vmap(lambda v: jaxgmm.condition(p, (1,), v))(jnp.array([[0.4], [2.0]]))
    np.testing.assert_allclose(many.loc[1], jaxgmm.condition(p, (1,), [2.0]).loc, rtol=1e-13)
