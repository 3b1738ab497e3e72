"""Control variates for log-densities: quadratics whose mean is known exactly."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.gmm import GMM
from jaxgmm._numerics.linalg import HIGHEST


@dataclasses.dataclass(frozen=True)
class Integrand:
    """A function of points, and quadratic features of which a linear combination may resemble it.

    Attributes:
      fn: points (n, D) -> values (n,) and features (J, n), each a polynomial of degree 2.
      coefficients: the means (K, J) of the features under each component that is sampled -> the combination (K, J).
      num_features: J.
    """

    fn: Callable[[Array], tuple[Array, Array]]
    coefficients: Callable[[Array], Array]
    num_features: int

    def values(self, component: Array, x: Array) -> Array:
        """The function itself at points (n, D) of whatever components."""
        return self.fn(x)[0]

    def __sub__(self, other: "Integrand") -> "Integrand":
        def difference(x: Array) -> tuple[Array, Array]:
            (value, features), (other_value, other_features) = self.fn(x), other.fn(x)
            return value - other_value, jnp.concatenate([features, other_features])

        def coefficients(means: Array) -> Array:
            mine, others = means[:, : self.num_features], means[:, self.num_features :]
            return jnp.concatenate([self.coefficients(mine), -other.coefficients(others)], axis=1)

        return Integrand(difference, coefficients, self.num_features + other.num_features)


def without_control(fn: Callable[[Array], Array]) -> Integrand:
    """A function without features that resemble it."""
    return Integrand(lambda x: (fn(x), jnp.zeros((0, len(x)), x.dtype)), lambda means: means, 0)


def log_density_with_control(q: GMM) -> Integrand:
    r"""The log-density of q, with its variational surrogate under each component p_k of any mixture.

    .. math:: \log q(x) \approx \sum_j \phi_{kj} \log q_j(x), \quad \phi_{kj} \propto \omega_j \exp(-KL(p_k \| q_j))

    References:
      Hershey and Olsen, Approximating the Kullback Leibler divergence between Gaussian mixture models, ICASSP (2007), eq. 18.
    """
    log_components, log_weights = component_log_densities(q), jax.nn.log_softmax(q.logits)

    def log_density_and_components(x: Array) -> tuple[Array, Array]:
        components = log_components(x.T)
        return jax.nn.logsumexp(log_weights[:, None] + components, axis=0), components

    def phi(means: Array) -> Array:  # KL(p_k || q_j) is the entropy of p_k, which does not depend on j, less the mean of log q_j
        return jax.nn.softmax(log_weights[None] + means, axis=1)

    return Integrand(log_density_and_components, phi, q.num_components)


@dataclasses.dataclass(frozen=True)
class ControlVariate:
    """The surrogate under each component: its coefficients (K, J), 0 where it is not to be trusted, and its exact mean (K,)."""

    coefficients: Array
    means: Array

    def at(self, component: Array, features: Array) -> Array:
        """The surrogate (s b,) at points of these components (s,), from their features (J, s b)."""
        by_component = features.reshape(features.shape[0], len(component), -1)
        return jnp.einsum("sj,jsb->sb", self.coefficients[component], by_component, precision=HIGHEST).ravel()

    def rest_of(self, integrand: Integrand) -> Callable[[Array, Array], Array]:
        """What is left of the integrand at points (s b, D) of components (s,)."""

        def rest(component: Array, x: Array) -> Array:
            values, features = integrand.fn(x)
            return values - self.at(component, features)

        return rest


def fitted_control_variate(integrand: Integrand, place: Callable[[Array, Array], Array], loc: Array) -> ControlVariate:
    """The control from the corners of a simplex about each component, which give the exact mean of a quadratic.

    They also tell whether the surrogate explains nearly all of the variance; what explains less is worth nothing on top of
    quasi-Monte Carlo points. All of it is independent of the points that are averaged, so nothing is biased.
    """
    num_components, num_dims = loc.shape
    corners = simplex(num_dims, loc.dtype)

    @jax.checkpoint
    def at_corners(component: Array) -> tuple[Array, Array]:
        return integrand.fn(place(component[None], corners[None]))

    values, features = jax.lax.map(at_corners, jnp.arange(num_components))
    means = features.mean(2)
    coefficients = jax.lax.stop_gradient(integrand.coefficients(means))
    rest = values - jnp.einsum("kj,kjm->km", coefficients, features, precision=HIGHEST)
    trusted = jax.lax.stop_gradient(rest.var(1) < 0.1 * values.var(1))
    coefficients = jnp.where(trusted[:, None], coefficients, jnp.zeros_like(coefficients))
    return ControlVariate(coefficients, (coefficients * means).sum(1))


def simplex(num_dims: int, dtype: DTypeLike) -> Array:
    """The corners (D, D + 1) of a regular simplex of mean 0 and covariance I, so that their means are exact to degree 2.

    References:
      Julier, The spherical simplex unscented transformation, ACC (2003), here without a point at the centre.
    """
    row, corner = np.arange(1, num_dims + 1)[:, None], jnp.arange(num_dims + 1)[None]
    base = jnp.asarray(np.sqrt((num_dims + 1) / (row * (row + 1))), dtype)
    apex = jnp.asarray(row, dtype) * base
    return jnp.where(corner < row, base, jnp.where(corner == row, -apex, jnp.zeros_like(apex)))
