"""Mixture reduction: greedy merging of components, then a fit if one is asked for."""

import functools
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxgmm._fit.em_steps import Units
from jaxgmm._fit.fit import NumSteps, fit
from jaxgmm._fit.merging import merge_cheapest
from jaxgmm._mixture.algebra import mixture_covariance, mixture_mean
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
    their sum only. A "tied" mixture becomes "full". A refinement does not depend on the units of x,
    as it is a fit in units in which gmm has mean 0 and variance 1.

    Args:
      gmm: the mixture.
      num_components: the number of components to leave, at most.
      refine: a function from gmm to a loss by which the merged mixture is then fitted, such as
        `cross_entropy_loss`, the cheapest for the forward KL. None only merges. The merged mixture
        is kept if the loss after the fit is not lower.
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
    return _refined(key, refine, gmm, merged, optimizer, num_steps)


def _refined(
    key: Array,
    refine: Refine,
    gmm: GMM,
    merged: GMM,
    optimizer: optax.GradientTransformation,
    num_steps: int,
) -> GMM:
    """The mixture after a fit in units in which gmm has mean 0 and variance 1, or merged itself."""
    variances = jnp.diagonal(mixture_covariance(merged))
    if merged.covariance_type == "spherical":
        variances = jnp.full_like(variances, variances.mean())
    units = Units(mixture_mean(merged), jnp.sqrt(variances))
    loss, start = refine(units.inside(gmm)), units.inside(merged)
    fitted = fit(key, loss, start, optimizer, num_steps).params
    loss = jax.tree_util.Partial(loss) if jax.tree_util.all_leaves([loss]) else loss
    of_start, of_fitted = (
        _loss_at(loss, jax.random.fold_in(key, num_steps), q) for q in (start, fitted)
    )
    return units.outside(fitted) if of_fitted < of_start else merged


@jax.jit
def _loss_at(loss: Callable[[Array, GMM], Array], key: Array, gmm: GMM) -> Array:
    """The value of a loss, also at parameters that the checks of an eager call would refuse."""
    return loss(key, gmm)


@functools.cache
def _adam(num_steps: int) -> optax.GradientTransformation:
    """The default optimiser, the same object for each num_steps, so that `fit` compiles it once."""
    return optax.adam(optax.cosine_decay_schedule(0.03, num_steps), b2=0.9)


def _merged(gmm: GMM, num_components: int) -> GMM:
    if gmm.num_components <= num_components:
        return gmm
    weights, means, covariances, family = moments_of(gmm)
    alive = np.flatnonzero(weights.astype(gmm.logits.dtype))
    if len(alive) <= num_components:
        return jax.tree.map(lambda leaf: leaf if len(leaf) == 1 else leaf[alive], gmm)
    if family == "tied":
        family = "full"
        covariances = np.broadcast_to(covariances, (len(weights), *covariances.shape))
    shaped = covariances[:, None] if family == "spherical" else covariances
    try:
        parts = merge_cheapest(weights[alive], means[alive], shaped[alive], num_components)
    except np.linalg.LinAlgError as error:
        problem = "gmm has components so far apart, for their width,"
        raise ValueError(f"{problem} that a covariance of both is singular in floats") from error
    weights, means, covariances = parts
    if family == "spherical":
        covariances = covariances[:, 0]
    weights = weights / weights.sum()
    return GMM.from_moments(weights, means, covariances, family, dtype=gmm.loc.dtype)
