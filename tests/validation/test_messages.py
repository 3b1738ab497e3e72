"""Errors of arrays: they name the entry at fault, stay short, and refuse what would be misread."""

import numpy as np
import pytest

import jaxgmm

P = jaxgmm.GMM.from_moments([0.5, 0.5], [[0.0, 0.0], [1.0, 2.0]], [1.0, 1.0], "spherical")
LONG = [[0.0, 1.0]] * 100_000


def with_fault(fault: object) -> list:
    return [*LONG, [0.0, fault]]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: jaxgmm.log_prob(P, x),
        lambda x: jaxgmm.likelihood_loss(x),
        lambda x: jaxgmm.GMM.from_moments(np.full(len(x), 1 / len(x)), x, 1.0, "tied"),
    ],
)
def test_the_entry_at_fault_is_named_and_the_text_is_short(call):
    for fault, text in ((np.nan, r"\[100000, 1\] is nan"), (np.inf, r"\[100000, 1\] is inf")):
        with pytest.raises(ValueError, match=text) as caught:
            call(with_fault(fault))
        assert len(str(caught.value)) < 300
    with pytest.raises(TypeError, match=r"(?s)real numbers.*to_numpy\(float\)") as caught:
        call(np.array(with_fault("?"), dtype=object))
    assert len(str(caught.value)) < 400
    with pytest.raises(TypeError, match="masked"):
        call(np.ma.masked_values([[0.0, -99.0], [1.0, 2.0]], -99))


@pytest.mark.parametrize("argument", ["num_components", "covariance_type", "reg_covar"])
def test_a_long_value_is_not_quoted_whole(key, argument):
    arguments = {"x": [[0.0], [1.0]], "num_components": 1, argument: LONG}
    with pytest.raises((TypeError, ValueError)) as caught:
        jaxgmm.GMM.from_data(key, **arguments)
    assert len(str(caught.value)) < 400


def test_a_component_without_weight_and_numbers_may_be_left_out():
    """An EM that has lost a component writes NaN for its parameters."""
    means, variances = [[0.0], [np.nan], [2.0]], [1.0, np.nan, 1.0]
    for m, v in ((means, variances), ([[0.0], [1.0], [2.0]], variances), (means, [1.0, 1.0, 1.0])):
        with pytest.raises(ValueError, match=r"component 1 of the mixture has no weight.*leave"):
            jaxgmm.GMM.from_moments([0.5, 0.0, 0.5], m, v, "spherical")
    p = jaxgmm.GMM(np.array([0.0, -np.inf]), np.array([[0.0], [np.nan]]), np.zeros((2, 1)), None)
    with pytest.raises(ValueError, match="component 1 of gmm has no weight"):
        jaxgmm.log_prob(p, [0.0])
    with pytest.raises(ValueError, match=r"means\[1, 0\] is nan"):
        jaxgmm.GMM.from_moments([0.5, 0.25, 0.25], means, [1.0, 1.0, 1.0], "spherical")
