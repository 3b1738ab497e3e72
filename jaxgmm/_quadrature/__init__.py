"""Quadrature rules for the standard normal, which import `_numerics` and `_validation` only."""
