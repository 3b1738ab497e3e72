"""Expectations with a control variate and a rotation, where these are worth their cost."""

import dataclasses

from jax import Array
from jax.sharding import Mesh

from jaxgmm._expectation.active_subspace import active_directions
from jaxgmm._expectation.control_variate import (
    ControlVariate,
    Integrand,
    fitted_control_variate,
    no_control_variate,
)
from jaxgmm._expectation.expectation import Points, integrate
from jaxgmm._mixture.gmm import GMM, is_diagonal
from jaxgmm._mixture.placement import placement
from jaxgmm._numerics.linalg import vdot
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import MAX_DIMS_OF_WHOLE_NETS

MAX_PILOTS = 64


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
    control = no_control_variate(points.weights)
    if _control_is_worth_it(gmm, rule, integrand.basis_size, points.num_points):
        control = fitted_control_variate(integrand, points.place, gmm.loc)
    num_pilots = min(MAX_PILOTS, points.num_points // (64 * gmm.num_components))
    if not _rotation_is_worth_it(gmm, rule, num_pilots):
        return points, control

    def residual_at(component: Array, nodes: Array) -> Array:
        return control.residual(component, *integrand.fn(points.place(component, nodes)))

    rotation = active_directions(residual_at, gmm, num_pilots)
    return dataclasses.replace(points, place=placement(gmm, rotation)), control


def _control_is_worth_it(gmm: GMM, rule: Rule, basis_size: int, num_points: int) -> bool:
    """Whether the D + 1 simplex points for each component are few and take little memory."""
    num_simplex_points = (gmm.num_dims + 1) * gmm.num_components
    is_cheap = 6 * num_simplex_points <= num_points
    return _may_reduce(gmm, rule) and is_cheap and 0 < num_simplex_points * basis_size <= 2**22


def _rotation_is_worth_it(gmm: GMM, rule: Rule, num_pilots: int) -> bool:
    """Whether the rule favours its first coordinates, placing costs D^2 anyway, and pilots do."""
    is_dense = not is_diagonal(gmm)
    favours_first = rule.favours_first_coordinates
    return _may_reduce(gmm, rule) and favours_first and is_dense and num_pilots >= 16


def _may_reduce(gmm: GMM, rule: Rule) -> bool:
    """Whether the rule allows it, and there are too many dimensions for a net alone."""
    return gmm.num_dims > MAX_DIMS_OF_WHOLE_NETS and rule.variance_reduction
