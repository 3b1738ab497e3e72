"""The strictest flags that JAX has, and the fixtures that tests of many folders use."""

import jax
import pytest

from jaxgmm._validation.recompilation import objects_known_for

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_nans", True)


@pytest.fixture(scope="module", autouse=True)
def room_for_more_programs():
    """A process may map only so many pieces of memory, and compiled programs are made of them: XLA
    crashes at the limit.
    """
    yield
    jax.clear_caches()
    objects_known_for.cache_clear()


@pytest.fixture
def nan_is_meant():
    with jax.debug_nans(False):
        yield


@pytest.fixture
def each_key_is_used_once():
    """For tests that do not themselves use one twice, to compare."""
    with jax.debug_key_reuse(True):
        yield


@pytest.fixture
def key():
    return jax.random.key(20)


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
