"""Sums of independent points of two mixtures, and products of powers of two densities."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._mixture.components import component_overlaps
from jaxgmm._mixture.gmm import GMM, is_diagonal, log_det, scale_of
from jaxgmm._mixture.scale import Leaves
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics import linalg
from jaxgmm._numerics.linalg import inv_tril, matmul, pack_tril, tril_of
from jaxgmm._validation.validated_jit import validated_jit

ROUNDING = 32  # the units of rounding above which a difference of precisions counts as positive


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


def _products(p: GMM, q: GMM) -> tuple[Array, Leaves]:
    """The means and the leaves of the normalised products of all pairs of components."""
    start, end = _paired(p, q, p.loc, q.loc)
    if is_diagonal(p, q):
        a, b = _paired(p, q, p.log_diag, q.log_diag)
        loc = start + jax.nn.sigmoid(2 * (a - b)) * (end - start)
        return loc, (-0.5 * jnp.logaddexp(-2 * a, -2 * b), None)
    a, b = _paired(p, q, inv_tril(scale_of(p).rows()), inv_tril(scale_of(q).rows()))
    # [A^T B^T] is a root of the precision. With the coordinates reversed, the inverse of its
    # triangle is L^T, reversed as well.
    lower = tril_of(jnp.concatenate([a.mT, b.mT], axis=2)[:, ::-1])[1].mT[:, ::-1, ::-1]
    step = (end - start)[:, :, None]
    for factor in (b, b.mT, lower.mT, lower):  # C B^T B (mu_j - mu_k), as vectors all the way
        step = matmul(factor, step)
    return start + step[:, :, 0], pack_tril(lower)


def leaves_of_sums(p: GMM, q: GMM) -> Leaves:
    """The leaves log_diag and off_diag of Sigma_k + Sigma_j for all pairs of components."""
    if is_diagonal(p, q):
        a, b = _paired(p, q, p.log_diag, q.log_diag)
        return 0.5 * jnp.logaddexp(2 * a, 2 * b), None
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


class Powers(NamedTuple):
    """M Gaussians proportional to products of powers, and the integrals of the products."""

    log_integral: Array  # inf where a product has no finite integral; its Gaussian is that of p
    loc: Array
    leaves: Leaves


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Order:
    """The power a of p, and b = 1 - a of q, which has digits of its own near a = 1.

    The form is static: "small" below 1/2, "below" from there to 1, "one", "above", or "traced".
    """

    a: Any
    b: Any
    form: str = dataclasses.field(metadata={"static": True})

    def like(self, gmm: GMM) -> "Order":
        """The order in the dtype of a mixture."""
        return jax.tree.map(lambda power: jnp.asarray(power, gmm.loc.dtype), self)


def rooted_products(p: GMM, q: GMM, order: Order, k: Array, j: Array) -> Powers:
    r"""The products :math:`(\pi_k p_k)^a (w_j q_j)^b` of the pairs (k, j), for 0 < a < 1."""
    p, q = _tempered(p, order.a, order.b), _tempered(q, order.b, order.a)
    both, log_overlap = jax.vmap(product)(_one_by_one(p, k), _one_by_one(q, j))
    leaves = jax.tree.map(lambda leaf: leaf[:, 0], (both.log_diag, both.off_diag))
    return Powers(p.logits[k] + q.logits[j] + log_overlap, both.loc[:, 0], leaves)


def log_integrals_below_one(p: GMM, q: GMM, order: Order) -> Array:
    """The logarithms of the integrals of `rooted_products` for all pairs, (K_p, K_q)."""
    p, q = _tempered(p, order.a, order.b), _tempered(q, order.b, order.a)
    return p.logits[:, None] + q.logits[None] + component_overlaps(p, q)[1]


def _tempered(gmm: GMM, a: Array, b: Array) -> GMM:
    r"""The Gaussians of covariance :math:`\Sigma_k / a`, and :math:`\log \int (\pi_k p_k)^a`."""
    log_roots = b * (log_det(gmm) + 0.5 * gmm.num_dims * math.log(2 * math.pi))
    log_integrals = a * gmm.log_weights + log_roots - 0.5 * gmm.num_dims * jnp.log(a)
    off_diag = None if gmm.off_diag is None else gmm.off_diag / jnp.sqrt(a)
    return GMM(log_integrals, gmm.loc, gmm.log_diag - 0.5 * jnp.log(a), off_diag)


def _one_by_one(gmm: GMM, index: Array) -> GMM:
    """A stack of M mixtures, each of one component k from ``index`` (M,), with weight 1."""

    def rows(leaf: Array) -> Array:
        return jnp.broadcast_to(leaf, (gmm.num_components, leaf.shape[1]))[index][:, None]

    leaves = jax.tree.map(rows, (gmm.log_diag, gmm.off_diag))
    return GMM(jnp.zeros_like(gmm.logits, shape=(len(index), 1)), rows(gmm.loc), *leaves)


class Companion(NamedTuple):
    r"""The components of q in the coordinates z of each component of p, where x = mu_k + L_k z.

    Here :math:`G = L_j^{-1} L_k` and :math:`d = L_j^{-1} (\nu_j - \mu_k)`. They are in B blocks of
    size m: one of size D, or D of size 1 if both mixtures are diagonal.
    """

    squares: Array  # G^T G, (K, J, B, m, m)
    pulls: Array  # G^T d, (K, J, B, m)
    lengths: Array  # |d|^2, (K, J)
    log_dets: Array  # log |L_j| - log |L_k|, (K, J)

    @classmethod
    def of(cls, p: GMM, q: GMM) -> "Companion":
        offsets = q.loc[None] - p.loc[:, None]
        if is_diagonal(p, q):
            log_p, log_q = (scale_of(gmm).log_sigma for gmm in (p, q))
            ratios = jnp.exp(log_p[:, None] - log_q[None])[..., None, None]
            whitened = (offsets * jnp.exp(-log_q)[None])[..., None]
        else:
            factor, inverse = scale_of(p).factors(), inv_tril(scale_of(q).rows())
            inverse = jnp.broadcast_to(inverse, (q.num_components, *inverse.shape[1:]))
            ratios = matmul(inverse[None], factor[:, None])[:, :, None]
            whitened = linalg.einsum("jab,kjb->kja", inverse, offsets)[:, :, None]
        pulls = (ratios * whitened[..., None]).sum(-2)
        of_p, of_q = (jnp.broadcast_to(log_det(gmm), len(gmm.loc)) for gmm in (p, q))
        lengths = jnp.square(whitened).sum((2, 3))
        return cls(matmul(ratios.mT, ratios), pulls, lengths, of_q[None] - of_p[:, None])

    def mean(self, shares: Array) -> "Companion":
        """The mean over j by shares (K, J). What has no share may be infinite."""

        def of(x: Array) -> Array:
            by = shares.reshape(shares.shape + (1,) * (x.ndim - 2))
            return (by * jnp.where(by > 0, x, 0)).sum(1)

        return jax.tree.map(of, self)


class Quotient(NamedTuple):
    """A Gaussian in z for each k, N(mean, R^T R), and the integral that belongs to it."""

    log_integral: Array  # inf where the precision is not positive definite
    mean: Array  # (K, B, m)
    root: Array  # R, lower, (K, B, m, m)


def quotient(of_q: Companion, orders: Array) -> Quotient:
    r"""The products :math:`p_k^a \prod_j q_j^{(1 - a) l_{kj}}` by the mean of q with shares l.

    In z, a product is proportional to a Gaussian of precision :math:`N = a I - (a - 1) \sum_j
    l_{kj} G_{kj}^T G_{kj}`, if N is positive definite.
    """
    num, blocks, size = of_q.pulls.shape
    a, b = orders, 1 - orders
    eye = jnp.eye(size, dtype=a.dtype)[None, None]
    precision = a[:, None, None, None] * eye + b[:, None, None, None] * of_q.squares
    # With the coordinates reversed, N is U U^T with U upper, and L_k U^-T is lower.
    rows = precision[:, :, ::-1, ::-1].reshape(-1, size, size)
    least = ROUNDING * jnp.finfo(a.dtype).eps * jnp.repeat(a, blocks)
    lower, definite = linalg.cholesky_if_definite(rows, least)
    root = inv_tril(lower)[:, ::-1, ::-1].reshape(num, blocks, size, size)
    half = (root * of_q.pulls[:, :, None]).sum(-1)
    mean = b[:, None, None] * (root * half[..., None]).sum(-2)
    squares = of_q.lengths - b * jnp.square(half).sum((1, 2))
    relative = jnp.where(a > 1, b * (-of_q.log_dets - 0.5 * squares), 0)
    log_root = jnp.log(jnp.diagonal(root, axis1=2, axis2=3)).sum((1, 2))
    is_finite = definite.reshape(num, blocks).all(1)
    return Quotient(jnp.where(is_finite, relative + log_root, jnp.inf), mean, root)


def quotients(p: GMM, q: GMM, orders: Array, log_shares: Array) -> Powers:
    r"""The products :math:`(\pi_k p_k)^a \prod_j (w_j q_j / l_{kj})^{(1 - a) l_{kj}}` for all k.

    As :math:`q \ge \prod_j (w_j q_j / l_j)^{l_j}` for shares l, each bounds p_k^a q^(1-a).
    """
    shares = jnp.exp(log_shares)
    found = quotient(Companion.of(p, q).mean(shares), orders)
    logs = jnp.where(shares > 0, q.log_weights[None] - log_shares, 0)
    of_weights = orders * p.log_weights + (1 - orders) * (shares * logs).sum(1)
    if is_diagonal(p, q):
        log_p = scale_of(p).log_sigma
        loc = p.loc + jnp.exp(log_p) * found.mean[:, :, 0]
        leaves = log_p + jnp.log(found.root[:, :, 0, 0]), None
    else:
        factor = scale_of(p).factors()
        loc = p.loc + matmul(factor, found.mean[:, 0, :, None])[:, :, 0]
        leaves = pack_tril(matmul(factor, found.root[:, 0].mT))
    return Powers(found.log_integral + of_weights, loc, leaves)
