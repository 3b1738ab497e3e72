"""Divergences, entropies, distances, approximations and bounds."""
