"""Mixture reduction: greedy merging of components, then a fit if one is asked for."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import numpy as np
import optax
from jax import Array

from jaxgmm._fit.fit import NumSteps, fit
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import moments_of
from jaxgmm._mixture.validation import Mixture
from jaxgmm._validation.arguments import Key, PositiveInt, function_that_must
from jaxgmm._validation.checks import check_concrete
from jaxgmm._validation.validated_jit import validated

_REFINE = "make a loss of gmm, as jaxgmm.cross_entropy_loss does"

Refine = Annotated[Callable[[GMM], Callable[[Array, GMM], Array]], function_that_must(_REFINE)]


@validated()
def reduce(
    gmm: Mixture,
    num_components: PositiveInt,
    *,
    refine: Refine | None = None,
    key: Key = None,
    num_steps: NumSteps = 40,
    optimizer: optax.GradientTransformation | None = None,
) -> GMM:
    r"""A mixture of fewer components that is close to gmm.

    Two components at a time are merged into one of the same moments, which keeps the mean and the
    covariance of the mixture exactly. For each pair, Runnalls' bound limits how much merging adds
    to the Kullback-Leibler divergence, and the pair with the least bound is merged:

    .. math:: B_{ij} = \tfrac12 \left((w_i + w_j) \log \det \Sigma_{ij}
              - w_i \log \det \Sigma_i - w_j \log \det \Sigma_j\right)

    A "diag" mixture stays "diag", so only its variances are kept exactly. A "spherical" one keeps
    their sum only. A "tied" mixture becomes "full".

    Args:
      gmm: the mixture.
      num_components: the number of components to leave, at most.
      refine: a function from gmm to a loss by which the merged mixture is then fitted, such as
        `cross_entropy_loss`, the cheapest for the forward KL. None only merges.
      key: a random key for refine.
      num_steps: the number of steps of refine.
      optimizer: the optimiser of refine; None is ``optax.adam`` at a rate that falls from 0.03.

    Returns:
      The smaller mixture, in the dtype of gmm, without components of weight 0; gmm itself if it has
      few enough components.

    Raises:
      TypeError: an argument is of a wrong type, or gmm is traced.
      ValueError: gmm is not finite, or its shapes disagree.
      ValueError: num_components or num_steps is out of its range, or refine is given without a key.

    Example:
      >>> p = GMM.from_moments([0.25, 0.25, 0.5], [[-1], [1], [9]], [1, 1, 1], "spherical")
      >>> q = reduce(p, 2)
      >>> print([sorted(a[:, 0].round(3).tolist()) for a in (q.means, q.covariances)])
      [[0.0, 9.0], [1.0, 2.0]]

    References:
      Runnalls, Kullback-Leibler approach to Gaussian mixture reduction (2007), eq. 21.
    """
    # Under jax.jit the weights are traced even where gmm is a constant.
    check_concrete("gmm", gmm.weights, "reduce")
    merged = _merged(gmm, num_components)
    if refine is None:
        return merged
    if key is None:
        raise ValueError("key is None, but refine draws at random: pass key=jax.random.key(0), say")
    optimizer = _adam(num_steps) if optimizer is None else optimizer
    return fit(key, refine(gmm), merged, optimizer, num_steps).params


@functools.cache
def _adam(num_steps: int) -> optax.GradientTransformation:
    """The default optimiser, the same object for each num_steps, so that `fit` compiles it once."""
    return optax.adam(optax.cosine_decay_schedule(0.03, num_steps), b2=0.9)


def _merged(gmm: GMM, num_components: int) -> GMM:
    """The result of greedy merging, in NumPy and float64."""
    if gmm.num_components <= num_components:
        return gmm
    weights, means, covariances, family = moments_of(gmm)
    alive = np.flatnonzero(weights.astype(gmm.logits.dtype))
    if len(alive) <= num_components:
        return jax.tree.map(lambda leaf: leaf if len(leaf) == 1 else leaf[alive], gmm)
    if family == "tied":
        family = "full"
        covariances = np.broadcast_to(covariances, (len(weights), *covariances.shape))
    parts = _Components(weights[alive], means[alive], covariances[alive], family)
    left = np.arange(len(alive))
    costs = np.full((len(alive), len(alive)), np.inf)
    for i in range(1, len(alive)):
        costs[i, :i] = parts.cost_of_merging(i, left[:i])
    while len(left) > num_components:
        i, j = np.unravel_index(costs.argmin(), costs.shape)
        parts.merge(i, j)
        left = left[left != j]
        costs[j] = np.inf
        costs[:, j] = np.inf
        others = left[left != i]
        costs[np.maximum(i, others), np.minimum(i, others)] = parts.cost_of_merging(i, others)
    kept = parts.weights[left] / parts.weights[left].sum()
    means, covariances = parts.means[left], parts.covariances[left]
    return GMM.from_moments(kept, means, covariances, family, dtype=gmm.loc.dtype)


@dataclasses.dataclass
class _Components:
    """Weights (K,), means (K, D) and covariances in the shape of their type, updated in place."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str

    def merged(self, i: Any, j: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The moments of component i merged with each of the components j."""
        weight = self.weights[i] + self.weights[j]
        share = self.weights[i] / weight
        step = self.means[i] - self.means[j]
        mean = self.means[j] + share[..., None] * step
        of_i, of_j = self.covariances[i], self.covariances[j]
        share = share.reshape(share.shape + (1,) * (of_j.ndim - share.ndim))
        covariance = share * of_i + (1 - share) * of_j + share * (1 - share) * self.outer(step)
        return weight, mean, covariance

    def outer(self, step: np.ndarray) -> np.ndarray:
        """The outer product of a step (..., D) with itself, in the shape of the covariance type."""
        if self.covariance_type == "full":
            return step[..., :, None] * step[..., None, :]
        return step**2 if self.covariance_type == "diag" else (step**2).mean(-1)

    def log_det(self, covariances: np.ndarray) -> np.ndarray:
        """The logarithms of the determinants of covariances of the type."""
        if self.covariance_type == "full":
            return np.linalg.slogdet(covariances)[1]
        logs = np.log(covariances)
        return logs.sum(-1) if self.covariance_type == "diag" else self.means.shape[1] * logs

    def cost_of_merging(self, i: Any, j: np.ndarray) -> np.ndarray:
        """Runnalls' bound B_ij."""
        weight, _, covariance = self.merged(i, j)
        of_i, of_j = (self.weights[k] * self.log_det(self.covariances[k]) for k in (i, j))
        return 0.5 * (weight * self.log_det(covariance) - of_i - of_j)

    def merge(self, i: Any, j: Any) -> None:
        """Put the merged moments of components i and j in the place of component i."""
        self.weights[i], self.means[i], self.covariances[i] = self.merged(i, j)
