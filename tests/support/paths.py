"""Where the checkout is, or the unpacked source distribution."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
