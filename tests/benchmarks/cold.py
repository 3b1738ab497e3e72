"""One estimate to a tolerance in a process of its own, as a user's script: `python
tests/benchmarks/cold.py PAIR RTOL`.
"""

import sys

import jax
from pairs import PAIRS

import jaxgmm

print(
    jaxgmm.estimate(
        jaxgmm.kl_divergence, jax.random.key(0), *PAIRS[sys.argv[1]](), rtol=float(sys.argv[2])
    )
)
