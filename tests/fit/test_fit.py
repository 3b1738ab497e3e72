"""Fitting: a loop that neither falls over nor loses anything."""

import functools
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgmm
from jaxgmm import GMM
from support.compilations import COMPILATIONS
from support.fitting import FORWARD, RULE, THREE, two
from support.mixtures import gmm

pytestmark = pytest.mark.usefixtures("as_optax_needs_it")

ADAM = optax.adam(0.05)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
    "optimizer", [ADAM, pytest.param(optax.lbfgs(), marks=pytest.mark.long)], ids=["adam", "lbfgs"]
)
@pytest.mark.parametrize("cut", [100, 137])
def test_two_halves_are_the_whole_bit_for_bit(optimizer, cut, key):
    fit = functools.partial(jaxgmm.fit, fixed_key=optimizer is not ADAM, tol=0.0, window=170)
    whole = fit(key, FORWARD, two(), optimizer, 230)
    half = fit(key, FORWARD, two(), optimizer, cut)
    both = fit(key, FORWARD, half, optimizer, 230 - cut)
    assert_equal(whole, both)
    assert len(whole.losses) == whole.state.num_steps


def test_under_jit_it_is_the_same(key):
    eager = jaxgmm.fit(key, FORWARD, two(), ADAM, 50)
    jitted = jax.jit(lambda key, q: jaxgmm.fit(key, FORWARD, q, ADAM, 50))(key, two())
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), eager, jitted
    )


def test_a_loss_that_captures_a_traced_value(key):
    def to_target(shift):
        target = jax.tree.map(lambda leaf: leaf, gmm(THREE))
        loss = lambda key, q: jaxgmm.kl_divergence(key, target, q, RULE) + shift  # noqa: E731
        return jaxgmm.fit(key, loss, two(), ADAM, 20).losses

    shifted = jax.vmap(to_target)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(shifted[1] - shifted[0], 1, rtol=1e-9)


@pytest.mark.usefixtures("each_key_is_used_once")
def test_keys_are_fresh_or_fixed(key):
    """A loss that is the key's own normal shows which keys the steps get."""
    loss = lambda key, x: jax.random.normal(key, (), np.float64) + 0.0 * x.sum()  # noqa: E731
    fresh = jaxgmm.fit(key, loss, jnp.ones(2), ADAM, 120).losses
    assert len(np.unique(fresh)) == 120
    fixed = jaxgmm.fit(key, loss, jnp.ones(2), ADAM, 120, fixed_key=True).losses
    assert len(np.unique(fixed)) == 1
    np.testing.assert_array_equal(fixed[0], loss(key, jnp.ones(2)))


@pytest.mark.smoke
def test_it_stops_at_a_plateau(key):
    result = jaxgmm.fit(
        key,
        lambda key, x: jnp.square(x).sum(),
        jnp.ones(3),
        optax.sgd(0.1),
        1000,
        tol=1e-3,
        window=20,
    )
    assert result.converged
    means = np.asarray(result.losses).reshape(-1, 20).mean(1)
    assert means[-2] - means[-1] <= 1e-3
    assert np.all(means[:-2] - means[1:-1] > 1e-3)
    assert not jaxgmm.fit(
        key, lambda key, x: jnp.square(x).sum(), jnp.ones(3), optax.sgd(0.1), 100
    ).converged


@pytest.mark.usefixtures("nan_is_meant")
@pytest.mark.parametrize("bad", ["loss", "gradient"])
@pytest.mark.parametrize("at", [3, 100, 101])
def test_divergence_keeps_the_last_good_parameters(bad, at, key):
    """A loss that falls by one a step, and is not finite once `at` steps have been taken."""

    def loss(key, x):
        outside = x[0] < 0.5 - at
        if bad == "loss":
            return jnp.where(outside, jnp.nan, x[0])
        return (
            x[0] - 1 + jnp.sqrt(jnp.where(outside, x[0] - jax.lax.stop_gradient(x[0]), 1.0))
        )  # of infinite derivative

    with pytest.warns(RuntimeWarning, match=f"fit diverged: after {at} steps"):
        result = jaxgmm.fit(key, loss, jnp.zeros(1), optax.sgd(1.0), 250)
    assert result.diverged
    assert not result.converged
    np.testing.assert_array_equal(result.losses, -np.arange(at, dtype=float))
    np.testing.assert_array_equal(result.params, [1.0 - at])


@pytest.mark.usefixtures("nan_is_meant")
def test_a_diverged_start_loses_to_the_others(key):
    loss = lambda key, x: jnp.where(x < -5, jnp.nan, x)  # noqa: E731
    results = jax.vmap(lambda x: jaxgmm.fit(key, loss, x, optax.sgd(1.0), 10))(
        jnp.array([0.0, 20.0])
    )
    assert results.diverged.tolist() == [True, False]
    assert results.losses[0, -1] == jnp.inf
    assert results.losses[:, -1].argmin() == 1
    assert results.params[0] == -5


def test_nothing_is_compiled_again(key):
    optimizer = optax.adam(0.01)
    another = GMM.random(key, 3, 2)
    jaxgmm.fit(key, jaxgmm.forward_kl_loss(gmm(THREE), RULE), two(), optimizer, 250)
    start = two()
    COMPILATIONS.clear()
    other = jaxgmm.forward_kl_loss(another, RULE)
    result = jaxgmm.fit(key, other, start, optimizer, 330)
    jaxgmm.fit(key, other, result, optimizer, 50)
    assert COMPILATIONS == []


