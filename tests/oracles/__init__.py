"""What the truth is, by NumPy, SciPy, mpmath and quadrature, with none of the package's code: one
module for one thing.
"""
