"""Fits of mixtures by gradients, and mixture reduction. It imports the wings below."""
