"""Gaussian mixtures, and operations on one or two. It imports _numerics and _validation."""
