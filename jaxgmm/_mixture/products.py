"""Sums of independent points of two mixtures, and products of two densities."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.components import component_overlaps
from jaxgmm._mixture.gmm import GMM, by_structure, scale_of
from jaxgmm._mixture.scale import Leaves
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import inv_tril, matmul, pack_tril, tril_of
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space)
def convolve(p: Mixture, q: Mixture) -> GMM:
    r"""The mixture of x + y for independent x of p and y of q.

    .. math:: (p * q)(z) = \sum_{kj} \pi_k \omega_j N(z; \mu_k + \mu_j, \Sigma_k + \Sigma_j)

    If q is one Gaussian with mean 0, the result is p smoothed by q.

    Args:
      p, q: mixtures in one space.

    Returns:
      The mixture of K_p K_q components, the index of q running fastest, in the less restricted of
      the two covariance types.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter of p or q is not finite, or they differ in dimension.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [5.0]], [1.0, 2.0], "spherical")
      >>> noise = GMM.from_moments([1.0], [[0.0]], [0.25], "spherical")
      >>> print(convolve(p, noise).covariances[:, 0])
      [1.25 2.25]
    """
    loc = (p.loc[:, None] + q.loc[None]).reshape(-1, p.num_dims)
    return GMM(_log_weights_of_pairs(p, q).ravel(), loc, *leaves_of_sums(p, q))


@validated_jit(one_space)
def product(p: Mixture, q: Mixture) -> tuple[GMM, Array]:
    r"""The normalised product of two densities, and the logarithm of its normaliser.

    .. math:: \frac{p(x) q(x)}{Z}, \quad Z = \int p q

    A product of components is Gaussian, with :math:`C = (\Sigma_k^{-1} + \Sigma_j^{-1})^{-1}`:

    .. math:: p_k q_j = N(\mu_k; \mu_j, \Sigma_k + \Sigma_j)
              N\left(x; C (\Sigma_k^{-1} \mu_k + \Sigma_j^{-1} \mu_j), C\right)

    Args:
      p, q: mixtures in one space.

    Returns:
      The mixture, with components as in `convolve`, and the scalar log Z, which does not underflow.

    Raises:
      TypeError, ValueError: as in `convolve`.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> both, log_normaliser = product(p, q)
      >>> print(both.means, both.covariances, f"{log_normaliser:.4f}")
      [[1.]] [[0.5]] -2.2655

    References:
      Bromiley, Products and convolutions of Gaussian probability density functions (2003).
    """
    weighted = (_log_weights_of_pairs(p, q) + component_overlaps(p, q)[1]).ravel()
    log_normaliser = jax.nn.logsumexp(weighted)
    loc, leaves = _products(p, q)
    return GMM(weighted - log_normaliser, loc, *leaves), log_normaliser


def _diagonal_products(p: GMM, q: GMM) -> tuple[Array, Leaves]:
    a, b = _paired(p, q, p.log_diag, q.log_diag)
    start, end = _paired(p, q, p.loc, q.loc)
    loc = start + jax.nn.sigmoid(2 * (a - b)) * (end - start)
    return loc, (-0.5 * jnp.logaddexp(-2 * a, -2 * b), None)


def _triangular_products(p: GMM, q: GMM) -> tuple[Array, Leaves]:
    a, b = _paired(p, q, inv_tril(scale_of(p).rows()), inv_tril(scale_of(q).rows()))
    start, end = _paired(p, q, p.loc, q.loc)
    # [A^T B^T] is a root of the precision. With the coordinates reversed, the inverse of its
    # triangle is L^T, reversed as well.
    lower = tril_of(jnp.concatenate([a.mT, b.mT], axis=2)[:, ::-1])[1].mT[:, ::-1, ::-1]
    step = (end - start)[:, :, None]
    for factor in (b, b.mT, lower.mT, lower):  # C B^T B (mu_j - mu_k), as vectors all the way
        step = matmul(factor, step)
    return start + step[:, :, 0], pack_tril(lower)


def _diagonal_sums(p: GMM, q: GMM) -> Leaves:
    a, b = _paired(p, q, p.log_diag, q.log_diag)
    return 0.5 * jnp.logaddexp(2 * a, 2 * b), None


def _triangular_sums(p: GMM, q: GMM) -> Leaves:
    roots = jnp.concatenate(_paired(p, q, scale_of(p).rows(), scale_of(q).rows()), axis=2)
    return pack_tril(tril_of(roots)[0])


def _log_weights_of_pairs(p: GMM, q: GMM) -> Array:
    """The log-weights log pi_k + log omega_j of all pairs of components, (K_p, K_q)."""
    return p.log_weights[:, None] + q.log_weights[None]


def _paired(p: GMM, q: GMM, a: Array, b: Array) -> tuple[Array, Array]:
    """Rows a of p and b of q, K or 1 each, repeated for all pairs, or 1 row if both have 1."""
    pairs = (1, 1) if len(a) == len(b) == 1 else (p.num_components, q.num_components)
    a = jnp.broadcast_to(a[:, None], pairs + a.shape[1:])
    b = jnp.broadcast_to(b[None], pairs + b.shape[1:])
    return a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:])


leaves_of_sums = by_structure(_diagonal_sums, _triangular_sums)
"""The leaves log_diag and off_diag of Sigma_k + Sigma_j for all pairs of components."""

_products = by_structure(_diagonal_products, _triangular_products)
"""The means and the leaves of the normalised products of all pairs of components."""
