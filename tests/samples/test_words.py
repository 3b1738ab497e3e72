"""The words of a result."""

import dataclasses

import numpy as np

import jaxgmm

P = jaxgmm.GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
HEAD = 0.08, 0.00006, np.linspace(0.05, 0.09, 41), 0.025, 0.01, (0.0, 0.03)
RESULT = jaxgmm.TwoSampleResult(*HEAD, P, P, True, (9, 9), "JS", None, {})


def test_words_do_not_contradict_the_test():
    """The bootstrap may put an excess above 0 where the p value says that it may be 0."""
    words = str(
        dataclasses.replace(RESULT, p_value=0.65, excess=0.02, excess_interval=(0.01, 0.04))
    )
    assert "no more than chance, p = 0.65; excess 0 to 0.04." in words
    words = str(dataclasses.replace(RESULT, p_value=0.65, excess=0.02, excess_interval=None))
    assert "excess" not in words
    words = str(dataclasses.replace(RESULT, p_value=1 / 42, excess=0.02, excess_interval=None))
    assert (
        ": more than chance, p = 0.024, the least that 41 permutations can show; excess 0.02."
        in words
    )
    words = str(dataclasses.replace(RESULT, p_value=0.03, excess_interval=(0.01, 0.04)))
    assert "p = 0.03; excess 0.01 (95 %: 0.01 to 0.04)." in words


def test_all_of_them():
    columns = {
        "age": jaxgmm.Column(0.07, 0.04, 0.02, 0.6, (0.04, 0.06), (41.25, 43.5)),
        "height": jaxgmm.Column(0.01, 0.4, 0.02, 0.6, (0.0, 0.06), (1.75, 1.749)),
    }
    assert str(dataclasses.replace(RESULT, by_column=columns, left_out={"id": "constant"})) == (
        "JS 0.08; by chance 0.07 on average (95 %: 0.051 to 0.089): more than chance, p = 0.025; "
        "excess 0.01 (95 %: 0 to 0.03). Error of the integration 0.00006\n"
        "id is left out: constant\n"
        "age: mean 41.25, then 43.5; alone 0.07, p = 0.04 (Holm); beyond the others 0.02\n"
        "height: mean 1.75, then 1.749; alone 0.01, p = 0.4 (Holm); beyond the others 0.02\n"
        "More than chance, each alone: age"
    )
    del columns["age"]
    lines = str(dataclasses.replace(RESULT, by_column=columns)).splitlines()
    assert lines[1].endswith("beyond the others 0.02, p = 0.6 if nothing differs at all")
    assert lines[2] == "More than chance, each alone: no column"
