"""Control variates and rotations, where they are worth their cost.

A control variate is a function of known mean that resembles the integrand. Their difference varies
less, and it alone is averaged over the points. Where components are well separated, log q is nearly
quadratic under each of them, and the control variate is a quadratic. A rotation turns the standard
normals towards the directions in which the integrand varies most.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.typing import DTypeLike

from jaxgmm._expectation.expectation import Points, integrate
from jaxgmm._mixture.density import component_log_densities
from jaxgmm._mixture.gmm import GMM, is_diagonal
from jaxgmm._mixture.sampling import pilot_nodes, placement
from jaxgmm._numerics.linalg import einsum, matmul, vdot
from jaxgmm._numerics.transforms import varying_with
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import MAX_DIMS_OF_WHOLE_NETS

MAX_PILOTS = 64
MAX_ROTATED = 16


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
    return Integrand(lambda x: (fn(x), jnp.zeros((0, x.shape[1]), x.dtype)), lambda means: means, 0)


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


def controlled_expectation(
    key: Array | None, gmm: GMM, integrand: Integrand, rule: Rule, mesh: Mesh | None
) -> Array:
    r"""The expectation of h, with a control variate s whose mean under each component is known.

    .. math:: E_p[h] = \sum_k \pi_k (E_k[h - s_k] + E_k[s_k])

    The standard normals are rotated towards the directions in which h - s varies most.
    """
    points, control = with_reduced_variance(key, gmm, integrand, rule)

    def residual(component: Array, x: Array) -> Array:
        return control.residual(component, *integrand.fn(x))

    return integrate(points, residual, mesh) + vdot(points.weights, control.means)


def with_reduced_variance(
    key: Array | None, gmm: GMM, integrand: Integrand, rule: Rule
) -> tuple[Points, ControlVariate]:
    """The points, rotated if that is worth it, and the control variate, 0 if it is not worth it."""
    points = Points.of(key, gmm, rule)
    zeros = jnp.zeros_like(points.weights)
    control = ControlVariate(jnp.zeros_like(zeros, shape=(len(zeros), 0)), zeros)
    if gmm.num_dims <= MAX_DIMS_OF_WHOLE_NETS or not rule.variance_reduction:
        return points, control  # In few dimensions a net alone suffices.
    if _control_is_worth_it(gmm, integrand.basis_size, points.num_points):
        control = fitted_control_variate(integrand, points.place, gmm.loc)
    num_pilots = min(MAX_PILOTS, points.num_points // (64 * gmm.num_components))
    if not _rotation_is_worth_it(gmm, rule, num_pilots):
        return points, control

    def residual_at(component: Array, nodes: Array) -> Array:
        return control.residual(component, *integrand.fn(points.place(component, nodes)))

    rotation = active_directions(residual_at, gmm, num_pilots)
    return dataclasses.replace(points, place=placement(gmm, rotation)), control


def _control_is_worth_it(gmm: GMM, basis_size: int, num_points: int) -> bool:
    """Whether the D + 1 simplex points for each component are few and take little memory."""
    num_simplex_points = (gmm.num_dims + 1) * gmm.num_components
    is_cheap = 6 * num_simplex_points <= num_points
    return is_cheap and 0 < num_simplex_points * basis_size <= 2**22


def _rotation_is_worth_it(gmm: GMM, rule: Rule, num_pilots: int) -> bool:
    """Whether the rule favours its first coordinates, placing costs D^2 anyway, and pilots do."""
    return rule.favours_first_coordinates and not is_diagonal(gmm) and num_pilots >= 16


def active_directions(fn: Callable[[Array, Array], Array], gmm: GMM, num_pilots: int) -> Array:
    r"""Orthogonal U (K, D, D), whose first columns span the active subspace of each component.

    The active subspace is spanned by the leading eigenvectors of :math:`E[\nabla h \nabla h^T]`,
    where ``fn`` is the integrand h (m,) of components (1,) and their standard normals (1, D, m).

    References:
      Constantine, Dow and Wang, Active subspace methods, SIAM J. Sci. Comput. 36 (2014), eq. 2.2.
    """
    # As U does not depend on the sampled points, U eps is standard normal, too. A rough U, from a
    # few pilot points that are the same at every call, costs accuracy but causes no bias.
    nodes = pilot_nodes(gmm, num_pilots)

    def outer_product(component: Array) -> Array:
        def total(nodes: Array) -> Array:
            return fn(component[None], nodes[None]).sum()

        # In `jax.shard_map`, the derivative in nodes that devices share would sum over the devices.
        gradient = jax.grad(total)(varying_with(total(nodes), nodes))
        return matmul(gradient, gradient.T)

    outer_products = jax.lax.map(outer_product, jnp.arange(gmm.num_components))
    return jax.lax.stop_gradient(pivoted_reflections(outer_products))


def pivoted_reflections(matrices: Array) -> Array:
    """The orthogonal factors of matrices (K, D, D), by QR with pivoting, and without LAPACK.

    Each Householder reflection takes the longest column of the residual. The first columns of the
    factor thus nearly span the leading eigenvectors of a positive semidefinite matrix.
    """
    num_dims = matrices.shape[-1]
    index = np.arange(num_dims)

    def reflect(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        residual, orthogonal = carry
        below = jnp.where((index >= i)[None, :, None], residual, jnp.zeros_like(residual))
        longest = jnp.square(below).sum(1).argmax(1)
        column = jnp.take_along_axis(below, longest[:, None, None], 2)
        at_pivot = jax.lax.dynamic_slice_in_dim(column, i, 1, 1)
        length = jnp.sqrt(jnp.square(column).sum(1, keepdims=True))
        # The sign of the pivot makes the normal of the mirror a sum that does not cancel.
        signed = jnp.where(at_pivot < 0, -length, length)
        normal = column + jnp.where((index == i)[None, :, None], signed, jnp.zeros_like(signed))
        squared = jnp.square(normal).sum(1, keepdims=True)
        unit = normal * jax.lax.rsqrt(jnp.where(squared > 0, squared, jnp.ones_like(squared)))
        projection = matmul(unit.swapaxes(1, 2), residual)
        rotated = matmul(orthogonal, unit)
        return residual - 2 * unit * projection, orthogonal - 2 * rotated * unit.swapaxes(1, 2)

    # Squares of entries of any magnitude stay in range after the division by the largest entry.
    scale = jnp.abs(matrices).max((1, 2), keepdims=True)
    matrices = matrices / jnp.where(scale > 0, scale, jnp.ones_like(scale))
    identity = jnp.broadcast_to(jnp.eye(num_dims, dtype=matrices.dtype), matrices.shape)
    identity = varying_with(matrices, identity)
    return jax.lax.fori_loop(0, min(num_dims - 1, MAX_ROTATED), reflect, (matrices, identity))[1]
