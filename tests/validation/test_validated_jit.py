"""Functions of somebody else: their arguments are checked as their annotations say."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm import extend
from jaxgmm._validation.validated_jit import declared_by
from jaxgmm.extend import Check, Flag, Key, Mixture, Mixtures, PositiveInt, RuleArg, one_space
from support.compilations import COMPILATIONS
from support.mixtures import gmm, random_mixture

P, Q = (gmm(random_mixture(seed, 3, 2)) for seed in (0, 1))
LINE = gmm(random_mixture(2, 2, 1))
RULE = jaxgmm.Sobol(256)


@extend.validated_jit(one_space)
def skew(key: Key, left: Mixture, right: Mixture, rule: RuleArg = RULE) -> jax.Array:
    """KL(left || (left + right) / 2)."""
    return jaxgmm.kl_divergence(key, left, jaxgmm.mixture_of([left, right]), rule)


@extend.validated_jit(symmetric=True)
def weighted_distance(p: Mixture, q: Mixture, weights: jax.Array, squared: Flag = False):
    """A function whose argument has a name that a function of the package has for another thing."""
    distance = (weights * jnp.abs(jaxgmm.mixture_mean(p) - jaxgmm.mixture_mean(q))).sum()
    return distance**2 if squared else distance


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"left": 3}, TypeError, "left must be a jaxgmm.GMM, got int"),
        ({"right": None}, TypeError, "right must be a jaxgmm.GMM, got NoneType"),
        ({"left": LINE}, ValueError, "left has 1 and right has 2"),
        ({"rule": 256}, TypeError, "rule must be a rule such as .*, got 256"),
        ({"key": 0}, TypeError, "key must be a JAX random key, got 0"),
        ({"key": None}, ValueError, "key is None, but Sobol"),
        ({"middle": P}, TypeError, r"skew\(key, left, right, rule\): got an unexpected"),
    ],
)
def test_errors_name_the_argument_of_the_function(changed, error, message, key):
    with pytest.raises(error, match=message):
        skew(**{"key": key, "left": P, "right": Q} | changed)


@pytest.mark.smoke
def test_arguments_of_other_names_are_checked_and_compiled_once(key):
    exact = jaxgmm.kl_divergence(key, P, jaxgmm.mixture_of([P, Q]), RULE)
    np.testing.assert_allclose(skew(key, P, Q), exact, rtol=1e-12)
    COMPILATIONS.clear()
    skew(jax.random.key(1), right=P, left=Q)
    assert COMPILATIONS == []
    assert np.isfinite(jax.grad(skew, argnums=2)(key, P, Q).logits).all()


def test_the_name_of_an_argument_means_nothing():
    """There is no check of ``weights``, as its annotation has none."""
    means = np.abs(jaxgmm.mixture_mean(P) - jaxgmm.mixture_mean(Q))
    weights = jnp.array([2.0, -1.0])
    value = weighted_distance(P, Q, weights)
    np.testing.assert_allclose(value, np.dot(weights, means), rtol=1e-12)
    np.testing.assert_allclose(weighted_distance(P, Q, weights, True), value**2, rtol=1e-12)
    with pytest.raises(TypeError, match="squared must be True or False, got 1"):
        weighted_distance(P, Q, weights, 1)


def test_a_static_argument_is_not_traced():
    with pytest.raises(TypeError, match="squared is traced, but it must be static"):
        jax.jit(weighted_distance)(P, Q, jnp.ones(2), True)


def test_a_static_check_of_ones_own_sees_no_tracer():
    """Its function need not look for one: `Check` does."""

    @extend.validated_jit()
    def scaled(x: jax.Array, factor: Annotated[Any, Check(lambda name, value: value, static=True)]):
        return factor * x

    assert scaled(jnp.ones(()), 2.0) == 2
    with pytest.raises(TypeError, match="factor is traced, but it must be static"):
        jax.jit(scaled)(jnp.ones(()), 2.0)


def test_no_check_changes_what_it_is_given():
    given = {"gmm": P, "dims": [-1], "values": [0.5]}
    copies = {name: value if name == "gmm" else list(value) for name, value in given.items()}
    jaxgmm.condition(**given)
    assert given == copies
    gmms = [P, Q]
    jaxgmm.mixture_of(gmms, [0.25, 0.75])
    assert gmms == [P, Q]


def test_a_check_of_ones_own():
    def fraction(name: str, value: Any) -> float:
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
        return float(value)

    def half_for_one(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**arguments, "share": 0.5} if arguments["count"] == 1 else arguments

    share_check = Annotated[float, Check(fraction)]

    @extend.validated_jit(half_for_one)
    def total(share: share_check, count: PositiveInt, gmms: Mixtures | None = None) -> jax.Array:
        return jnp.asarray(share * count)

    assert total(0.25, 4) == 1
    assert total(0.25, 1) == 0.5
    with pytest.raises(ValueError, match="share must lie between 0 and 1, got 2"):
        total(2, 3)
    with pytest.raises(ValueError, match="count must be an integer of at least 1, got 0"):
        total(0.5, 0)
    with pytest.raises(TypeError, match=r"gmms must be a list of jaxgmm.GMM"):
        total(0.5, 1, P.loc)
    assert repr(Check(fraction)) == "Check(fraction)"


@pytest.mark.smoke
def test_help_shows_types_without_checks():
    shown = str(inspect.signature(jaxgmm.kl_divergence))
    assert shown == (
        "(key: Array | None, p: GMM, q: GMM, rule: Rule = "
        "Sobol(n=16384, variance_reduction=True), *, path_gradient: bool = False, "
        "midpoint: bool = False, mesh: Mesh | None = None) -> Array"
    )
    assert "ArrayLike | None" in str(inspect.signature(jaxgmm.mixture_of))
    random = "(key: Array, num_components: int, num_dims: int, covariance_type: str = 'full'"
    expected = f"{random}, *, spread: float = 2.0, dtype: DTypeLike | None = None) -> GMM"
    assert str(inspect.signature(jaxgmm.GMM.random)) == expected
    assert str(inspect.signature(jaxgmm.log_prob)) == "(gmm: GMM, x: ArrayLike) -> Array"


def test_a_divergence_declares_its_symmetry(key):
    """Then each pair is computed once; the entries below the diagonal are those above it."""
    weights = jnp.array([1.0, 2.0])

    @extend.validated_jit(one_space, symmetric=True)
    def distance(p: Mixture, q: Mixture) -> jax.Array:
        return weighted_distance(p, q, weights)

    @extend.validated_jit(one_space, symmetric=True)
    def wrong(p: Mixture, q: Mixture) -> jax.Array:
        return jaxgmm.kl_moment_matched(p, q)

    gmms = [P, Q, gmm(random_mixture(3, 2, 2))]
    matrix = jaxgmm.pairwise(distance, None, gmms)
    np.testing.assert_allclose(matrix, jaxgmm.pairwise(distance, None, gmms, symmetric=False))
    believed = jaxgmm.pairwise(wrong, None, gmms)
    np.testing.assert_array_equal(believed, believed.T)
    asked = jaxgmm.pairwise(wrong, None, gmms, symmetric=False)
    assert np.abs(asked - asked.T).max() > 0.1


def test_the_gradient_of_a_symmetric_function_is_not_declared_symmetric():
    assert declared_by(jaxgmm.js_divergence).symmetric
    assert not declared_by(jax.grad(jaxgmm.js_divergence, argnums=1)).symmetric
