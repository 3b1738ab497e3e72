"""Mixtures, and fits that are under way, to and from files: archives of arrays (.npz) that NumPy alone can read."""

from jaxgmm.io._files import load as load
from jaxgmm.io._files import save as save
