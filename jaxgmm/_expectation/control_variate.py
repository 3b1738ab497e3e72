"""Control variates for log-densities.

A control variate is a function of known mean that resembles the integrand. Their difference varies
less, and it alone is averaged over the points. Where components are well separated, log q is nearly
quadratic under each of them, and the control variate is a quadratic.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.gmm import GMM
from jaxgmm._numerics.linalg import einsum


@dataclasses.dataclass(frozen=True)
class Integrand:
    """A function of points, and a basis of J quadratics that may approximate it."""

    fn: Callable[[Array], tuple[Array, Array]]  # points (D, n) -> values (n,), basis (J, n)
    coefficients: Callable[[Array], Array]  # means (K, J) of the basis -> coefficients (K, J)
    basis_size: int

    def __sub__(self, other: "Integrand") -> "Integrand":
        def difference(x: Array) -> tuple[Array, Array]:
            value, basis = self.fn(x)
            other_value, other_basis = other.fn(x)
            return value - other_value, jnp.concatenate([basis, other_basis])

        def coefficients(means: Array) -> Array:
            of_self = self.coefficients(means[:, : self.basis_size])
            of_other = other.coefficients(means[:, self.basis_size :])
            return jnp.concatenate([of_self, -of_other], axis=1)

        return Integrand(difference, coefficients, self.basis_size + other.basis_size)


def without_control(fn: Callable[[Array], Array]) -> Integrand:
    """A function of points (D, n) with an empty basis."""

    def values_and_basis(x: Array) -> tuple[Array, Array]:
        return fn(x), jnp.zeros((0, x.shape[1]), x.dtype)

    def coefficients(means: Array) -> Array:
        return means

    return Integrand(values_and_basis, coefficients, 0)


def log_density_with_control(q: GMM) -> Integrand:
    r"""The log-density of q, with its variational approximation under each sampled component p_k.

    .. math:: \log q(x) \approx \sum_j \phi_{kj} \log q_j(x),
              \quad \phi_{kj} \propto \omega_j \exp(-KL(p_k \| q_j))

    References:
      Hershey and Olsen, Approximating the Kullback Leibler divergence, ICASSP (2007), eq. 18.
    """
    log_components = component_log_densities(q)
    log_weights = q.log_weights

    def log_density_and_components(x: Array) -> tuple[Array, Array]:
        components = log_components(x)
        # The log-density of a collapsed component may be -inf, and 0 times -inf is NaN.
        basis = jnp.maximum(components, -1e30)
        return jax.nn.logsumexp(log_weights[:, None] + components, axis=0), basis

    def phi(means: Array) -> Array:
        # KL(p_k || q_j) is the mean of log p_k, which does not depend on j, less that of log q_j.
        return jax.nn.softmax(log_weights[None] + means, axis=1)

    return Integrand(log_density_and_components, phi, q.num_components)


@dataclasses.dataclass(frozen=True)
class ControlVariate:
    """A quadratic under each component."""

    coefficients: Array  # (K, J), in the basis of an integrand; 0 where the quadratic fits badly
    means: Array  # (K,), the exact mean of each quadratic under its component

    def residual(self, component: Array, values: Array, basis: Array) -> Array:
        """The values (s b,) less the quadratics of components (s,), from the basis (J, s b)."""
        if self.coefficients.shape[1] == 0:
            return values
        by_component = basis.reshape(basis.shape[0], len(component), -1)
        return values - einsum("sj,jsb->sb", self.coefficients[component], by_component).ravel()


def no_control_variate(weights: Array) -> ControlVariate:
    """The control variate 0 for the components of a mixture with weights (K,)."""
    return ControlVariate(jnp.zeros_like(weights, shape=(len(weights), 0)), jnp.zeros_like(weights))


def fitted_control_variate(
    integrand: Integrand, place: Callable[[Array, Array], Array], loc: Array
) -> ControlVariate:
    """The control variate from the points of a simplex about each component.

    The mean of a quadratic over these points is exact. A quadratic is kept only if it explains more
    than 90 % of the variance there, as others gain nothing with quasi-Monte Carlo points. As the
    points of the integral play no part, the control variate causes no bias.
    """
    num_components, num_dims = loc.shape
    simplex_points = simplex(num_dims, loc.dtype)

    @jax.checkpoint
    def at_simplex_points(component: Array) -> tuple[Array, Array]:
        return integrand.fn(place(component[None], simplex_points[None]))

    values, basis = jax.lax.map(at_simplex_points, jnp.arange(num_components))
    means = basis.mean(2)
    coefficients = jax.lax.stop_gradient(integrand.coefficients(means))
    residual = values - einsum("kj,kjm->km", coefficients, basis)
    trusted = jax.lax.stop_gradient(residual.var(1) < 0.1 * values.var(1))
    coefficients = jnp.where(trusted[:, None], coefficients, jnp.zeros_like(coefficients))
    return ControlVariate(coefficients, (coefficients * means).sum(1))


def simplex(num_dims: int, dtype: DTypeLike) -> Array:
    """The vertices (D, D + 1) of a regular simplex of mean 0 and covariance I.

    The mean of a polynomial of degree 2 over the vertices is its mean under N(0, I).

    References:
      Julier, The spherical simplex unscented transformation, ACC (2003), less the central point.
    """
    row = np.arange(1, num_dims + 1)[:, None]
    vertex = jnp.arange(num_dims + 1)[None]
    base = jnp.asarray(np.sqrt((num_dims + 1) / (row * (row + 1))), dtype)
    apex = jnp.asarray(row, dtype) * base
    # Row i holds base in its first i columns, -i base in the next, and 0 in the others.
    return jnp.where(vertex < row, base, jnp.where(vertex == row, -apex, jnp.zeros_like(apex)))
