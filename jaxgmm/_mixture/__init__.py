"""Gaussian mixtures and operations on one or two, which import `_numerics` and `_validation`."""
