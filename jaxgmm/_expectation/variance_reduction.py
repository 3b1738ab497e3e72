"""When a control variate and a rotation are worth their cost, and the expectation that uses them."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._expectation.active_subspace import active_directions
from jaxgmm._expectation.batched_sum import sum_over_batches
from jaxgmm._expectation.control_variate import Integrand, fitted_control_variate
from jaxgmm._expectation.expectation import weighted_sum
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.placement import batch_length, placement
from jaxgmm._numerics.linalg import HIGHEST
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import MAX_DIMS_OF_WHOLE_NETS, Sobol

MAX_PILOTS = 64


def controlled_expectation(key: Array | None, gmm: GMM, integrand: Integrand, rule: Rule, mesh: Mesh | None) -> Array:
    r"""The expectation of h, less a surrogate s of known mean: :math:`\sum_k \pi_k (E_k[h - s_k] + E_k[s_k])`.

    The normals are turned towards where h - s moves most.
    """
    weights, place = gmm.weights, placement(gmm)
    num_batches, batch = rule.batches(key, jax.lax.stop_gradient(weights), gmm.num_dims, batch_length(gmm))
    num_points = num_batches * math.prod(jax.eval_shape(batch, jnp.uint32(0)).node_weights.shape)
    rest, means = integrand.values, jnp.zeros_like(weights)
    if _control_is_worth_it(gmm, rule, integrand.num_features, num_points):
        control = fitted_control_variate(integrand, place, gmm.loc)
        rest, means = control.rest_of(integrand), control.means
    num_pilots = min(MAX_PILOTS, num_points // (64 * gmm.num_components))
    if _rotation_is_worth_it(gmm, rule, num_pilots):
        place = placement(gmm, active_directions(lambda c, nodes: rest(c, place(c, nodes)), gmm, num_pilots))

    def contribution(index: Array) -> Array:
        component, nodes, node_weights = batch(index)
        point_weights = (weights[component][:, None] * node_weights).ravel()
        return weighted_sum(point_weights, rest(component, place(component, nodes)))

    return sum_over_batches(num_batches, contribution, mesh) + jnp.vdot(weights, means, precision=HIGHEST)


def _control_is_worth_it(gmm: GMM, rule: Rule, num_features: int, num_points: int) -> bool:
    """Not where its D + 1 points for each component are many or take much memory."""
    num_corners = (gmm.num_dims + 1) * gmm.num_components
    return _may_reduce(gmm, rule) and 6 * num_corners <= num_points and 0 < num_corners * num_features <= 2**22


def _rotation_is_worth_it(gmm: GMM, rule: Rule, num_pilots: int) -> bool:
    """Only for points whose first coordinates are the best; not where D^2 is too much, and not from too few pilots."""
    return _may_reduce(gmm, rule) and isinstance(rule, Sobol) and gmm.off_diag is not None and num_pilots >= 16


def _may_reduce(gmm: GMM, rule: Rule) -> bool:
    """Not in few dimensions, where nets do without."""
    return gmm.num_dims > MAX_DIMS_OF_WHOLE_NETS and getattr(rule, "variance_reduction", True)