def test_steps_stay_on_the_device(key):
    jaxgmm.fit(key, FORWARD, two(), ADAM, 100)
    arguments = key, two()
    compiled = (
        jax.jit(lambda key, q: jaxgmm.fit(key, FORWARD, q, ADAM, 100))
        .lower(*arguments)
        .compile()
        .as_text()
    )
    assert not any(
        word in compiled
        for word in ("infeed", "outfeed", "xla_python_cpu_callback", "xla_ffi_python")
    )


def test_progress_is_called_with_the_result_so_far(key):
    seen = []
    result = jaxgmm.fit(key, FORWARD, two(), ADAM, 250, progress=seen.append)
    assert [len(r.losses) for r in seen] == [100, 200, 250]
    assert_equal(seen[-1], result)
    assert_equal(jaxgmm.fit(key, FORWARD, seen[0], ADAM, 150), result)


def test_progress_bar(key, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    jaxgmm.fit(key, FORWARD, two(), ADAM, 250, progress=True)
    assert "250/250" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="progress=True needs tqdm: pip install 'jaxgmm"):
        jaxgmm.fit(key, FORWARD, two(), ADAM, 250, progress=True)


def test_an_interrupt_keeps_the_result(key):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

    def interrupt(result):
        if len(result.losses) == 200:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(RuntimeWarning, match="fit was interrupted after 200 steps"):
        result = jaxgmm.fit(key, FORWARD, two(), ADAM, 1000, progress=interrupt)
    assert_equal(result, jaxgmm.fit(key, FORWARD, two(), ADAM, 200))


@pytest.mark.smoke
def test_no_steps_are_the_start(key):
    result = jaxgmm.fit(key, FORWARD, two(), ADAM, 0)
    assert_equal(result.params, two())
    assert result.losses.shape == (0,)


def nothing(key, q):
    return jnp.zeros(())


@pytest.mark.usefixtures("nan_is_meant")
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"loss": lambda key, q: q.logits},
            TypeError,
            r"loss must return a floating scalar, got .*shape=\(2,\)",
        ),
        (
            {"loss": lambda key, q: (jnp.zeros(()), 1.0)},
            TypeError,
            "loss must return a floating scalar, got",
        ),
        (
            {"loss": lambda key, q: jnp.zeros((), int)},
            TypeError,
            "loss must return a floating scalar, got",
        ),
        ({"loss": "kl"}, TypeError, "loss must be a function of"),
        (
            {"loss": lambda key, q: q.logits.sum() * jnp.nan},
            FloatingPointError,
            "not finite at the start",
        ),
        ({"params": {}}, ValueError, "params has no array leaves"),
        (
            {"params": {"a": np.arange(3)}},
            TypeError,
            "params must be made of floating arrays, but has a leaf array",
        ),
        (
            {"params": {"a": "b"}},
            TypeError,
            "params must be made of floating arrays, but has a leaf 'b'",
        ),
        ({"num_steps": -1}, ValueError, "num_steps must be an integer of at least 0, got -1"),
        ({"num_steps": 1.5}, TypeError, "num_steps must be an integer, got 1.5"),
        (
            {"optimizer": 1e-2},
            TypeError,
            "optimizer must be an optax optimiser such as .*, got 0.01",
        ),
        ({"optimizer": optax.adam}, TypeError, "optimizer must be an optax optimiser such as"),
        ({"key": 0}, TypeError, "key must be a JAX random key, got 0"),
        ({"tol": -1.0}, ValueError, "tol must be finite and not negative, got -1.0"),
        ({"tol": "small"}, TypeError, "tol must be a number, got 'small'"),
        ({"window": 0}, ValueError, "window must be an integer of at least 1, got 0"),
        ({"progress": 3}, TypeError, "progress must be True, False or a function"),
    ],
)
def test_bad_arguments(change, error, message):
    arguments = {
        "key": jax.random.key(0),
        "loss": nothing,
        "params": two(),
        "optimizer": ADAM,
        "num_steps": 5,
    }
    with pytest.raises(error, match=message):
        jaxgmm.fit(**(arguments | change))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jaxgmm.forward_kl_loss(3), TypeError, "p must be a jaxgmm.GMM, got int"),
        (lambda: jaxgmm.js_loss(two(), 100), TypeError, "rule must be a rule"),
        (
            lambda: jaxgmm.likelihood_loss([1.0, 2.0]),
            ValueError,
            r"x must have shape \(n, D\).*got \(2,\); write x\[:, None\]",
        ),
        (lambda: jaxgmm.likelihood_loss([[np.nan]]), ValueError, "x holds NaN or infinity"),
        (
            lambda: jaxgmm.likelihood_loss([[1.0]], 0),
            ValueError,
            "batch_size must be an integer of at least 1, got 0",
        ),
        (
            lambda: jaxgmm.scale_floor(0.0),
            ValueError,
            "min_scale must be positive and finite, got 0.0",
        ),
    ],
)
def test_bad_losses(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_loop_itself_strictly(key):
    optimizer = optax.sgd(0.1)
    result = jaxgmm.fit(key, FORWARD, two(), optimizer, 30, tol=1e-3, window=5)
    assert result.losses[-1] < result.losses[0]
    jitted = jax.jit(lambda key: jaxgmm.fit(key, FORWARD, two(), optimizer, 30).losses)(key)
    assert jitted[-1] < jitted[0]


def test_optax_still_mixes_dtypes_strictly(key):
    """When this fails, `as_optax_needs_it` is no longer needed."""
    with pytest.raises(Exception, match="no available implicit dtype promotion path"):
        jaxgmm.fit(key, FORWARD, two(), ADAM, 1)
