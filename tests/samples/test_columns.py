"""Which columns of two samples differ."""

import json
import warnings

import jax
import numpy as np
import pytest

from jaxgmm import two_sample_test


@pytest.mark.long
@pytest.mark.timeout(900)
def test_which_column_differs():
    """One is shifted, and three others, correlated .8 with it, are not."""
    covariance = np.full((4, 4), 0.8) + 0.2 * np.eye(4)
    named = np.zeros(4)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = rng.multivariate_normal(np.zeros(4), covariance, (2, 150))
        y[:, 2] += 0.6
        options = {"num_permutations": 39, "num_bootstrap": 0, "by_column": True}
        result = two_sample_test(jax.random.key(seed), x, y, 1, columns=list("abcd"), **options)
        columns = result.by_column
        named += [column.p_value <= 0.05 for column in columns.values()]
        # Beyond the others, the shift stands out, which the correlation makes easy to see.
        assert max(columns, key=lambda name: columns[name].beyond) == "c"
        assert all(column.beyond > -0.002 for column in columns.values())
    assert named[2] >= 18
    assert named[[0, 1, 3]].sum() <= 20 * 0.05 + 3 * np.sqrt(20 * 0.05 * 0.95)


@pytest.mark.long
def test_columns_of_a_law_without_differences():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, y = np.random.default_rng(0).normal(size=(2, 80, 2))
        options = {"num_permutations": 39, "num_bootstrap": 0, "by_column": True}
        result = two_sample_test(jax.random.key(0), x, y, 2, **options)
    assert "beyond the others" in str(result)
    assert json.dumps(result.to_dict())
    for column in result.by_column.values():
        assert 0 < column.p_value <= 1
        assert 0 < column.p_value_if_nothing_differs <= 1
        low, high = column.chance_range
        assert 0 <= low < high
        assert (column.alone > high) <= (column.p_value < 0.5)
