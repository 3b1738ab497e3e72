"""Mixtures for Hypothesis to draw, and how long it looks."""

import os

import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxgmm import GMM

# The same examples in every run, so that nothing fails by chance; HYPOTHESIS_PROFILE=search looks
# for others.
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "same",
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=HEALTHY,
)
settings.register_profile("search", max_examples=500, deadline=None, suppress_health_check=HEALTHY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def numbers(shape: tuple[int, ...], low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=st.floats(low, high, allow_subnormal=False))


@st.composite
def mixtures(draw, k: int, d: int, covariance_type: str, dtype=np.float64) -> GMM:
    """Weights from e^-60, scales over four decades, and means up to 20,000 apart."""
    rows, columns = (
        (1 if covariance_type == "tied" else k),
        (1 if covariance_type == "spherical" else d),
    )
    logits, loc = (
        draw(numbers((k,), -60, 5)),
        10 ** draw(st.floats(-3, 4)) * draw(numbers((k, d), -1, 1)),
    )
    log_diag, off_diag = draw(numbers((rows, columns), -5, 5)), None
    if covariance_type in ("full", "tied"):
        below = np.tril_indices(d, -1)[0]
        off_diag = jnp.asarray(
            draw(numbers((rows, len(below)), -1, 1)) * np.exp(log_diag)[:, below], dtype
        )
    return GMM(*(jnp.asarray(leaf, dtype) for leaf in (logits, loc, log_diag)), off_diag)
