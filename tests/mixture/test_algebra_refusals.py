"""What the algebra of mixtures refuses, and what it says then."""

import numpy as np
import pytest

import jaxgmm
from support.algebra import MATRIX, X
from support.mixtures import typed

P, PLANE = (typed(1, 3, d, "full")[1] for d in (3, 2))
REFUSED = [
    (lambda: jaxgmm.mixture_of([]), ValueError, "gmms is empty"),
    (lambda: jaxgmm.mixture_of(P), ValueError, "gmms is one mixture"),
    (
        lambda: jaxgmm.stack("pq"),
        TypeError,
        r"gmms must be a list of jaxgmm\.GMM, or a stack of them, got str",
    ),
    (lambda: jaxgmm.mixture_of([P, 1]), TypeError, r"gmms\[1\] must be a jaxgmm\.GMM, got int"),
    (
        lambda: jaxgmm.stack([P, PLANE]),
        ValueError,
        r"gmms\[0\] has 3 and gmms\[1\] has 2; both must live in one space",
    ),
    (lambda: jaxgmm.mixture_of([P, P], [0.5, 0.4]), ValueError, "weights must sum to 1"),
    (
        lambda: jaxgmm.mixture_of([P, P], [1.5, -0.5]),
        ValueError,
        "weights must not be negative",
    ),
    (
        lambda: jaxgmm.mixture_of([P, P], [1.0]),
        ValueError,
        r"weights must have shape \(2,\), one for each",
    ),
    (
        lambda: jaxgmm.marginal(P, (0, 3)),
        ValueError,
        "dims must be at least one coordinate from -3 to 2",
    ),
    (
        lambda: jaxgmm.marginal(P, ()),
        ValueError,
        "dims must be at least one coordinate from -3 to 2",
    ),
    (lambda: jaxgmm.marginal(P, (0, -3)), ValueError, r"dims must be distinct, got \(0, -3\)"),
    (
        lambda: jaxgmm.marginal(P, 1),
        TypeError,
        r"dims must be a sequence of integers, such as \(0, 2\), got 1",
    ),
    (lambda: jaxgmm.marginal(P, (0.5,)), TypeError, "dims must be a sequence of integers"),
    (
        lambda: jaxgmm.condition(P, (0, 1, 2), X[0]),
        ValueError,
        "dims are all 3 coordinates of gmm",
    ),
    (
        lambda: jaxgmm.condition(P, (0,), 1.0),
        ValueError,
        r"values must have shape \(1,\), got \(\)",
    ),
    (lambda: jaxgmm.condition(P, (0,), [np.nan]), ValueError, "values holds NaN or infinity"),
    (
        lambda: jaxgmm.affine(P, MATRIX.T),
        ValueError,
        r"matrix must have shape \(D', 3\), got \(3, 2\)",
    ),
    (
        lambda: jaxgmm.affine(PLANE, MATRIX.T),
        ValueError,
        "the 3 rows of matrix are linearly dependent",
    ),
    (
        lambda: jaxgmm.affine(P, np.ones((2, 3))),
        ValueError,
        "the 2 rows of matrix are linearly dependent",
    ),
    (
        lambda: jaxgmm.affine(P, MATRIX, [1.0]),
        ValueError,
        r"shift must have shape \(2,\), got \(1,\)",
    ),
    (
        lambda: jaxgmm.convolve(P, PLANE),
        ValueError,
        "p has 3 and q has 2; both must live in one space",
    ),
]


def test_what_it_refuses():
    for call, error, match in REFUSED:
        with pytest.raises(error, match=match):
            call()
