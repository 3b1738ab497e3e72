"""Points of a mixture, differentiable in every parameter by implicit reparameterisation."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.combine import in_units, translate, units_of
from jaxgmm._mixture.gmm import GMM, centre_of, is_diagonal, scale_of
from jaxgmm._mixture.validation import Mixture
from jaxgmm._numerics.transforms import take, varying_with
from jaxgmm._validation.arguments import PositiveInt, RequiredKey
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit()
def sample(key: RequiredKey, gmm: Mixture, num_samples: PositiveInt) -> Array:
    r"""Independent points of a mixture, differentiable in every parameter, weights included.

    A component is drawn by the weights, then :math:`x = \mu_k + L_k \epsilon`. The derivative of
    these two steps does not see the weights. An implicit reparameterisation does. As the parameters
    :math:`\phi` change, it moves each point so that the distribution function of each coordinate,
    given the earlier ones, keeps its value.

    .. math:: T_i(x; \phi) = \sum_k r_k(x_{<i}) \Phi(z_{ki}), \quad
              r_k(x_{<i}) \propto \pi_k \prod_{j<i} N(z_{kj}) / L_{kjj}, \quad
              z_k = L_k^{-1} (x - \mu_k)

    .. math:: \frac{dx}{d\phi} = -\left(\frac{dT}{dx}\right)^{-1} \frac{dT}{d\phi}

    The gradient of a mean over the points is an unbiased estimate of that of the expectation.
    Second derivatives are unbiased too, but higher ones are wrong. The gradient in the weights has
    a large variance where few points lie between distant components, since these points move far.

    `expectation` has less variance, because it sums over the components, and its gradient is faster
    in many dimensions. This function is for programs that need single points of equal weight, such
    as the input of a simulator or a loss over pairs of points.

    Args:
      key: a random key.
      gmm: the mixture.
      num_samples: the number of points, a static integer of at least 1.

    Returns:
      The points (num_samples, D), in no particular order, in the dtype of gmm.

    Raises:
      TypeError: an argument has the wrong type.
      ValueError: gmm is not finite, key is None, or num_samples is not positive.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
      >>> sample(jax.random.key(0), p, 1000).shape
      (1000, 1)
      >>> gradient = jax.grad(lambda p: sample(jax.random.key(0), p, 100_000).mean())(p)
      >>> print(gradient.logits.round(1))  # of pi_1 - pi_0
      [-0.5  0.5]

    References:
      Figurnov, Mohamed and Mnih, Implicit reparameterization gradients, NeurIPS (2018).
      Graves, Stochastic backpropagation through mixture density distributions (2016).
    """
    num_batches = math.ceil(num_samples / batch_length(gmm))
    size = math.ceil(num_samples / num_batches)
    drawn = jax.lax.map(lambda key: _drawn(key, gmm, size), jax.random.split(key, num_batches))
    return _points(*drawn, gmm).reshape(-1, gmm.num_dims)[:num_samples]


def _drawn(key: Array, gmm: GMM, n: int) -> tuple[Array, Array]:
    """The components (n,) of points, and their standard normals (n, D)."""
    component_key, normal_key = jax.random.split(key)
    component = jax.random.categorical(component_key, jax.lax.stop_gradient(gmm.logits), shape=(n,))
    return component, jax.random.normal(normal_key, (n, gmm.num_dims), gmm.loc.dtype)


@jax.custom_jvp
def _points(component: Array, eps: Array, gmm: GMM) -> Array:
    """The points in batches (m, n, D), with the derivative of an implicit reparameterisation."""
    place = placement(gmm)
    return jax.lax.map(lambda drawn: place(drawn[0], drawn[1][:, :, None]).T, (component, eps))


@_points.defjvp
def _points_jvp(primals: tuple[Array, Array, GMM], tangents: Any) -> tuple[Array, Array]:
    component, eps, gmm = primals

    def in_batches(gmm: GMM) -> Array:
        # A batch is computed again for the gradient, so that the memory does not grow with m.
        batch = jax.checkpoint(lambda drawn: _reparameterised(drawn[0], drawn[1], gmm))
        return jax.lax.map(batch, (component, eps))

    return jax.jvp(in_batches, (gmm,), (tangents[2],))


def _reparameterised(component: Array, eps: Array, gmm: GMM) -> Array:
    """Points (n, D) as functions of the mixture, coordinate by coordinate, given those before."""
    centre, units = centre_of(gmm), units_of(gmm)
    gmm = in_units(translate(gmm, -centre), units)
    log_scale = scale_of(gmm).log_sigma
    log_weights = jnp.broadcast_to(gmm.log_weights[:, None], (gmm.num_components, len(component)))
    # A column of L is added to the means once its coordinate is known. No (n, D, D) is then stored.
    columns = None if is_diagonal(gmm) else scale_of(gmm).factors().transpose(2, 0, 1)
    zeros = jnp.zeros((*gmm.loc.shape, len(component)), gmm.loc.dtype)
    shift = None if columns is None else varying_with((gmm, eps), zeros)

    def coordinate(state: Any, inputs: tuple[Any, ...]) -> tuple[Any, Array]:
        (log_weights, shift), (index, eps, loc, log_scale, column) = state, inputs
        loc = jnp.broadcast_to(loc[:, None], log_weights.shape)
        if shift is not None:
            loc = loc + jax.lax.dynamic_index_in_dim(shift, index, 1, keepdims=False)
        # The origin is the mean of the component drawn. The sum of a large mean and a small offset
        # would have lost the digits of eps.
        origin = jax.lax.stop_gradient(jnp.take_along_axis(loc, component[None], 0))
        offset = jax.lax.stop_gradient(jnp.exp(log_scale))[component] * eps
        offset = _reparameterised_on_the_line(offset, log_weights, loc - origin, log_scale)
        z = (offset[None] - (loc - origin)) * jnp.exp(-log_scale)[:, None]
        if shift is not None:
            shift = shift + column[:, :, None] * z[:, None]
        return (log_weights - 0.5 * jnp.square(z) - log_scale[:, None], shift), origin[0] + offset

    inputs = (jnp.arange(gmm.num_dims), eps.T, gmm.loc.T, log_scale.T, columns)
    points = jax.lax.scan(coordinate, (log_weights, shift), inputs)[1].T
    return units[None] * points + centre[None]


def _reparameterised_on_the_line(
    x: Array, log_weights: Array, loc: Array, log_scale: Array
) -> Array:
    """Points x (n,), each of a mixture on the line: log_weights and loc (K, n), log_scale (K,).

    This is Chebyshev's step from x to the root of T - u, where u is the value of T at x. Its length
    is 0, and its first and second derivatives are those of the root. A custom derivative that calls
    itself would be right in every order, but JAX drops it from a loop that is differentiated twice,
    first in reverse.
    """
    inverse_scale = jnp.exp(-log_scale)[:, None]
    z = (x[None] - loc) * inverse_scale
    log_weights = jax.nn.log_softmax(log_weights, axis=0)
    log_constant = log_scale[:, None] + 0.5 * math.log(2 * math.pi)
    log_joint = log_weights - 0.5 * jnp.square(z) - log_constant
    log_density = jax.nn.logsumexp(log_joint, axis=0)
    posterior = jnp.exp(log_joint - log_density[None])
    slope = -(posterior * z * inverse_scale).sum(0)  # This is the derivative of log_density in x.
    # The lighter of the two tails is used, as digits of the heavier one cancel.
    weights = jnp.exp(log_weights)
    below = jax.lax.stop_gradient((weights * _normal_cdf(z)).sum(0))
    side = jnp.where(below < 0.5, jnp.ones_like(x), -jnp.ones_like(x))
    tail = side * (weights * _normal_cdf(side[None] * z)).sum(0)
    step = (tail - jax.lax.stop_gradient(tail)) * jnp.exp(-log_density)
    return x - step - 0.5 * slope * jnp.square(step)


def _normal_cdf(z: Array) -> Array:
    return 0.5 * jax.lax.erfc(-math.sqrt(0.5) * z)


def placement(gmm: GMM, rotation: Array | None = None) -> Callable[[Array, Array], Array]:
    """Components (s,) and standard normals (s, D, b) -> mu_k + L_k U_k eps, (D, s b)."""
    scaled = scale_of(gmm).apply(rotation)

    def place(component: Array, nodes: Array) -> Array:
        x = take(gmm.loc, component)[:, :, None] + scaled(component, nodes)
        return x.transpose(1, 0, 2).reshape(gmm.num_dims, -1)

    return place


def pilot_nodes(gmm: GMM, num_pilots: int) -> Array:
    """Standard normal points (D, n) in the dtype of a mixture, the same at every call."""
    nodes = np.random.default_rng(0).normal(size=(gmm.num_dims, num_pilots))
    return jnp.asarray(nodes, gmm.loc.dtype)


def batch_length(gmm: GMM) -> int:
    """The size of a batch of points whose whitened points, for all components, stay in cache."""
    # For diagonal factors, XLA fuses most of the whitened points away.
    stored_for_a_point = math.prod(gmm.loc.shape) / (4 if is_diagonal(gmm) else 1)
    return int(min(2048, max(256, 2**20 / stored_for_a_point)))
