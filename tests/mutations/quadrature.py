"""These mutations break the rules, and how points are dealt to the components."""

from mutation import Mutation

QUADRATURE = [
    Mutation(
        "shares by the weights alone",
        "_shares",
        "0.27 + 0.73 * jnp.round(64 * k * weights) / 64",
        "0.001 + 0.999 * jnp.round(64 * k * weights) / 64",
        "test_rules.py",
    ),
    Mutation(
        "even shares",
        "_shares",
        "0.27 + 0.73 * jnp.round(64 * k * weights) / 64",
        "1 + 0 * jnp.round(64 * k * weights) / 64",
        "test_rules.py",
    ),
    Mutation(
        "a digit of Gauss-Hermite",
        "GaussHermite.batches",
        "np.uint32(self.order)",
        "np.uint32(max(self.order - 1, 1))",
        "test_rules.py",
    ),
    Mutation(
        "sigma points too near",
        "SigmaPoints.batches",
        "math.sqrt(num_dims) * sign[None]",
        "sign[None]",
        "test_rules.py",
    ),
    Mutation(
        "infinity at an end",
        "normal_from_bits",
        "cells * 2.0 ** (1 - kept) + (2.0**-kept - 1)",
        "cells * 2.0 ** (1 - kept) - 1",
        "test_rules.py",
    ),
    Mutation(
        "off by one in the bits of Sobol'",
        "net",
        "indices[None] >> places",
        "indices[None] >> (places + np.uint32(1))",
        "test_rules.py",
    ),
    Mutation(
        "a scrambling that is not invertible",
        "scrambled",
        "(random[:-1] & (top - np.uint32(1))[:, None, None]) | top[:, None, None]",
        "random[:-1] & (top - np.uint32(1))[:, None, None]",
        "test_rules.py",
    ),
    Mutation(
        "no random shift",
        "scrambled",
        "random[-1]",
        "0 * random[-1]",
        "test_rules.py",
    ),
    Mutation(
        "one scrambling for all components",
        "scrambled",
        "scrambling, random[-1]",
        "scrambling[:, :1] + 0 * scrambling, random[-1] * 0 + random[-1][:1]",
        "test_rules.py",
    ),
    Mutation(
        "off by one in the recurrence",
        "directions_from_table",
        "np.maximum(d - k, 0)",
        "np.maximum(d - k - 1, 0)",
        "test_rules.py",
    ),
    Mutation(
        "mirror images that are copies",
        "MonteCarlo.batches",
        "-nodes",
        "nodes",
        "test_rules.py",
    ),
    Mutation(
        "the same normals in each batch",
        "MonteCarlo.batches",
        "jax.random.fold_in(root, index)",
        "jax.random.fold_in(root, 0 * index)",
        "test_rules.py",
    ),
]
