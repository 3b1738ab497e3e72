"""Quadrature rules for the standard normal distribution. It imports _numerics and _validation."""
