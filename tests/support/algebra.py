"""Points and an affine map, in three dimensions."""

import numpy as np

X = np.random.default_rng(1).normal(size=(6, 3))
MATRIX, SHIFT = np.array([[1.0, -0.5, 2.0], [0.3, 1.0, 0.0]]), np.array([4.0, -1.0])
