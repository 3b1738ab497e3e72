"""Mixtures and running fits to and from files, which are .npz archives that NumPy can read."""

from jaxgmm.io._files import keep_compiled_programs as keep_compiled_programs
from jaxgmm.io._files import load as load
from jaxgmm.io._files import save as save
