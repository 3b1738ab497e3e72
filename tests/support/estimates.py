"""Estimates with many replicates, and what their standard errors are to cover."""

import functools

import jax
import numpy as np

import jaxgmm

# Student's t with 63 degrees of freedom is beyond 5 once in 200,000 times; with the default 15,
# once in 6,000.
estimate = functools.partial(jaxgmm.estimate, num_replicates=64)


def assert_within(estimate: jaxgmm.Estimate, truth, catches: float) -> None:
    """Every number within 5 standard errors of the truth, and the smallest error that is then
    caught is at most `catches`.

    What happens in less than 5 of all the points may not have been seen at all, and then no
    standard error knows of it.
    """
    for value, error, exact in zip(
        *map(jax.tree.leaves, (estimate.value, estimate.standard_error, truth)), strict=True
    ):
        value, error, exact = (np.asarray(a, float) for a in (value, error, exact))
        bound = 5 * error + 1e-11 * np.abs(exact)  # which is what quadrature is good for
        bound = bound + 5 / estimate.num_points
        assert np.all(np.abs(value - exact) <= bound), f"{value} +- {error}, should be {exact}"
        assert np.all(bound <= catches), (
            f"5 standard errors are {5 * error}: too many to see an error of {catches}"
        )
