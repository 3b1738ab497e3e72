"""Divergences, entropies, distances, approximations and bounds. It imports the wings below."""
