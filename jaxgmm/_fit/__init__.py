"""Fits of mixtures by gradients, and mixture reduction."""
