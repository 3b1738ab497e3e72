"""The public functions that JAX transforms, and pairs of mixtures to try them on."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxgmm
from support.mixtures import gmm, random_mixture, typed

RULE = jaxgmm.Sobol(256)
X = np.random.default_rng(0).normal(size=(7, 2))

# Each as a function of (key, p, q) with static facts bound.
FUNCTIONS = {
    "log_prob": lambda key, p, q: jaxgmm.log_prob(p, X.astype(p.loc.dtype)),
    "component_log_prob": lambda key, p, q: jaxgmm.component_log_prob(p, X.astype(p.loc.dtype)),
    "responsibilities": lambda key, p, q: jaxgmm.responsibilities(p, X.astype(p.loc.dtype)),
    "sample": lambda key, p, q: jaxgmm.sample(key, p, 64),
    "kl_divergence": lambda key, p, q: jaxgmm.kl_divergence(key, p, q, RULE),
    "js_divergence": lambda key, p, q: jaxgmm.js_divergence(key, p, q, RULE),
    "near kl": lambda key, p, q: jaxgmm.kl_divergence(key, p, q, RULE, midpoint=True),
    "near jeffreys": lambda key, p, q: jaxgmm.jeffreys_divergence(key, p, q, RULE, midpoint=True),
    "all_divergences": lambda key, p, q: jaxgmm.all_divergences(key, p, q, RULE),
    "jeffreys_divergence": lambda key, p, q: jaxgmm.jeffreys_divergence(key, p, q, RULE),
    "entropy": lambda key, p, q: jaxgmm.entropy(key, p, RULE),
    "cross_entropy": lambda key, p, q: jaxgmm.cross_entropy(key, p, q, RULE),
    "renyi_divergence": lambda key, p, q: jaxgmm.renyi_divergence(key, p, q, 0.7, RULE),
    "chi_squared_divergence": jax.jit(
        # From the midpoint it is finite.
        lambda key, p, q: jaxgmm.chi_squared_divergence(key, p, jaxgmm.mixture_of([p, q]), RULE)
    ),
    "hellinger_distance": lambda key, p, q: jaxgmm.hellinger_distance(key, p, q, RULE),
    "f_divergence": lambda key, p, q: jaxgmm.f_divergence(key, p, q, jnp.square, RULE),
    "component_information": lambda key, p, q: jaxgmm.component_information(key, p, RULE),
    "monte carlo": lambda key, p, q: jaxgmm.kl_divergence(key, p, q, jaxgmm.MonteCarlo(256)),
    "expectation": lambda key, p, q: jaxgmm.expectation(key, p, jaxgmm.log_density(q), RULE),
    "estimate": lambda key, p, q: jaxgmm.estimate(
        jaxgmm.kl_divergence, key, p, q, rule=RULE, num_replicates=4
    ),
    "elbo": lambda key, p, q: jaxgmm.elbo(key, p, jaxgmm.log_density(q), RULE, path_gradient=False),
    "importance_weights": lambda key, p, q: (
        # Pareto k is None under jit.
        jaxgmm.importance_weights(key, p, jaxgmm.log_density(q), 64)[:5]
    ),
    "gaussian_kl": lambda key, p, q: jaxgmm.gaussian_kl(p, q),
    "gaussian_wasserstein_squared": lambda key, p, q: jaxgmm.gaussian_wasserstein_squared(p, q),
    "mmd": lambda key, p, q: jaxgmm.mmd(p, q, 1.5),
    "kl_moment_matched": lambda key, p, q: jaxgmm.kl_moment_matched(p, q),
    "kl_bounds": lambda key, p, q: jaxgmm.kl_bounds(p, q),
    "mixture_of": lambda key, p, q: jaxgmm.mixture_of([p, q]),
    "condition": lambda key, p, q: jaxgmm.condition(p, (1,), [0.5]),
    "affine": lambda key, p, q: jaxgmm.affine(p, [[1.0, 2.0]], [3.0]),
    "convolve": lambda key, p, q: jaxgmm.convolve(p, q),
    "product": lambda key, p, q: jaxgmm.product(p, q),
    "mixture_covariance": lambda key, p, q: jaxgmm.mixture_covariance(p),
    "mixture_wasserstein": lambda key, p, q: jaxgmm.mixture_wasserstein(p, q),
    "quadratic_renyi_entropy": lambda key, p, q: jaxgmm.quadratic_renyi_entropy(p),
    "pairwise": lambda key, p, q: jaxgmm.pairwise(jaxgmm.kl_divergence, key, [p, q], rule=RULE),
}

OF_FUNCTIONS = ("expectation", "elbo", "importance_weights")  # a new function is a new program


def pair(covariance_type: str, seed: int, dtype=np.float64) -> tuple[jaxgmm.GMM, jaxgmm.GMM]:
    """A full mixture of three components, and one of two of that covariance type."""
    return gmm(random_mixture(seed, 3, 2), dtype), typed(
        seed + 50, 2, 2, covariance_type, 2.0, dtype
    )[1]
