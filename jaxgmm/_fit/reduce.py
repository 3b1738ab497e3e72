"""Mixture reduction: greedy merging of components, refined by a fit if asked for."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jax import Array

from jaxgmm._fit.fit import fit
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixture
from jaxgmm._validation.checks import check_concrete, check_key, check_static, checked_int
from jaxgmm._validation.validated_jit import validated


@validated()
def reduce(
    gmm: Mixture,
    num_components: int,
    *,
    refine: Callable[[GMM], Callable[[Array, GMM], Array]] | None = None,
    key: Array | None = None,
    num_steps: int = 40,
    optimizer: optax.GradientTransformation | None = None,
) -> GMM:
    r"""A mixture of fewer components that is close to this one.

    Two components are merged at a time into one of their weight, mean and covariance, so the moments of the whole are kept
    exactly. They are those for which Runnalls' upper bound on the increase of the Kullback-Leibler divergence is least:

    .. math:: B_{ij} = \tfrac12 \left((w_i + w_j) \log \det \Sigma_{ij} - w_i \log \det \Sigma_i - w_j \log \det \Sigma_j\right)

    Diagonal and spherical mixtures stay so, and then keep the mean and the variances, or their sum; "tied" becomes "full".

    Args:
      gmm: the mixture.
      num_components: how many components to leave, at most.
      refine: a loss to make of gmm and then to fit the result by, such as `cross_entropy_loss`, the cheapest, for the
        forward KL; None: merging alone.
      key: a random key for refine.
      num_steps: the steps of refine.
      optimizer: of refine; None: ``optax.adam`` with a rate that falls from 0.03 to 0.

    Returns:
      The smaller mixture, of the dtype of gmm, without components of no weight; gmm itself if it has few enough already.

    Raises:
      TypeError, ValueError: an argument is not usable, gmm is traced, or refine is given without a key.

    Example:
      >>> p = GMM.from_moments([0.25, 0.25, 0.5], [[-1.0], [1.0], [9.0]], [[1.0], [1.0], [1.0]], "diag")
      >>> q = reduce(p, 2)
      >>> print(sorted(q.means[:, 0].round(3).tolist()), sorted(q.covariances[:, 0].round(3).tolist()))
      [0.0, 9.0] [1.0, 2.0]

    References:
      Runnalls, Kullback-Leibler approach to Gaussian mixture reduction, IEEE Trans. Aerosp. Electron. Syst. 43 (2007), eq. 21.
    """
    check_key("key", key)
    num_components, num_steps = (
        checked_int("num_components", num_components),
        checked_int("num_steps", num_steps, at_least=0),
    )
    if refine is not None and not callable(refine):
        check_static("refine", refine)
        raise TypeError(
            f"refine must make a loss of gmm, as jaxgmm.cross_entropy_loss does, got {refine!r}"
        )
    check_concrete(
        "gmm", gmm.weights, "reduce"
    )  # which under jax.jit are traced although gmm is not
    merged = _merged(gmm, num_components)
    if refine is None:
        return merged
    if key is None:
        raise ValueError("key is None, but refine draws at random: pass key=jax.random.key(0), say")
    return fit(
        key, refine(gmm), merged, _adam(num_steps) if optimizer is None else optimizer, num_steps
    ).params


@functools.cache
def _adam(num_steps: int) -> optax.GradientTransformation:
    """The same object for the same number of steps, so that a second reduction compiles nothing."""
    return optax.adam(optax.cosine_decay_schedule(0.03, num_steps), b2=0.9)


def _merged(gmm: GMM, num_components: int) -> GMM:
    """The greedy algorithm, in NumPy and float64."""
    if gmm.num_components <= num_components:
        return gmm
    weights = np.asarray(gmm.weights, np.float64)
    alive = np.flatnonzero(weights)
    if len(alive) <= num_components:
        return jax.tree.map(lambda leaf: leaf if len(leaf) == 1 else leaf[alive], gmm)
    family = "full" if gmm.covariance_type == "tied" else gmm.covariance_type
    covariances = np.asarray(gmm.covariances, np.float64)
    covariances = (
        np.broadcast_to(covariances, (len(weights), *covariances.shape))
        if gmm.covariance_type == "tied"
        else covariances
    )
    parts = _Components(
        weights[alive], np.asarray(gmm.loc, np.float64)[alive], covariances[alive], family
    )
    costs = np.full((len(alive), len(alive)), np.inf)
    for i in range(1, len(alive)):
        costs[i, :i] = parts.cost_of_merging(i, np.arange(i))
    left = np.arange(len(alive))
    while len(left) > num_components:
        i, j = np.unravel_index(costs.argmin(), costs.shape)
        parts.merge(i, j)
        left = left[left != j]
        costs[j], costs[:, j] = np.inf, np.inf
        others = left[left != i]
        costs[np.maximum(i, others), np.minimum(i, others)] = parts.cost_of_merging(i, others)
    kept = parts.weights[left] / parts.weights[left].sum()
    return GMM.from_moments(
        kept, parts.means[left], parts.covariances[left], family, dtype=gmm.loc.dtype
    )


@dataclasses.dataclass
class _Components:
    """Weights (K,), means (K, D) and covariances in the shape of their type, which change as components merge."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    family: str

    def merged(self, i: Any, j: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The moments of component i together with each of the components j."""
        weight = self.weights[i] + self.weights[j]
        share = self.weights[i] / weight
        step = self.means[i] - self.means[j]
        mean = self.means[j] + share[..., None] * step
        ours, theirs = self.covariances[i], self.covariances[j]
        share = share.reshape(share.shape + (1,) * (theirs.ndim - share.ndim))
        return (
            weight,
            mean,
            share * ours + (1 - share) * theirs + share * (1 - share) * self.outer(step),
        )

    def outer(self, step: np.ndarray) -> np.ndarray:
        """The covariance (...) of moving by a step (..., D), as far as the type can hold it."""
        if self.family == "full":
            return step[..., :, None] * step[..., None, :]
        return step**2 if self.family == "diag" else (step**2).mean(-1)

    def log_det(self, covariances: np.ndarray) -> np.ndarray:
        if self.family == "full":
            return np.linalg.slogdet(covariances)[1]
        log_variances = np.log(covariances)
        return (
            log_variances.sum(-1) if self.family == "diag" else self.means.shape[1] * log_variances
        )

    def cost_of_merging(self, i: Any, j: np.ndarray) -> np.ndarray:
        """Runnalls' bound B_ij."""
        weight, _, covariance = self.merged(i, j)
        ours, theirs = (self.weights[k] * self.log_det(self.covariances[k]) for k in (i, j))
        return 0.5 * (weight * self.log_det(covariance) - ours - theirs)

    def merge(self, i: Any, j: Any) -> None:
        """Component i becomes both."""
        self.weights[i], self.means[i], self.covariances[i] = self.merged(i, j)
