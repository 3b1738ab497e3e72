"""Mixtures in other units of the points, and how results follow them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import jaxgmm
from jaxgmm import GMM

RULE = jaxgmm.GaussHermite(6)
POINTS = np.array([[0.3, -0.7], [2.0, 1.0]])


def random_stack(seed: int, n: int, k: int, d: int, covariance_type: str = "full") -> GMM:
    """Mixtures (n,) in float64, with deviations about 1."""
    rng = np.random.default_rng(seed)
    rows = 1 if covariance_type == "tied" else k
    columns = 1 if covariance_type == "spherical" else d
    below = 0.5 * rng.normal(size=(n, rows, d * (d - 1) // 2))
    return GMM(
        rng.normal(size=(n, k)),
        2 * rng.normal(size=(n, k, d)),
        0.5 * rng.normal(size=(n, rows, columns)),
        below if covariance_type in ("full", "tied") else None,
    )


def in_units(gmm: GMM, units: np.ndarray) -> GMM:
    """The mixtures of x times units (D,), in float64."""
    rows = np.tril_indices(gmm.loc.shape[-1], -1)[0]
    leaves = {name: getattr(gmm, name) for name in ("loc", "log_diag", "off_diag")}
    leaves = {n: None if v is None else np.asarray(v, np.float64) for n, v in leaves.items()}
    off_diag = leaves["off_diag"]
    columns = leaves["log_diag"].shape[-1]
    return dataclasses.replace(
        gmm,
        logits=np.asarray(gmm.logits, np.float64),
        loc=leaves["loc"] * units,
        log_diag=leaves["log_diag"] + np.log(units)[:columns],
        off_diag=None if off_diag is None else off_diag * units[rows],
    )


def gradient_in_units(gradient: GMM, units: np.ndarray) -> GMM:
    """The gradients of a function of the mixtures in these units, if it has the same values."""
    rows = np.tril_indices(gradient.loc.shape[-1], -1)[0]
    loc, off_diag = gradient.loc, gradient.off_diag
    return dataclasses.replace(
        gradient,
        loc=np.asarray(loc, np.float64) / units,
        off_diag=None if off_diag is None else np.asarray(off_diag, np.float64) / units[rows],
    )


def cast(gmm: GMM, dtype) -> GMM:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), gmm)
