"""Quadrature rules for the standard normal. It imports `_numerics` and `_validation` only."""
