"""Pytrees that are the same to the last bit."""

import jax
import jax.numpy as jnp
import numpy as np


def assert_same(a, b) -> None:
    """The same structure, types, dtypes and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert type(x) is type(y)
        assert (np.asarray(x).dtype, np.shape(x)) == (np.asarray(y).dtype, np.shape(y))
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
