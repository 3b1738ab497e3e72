"""Objects made in place of one that was there compile anew, which a warning says."""

import functools
import warnings

import jax
import numpy as np
import optax
import pytest

import jaxgmm
from oracles import dense
from support.compilations import COMPILATIONS
from support.mixtures import gmm

pytestmark = pytest.mark.usefixtures("as_optax_needs_it")

P, Q = (gmm(dense.mixture([1.0], [[mean]], [np.eye(1)])) for mean in (0.0, 1.0))
LOSS = jaxgmm.forward_kl_loss(P, jaxgmm.SigmaPoints())


def warned(function, *arguments, **options) -> tuple[bool, bool]:
    """Whether the call warns of a new object, and whether it compiles."""
    COMPILATIONS.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **options)
    assert all(str(w.message).split()[0] in ("optimizer", "divergence") for w in caught)
    assert all(w.filename == __file__ for w in caught)
    return bool(caught), bool(COMPILATIONS)


def test_a_new_optimizer_that_is_an_old_one():
    def fitted(optimizer, loss=LOSS, params=Q):
        return warned(jaxgmm.fit, None, loss, params, optimizer, 3)

    adam = optax.adam(0.1)
    assert fitted(adam) == (False, True)
    assert fitted(adam) == (False, False)
    assert fitted(optax.adam(0.1)) == (True, True)  # the warning is right that it compiles
    assert fitted(optax.adam(0.2)) == (False, True)
    assert fitted(optax.sgd(0.1)) == (False, True)
    assert fitted(adam) == (False, False)
    mine = lambda key, q: 2 * LOSS(key, q)  # noqa: E731
    assert fitted(adam, mine) == (False, True)
    assert fitted(optax.adam(0.1), mine) == (True, True)


def test_no_warning_under_jit(key):
    fit = jax.jit(lambda q: jaxgmm.fit(key, LOSS, q, optax.adam(0.3), 3).losses)
    for _ in range(2):
        assert not warned(fit, Q)[0]


def test_a_new_function_that_is_an_old_one(key):
    def estimated(divergence, **options):
        rule = jaxgmm.MonteCarlo(8)
        return warned(
            jaxgmm.estimate, divergence, key, P, Q, rule=rule, num_replicates=2, **options
        )

    kl, js = jaxgmm.kl_divergence, jaxgmm.js_divergence
    assert estimated(kl) == (False, True)
    assert estimated(kl) == (False, False)
    assert estimated(jax.grad(kl, 1)) == (False, True)
    assert estimated(jax.grad(kl, 2)) == (False, True)
    assert estimated(jax.grad(kl, 2)) == (True, True)
    assert estimated(kl, gradient_of=2) == (False, True)
    assert estimated(kl, gradient_of=2) == (False, False)
    path, other = ({"path_gradient": flag} for flag in (True, False))
    assert estimated(functools.partial(js, **path)) == (False, True)
    assert estimated(functools.partial(js, **other)) == (False, True)
    assert estimated(functools.partial(js, **path)) == (True, True)


def test_the_warning_names_gradient_of(key):
    gradients = [jax.grad(jaxgmm.entropy, 1) for _ in range(2)]
    for number, gradient in enumerate(gradients):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            jaxgmm.estimate(gradient, key, P, rule=jaxgmm.MonteCarlo(8), num_replicates=2)
        assert [("gradient_of=" in str(w.message)) for w in caught] == [True] * number
