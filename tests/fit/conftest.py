"""What Optax needs."""

import jax
import pytest


@pytest.fixture
def as_optax_needs_it(request):
    """Optax mixes dtypes and ranks in its optimisers; `test_optax_still_mixes_dtypes_strictly`
    tells when it no longer does.
    """
    if "strictly" in request.node.name:
        yield
    else:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            yield
