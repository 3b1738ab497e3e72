"""A Gaussian mixture and all that is exact about one. It imports _numerics, _validation and _quadrature."""
