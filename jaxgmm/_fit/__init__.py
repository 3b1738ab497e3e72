"""Fits of mixtures by gradients, and mixture reduction. This wing imports the wings below."""
