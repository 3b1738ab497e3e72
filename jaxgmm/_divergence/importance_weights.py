"""Importance weights of the points of a mixture for an unnormalised log-density."""

import functools
import importlib
import math
import warnings
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxgmm._divergence.elbo import of_points
from jaxgmm._expectation.expectation import FunctionOfPoints
from jaxgmm._mixture.density import log_prob
from jaxgmm._mixture.sampling import sample
from jaxgmm._mixture.validation import Mixture
from jaxgmm._numerics.transforms import exportable
from jaxgmm._validation.arguments import RequiredKey
from jaxgmm._validation.checks import checked_int
from jaxgmm._validation.validated_jit import Check, validated

NumSamples = Annotated[int, Check(functools.partial(checked_int, at_least=2), static=True)]


@exportable
class ImportanceWeights(NamedTuple):
    """Weighted points of a target, its evidence, and whether to trust them, as ``print`` says.

    Attributes:
      points: (n, D), drawn from the mixture.
      log_weights: (n,), the logarithms of weights of sum 1.
      log_evidence, standard_error: log Z in nats, and its standard error.
      effective_sample_size: the number of points of equal weight that are worth as much.
      pareto_k: the shape of the tail of the weights. From 0.7 on the error may be far too small,
        and a wider q is better, such as `mixture_of` q and a broad one. It is None without
        arviz-stats, under `jax.jit`, and for fewer than 25 points.
    """

    points: Array
    log_weights: Array
    log_evidence: Array
    standard_error: Array
    effective_sample_size: Array
    pareto_k: float | None

    def __str__(self) -> str:
        if np.ndim(self.log_evidence):
            return repr(self)
        text = f"log-evidence {self.log_evidence:.5g} +- {self.standard_error:.2g}"
        text += f", {self.effective_sample_size:.0f} effective points of {len(self.log_weights)}"
        if self.pareto_k is None:
            doubt = "so the error may be far too small: pip install 'jaxgmm[psis]' tells"
            return f"{text}, Pareto k unknown, {doubt}"
        doubt = "" if self.pareto_k < 0.7 else ": do not trust it"
        return f"{text}, Pareto k {self.pareto_k:.2f}{doubt}"


@validated()
def importance_weights(
    key: RequiredKey, q: Mixture, target: FunctionOfPoints[Array], num_samples: NumSamples
) -> ImportanceWeights:
    r"""Weights that make independent points of a mixture points of a target, and its evidence Z.

    .. math:: w_i \propto \frac{f(x_i)}{q(x_i)}, \quad x_i \sim q,
              \quad Z = \int f \approx \frac1n \sum_i \frac{f(x_i)}{q(x_i)}

    Weighted means over the points correct a fit of q by `elbo`, unless q lacks a tail of f, which
    Pareto k shows, or a mode, which nothing shows.

    Args:
      key: a random key.
      q: the mixture that is drawn from. It should be wider than f.
      target: log f, a function from points (n, D) to (n,), as in `elbo`. f need not be normalised.
      num_samples: n, at least 2.

    Returns:
      `ImportanceWeights`. Pareto k needs arviz-stats: ``pip install 'jaxgmm[psis]'``.

    Raises:
      TypeError: an argument has the wrong type, or target does not map (n, D) to (n,).
      ValueError: a parameter of q is not finite, key is None, or num_samples is below 2.
      FloatingPointError: log f is NaN or inf at a point, or -inf at all of them.

    Example:
      >>> import jaxgmm
      >>> q = jaxgmm.GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [2.0, 2.0], "spherical")
      >>> def log_f(x): return -0.5 * x[:, 0] ** 2
      >>> weights = importance_weights(jax.random.key(0), q, log_f, 10_000)
      >>> print(f"{weights.log_evidence:.1f}")  # log sqrt(2 pi)
      0.9

    References:
      Vehtari et al., Pareto smoothed importance sampling, JMLR 25 (2024), for Pareto k.
      Yao et al., Yes, but did it work? Evaluating variational inference, ICML (2018).
    """
    points = sample(key, q, num_samples)
    log_ratios = of_points(target)(points) - log_prob(q, points)
    log_sum = jax.nn.logsumexp(log_ratios)
    log_evidence = log_sum - math.log(num_samples)
    if not isinstance(log_evidence, Tracer) and not np.isfinite(log_evidence):
        raise FloatingPointError(f"the log-evidence is {log_evidence}: check target at points of q")
    # The relative error of the mean weight is the error of its logarithm.
    error = jnp.std(jnp.exp(log_ratios - log_evidence), ddof=1) / math.sqrt(num_samples)
    size = jnp.exp(-jax.nn.logsumexp(2 * (log_ratios - log_sum)))
    k = _pareto_k(log_ratios)
    return ImportanceWeights(points, log_ratios - log_sum, log_evidence, error, size, k)


def _pareto_k(log_ratios: Array) -> float | None:
    """The shape of a Pareto distribution with the tail of the weights; -inf without a tail."""
    if isinstance(log_ratios, Tracer) or len(log_ratios) < 25:  # a fit needs five in the tail
        return None
    try:
        psis = importlib.import_module("arviz_stats.base").array_stats
    except ImportError:
        return None
    logs = np.asarray(log_ratios, np.float64)
    if logs.max() - logs.min() < 0.01:
        return -math.inf
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        return float(psis.psislw(-logs)[1])  # it takes the log-likelihoods left out
