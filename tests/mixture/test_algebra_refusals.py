"""What the algebra of mixtures refuses, and what it says then."""

import numpy as np
import pytest

import jaxgmm
from support.algebra import MATRIX, X
from support.mixtures import typed


def test_what_it_refuses():
    _, p = typed(1, 3, 3, "full")
    _, plane = typed(1, 3, 2, "full")
    refused = [
        (lambda: jaxgmm.mixture_of([]), ValueError, "gmms is empty"),
        (lambda: jaxgmm.mixture_of(p), ValueError, "gmms is one mixture"),
        (
            lambda: jaxgmm.stack("pq"),
            TypeError,
            r"gmms must be a list of jaxgmm\.GMM, or a stack of them, got str",
        ),
        (lambda: jaxgmm.mixture_of([p, 1]), TypeError, r"gmms\[1\] must be a jaxgmm\.GMM, got int"),
        (
            lambda: jaxgmm.stack([p, plane]),
            ValueError,
            r"gmms\[0\] has 3 and gmms\[1\] has 2; both must live in one space",
        ),
        (lambda: jaxgmm.mixture_of([p, p], [0.5, 0.4]), ValueError, "weights must sum to 1"),
        (
            lambda: jaxgmm.mixture_of([p, p], [1.5, -0.5]),
            ValueError,
            "weights must not be negative",
        ),
        (
            lambda: jaxgmm.mixture_of([p, p], [1.0]),
            ValueError,
            r"weights must have shape \(2,\), one for each",
        ),
        (
            lambda: jaxgmm.marginal(p, (0, 3)),
            ValueError,
            "dims must be at least one coordinate from -3 to 2",
        ),
        (
            lambda: jaxgmm.marginal(p, ()),
            ValueError,
            "dims must be at least one coordinate from -3 to 2",
        ),
        (lambda: jaxgmm.marginal(p, (0, -3)), ValueError, r"dims must be distinct, got \(0, -3\)"),
        (
            lambda: jaxgmm.marginal(p, 1),
            TypeError,
            r"dims must be a sequence of integers, such as \(0, 2\), got 1",
        ),
        (lambda: jaxgmm.marginal(p, (0.5,)), TypeError, "dims must be a sequence of integers"),
        (
            lambda: jaxgmm.condition(p, (0, 1, 2), X[0]),
            ValueError,
            "dims are all 3 coordinates of gmm",
        ),
        (
            lambda: jaxgmm.condition(p, (0,), 1.0),
            ValueError,
            r"values must have shape \(1,\), got \(\)",
        ),
        (lambda: jaxgmm.condition(p, (0,), [np.nan]), ValueError, "values holds NaN or infinity"),
        (
            lambda: jaxgmm.affine(p, MATRIX.T),
            ValueError,
            r"matrix must have shape \(D', 3\), got \(3, 2\)",
        ),
        (
            lambda: jaxgmm.affine(plane, MATRIX.T),
            ValueError,
            "the 3 rows of matrix are linearly dependent",
        ),
        (
            lambda: jaxgmm.affine(p, np.ones((2, 3))),
            ValueError,
            "the 2 rows of matrix are linearly dependent",
        ),
        (
            lambda: jaxgmm.affine(p, MATRIX, [1.0]),
            ValueError,
            r"shift must have shape \(2,\), got \(1,\)",
        ),
        (
            lambda: jaxgmm.convolve(p, plane),
            ValueError,
            "p has 3 and q has 2; both must live in one space",
        ),
    ]
    for call, error, match in refused:
        with pytest.raises(error, match=match):
            call()
