"""Exact quantities between the Gaussian components of two mixtures."""

from jax import Array

from jaxgmm._mixture import components
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._validation.validated_jit import validated_jit


@validated_jit(one_space)
def gaussian_kl(p: Mixture, q: Mixture) -> Array:
    r"""The exact Kullback-Leibler divergence between components.

    .. math:: KL(p_k \| q_j) = \tfrac12 \left(\mathrm{tr}(\Sigma_j^{-1} \Sigma_k) - D
              + (\mu_k - \mu_j)^T \Sigma_j^{-1} (\mu_k - \mu_j)
              + \log \frac{\det \Sigma_j}{\det \Sigma_k}\right)

    Args:
      p, q: mixtures in one space, whose weights do not matter.

    Returns:
      (K_p, K_q), in nats.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter of p or q is not finite, or they differ in dimension.

    Example:
      >>> import jaxgmm
      >>> p = jaxgmm.GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> q = jaxgmm.GMM.from_moments([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical")
      >>> print(gaussian_kl(p, q))
      [[2.  0.5]]

    References:
      Kullback, Information Theory and Statistics (1959), section 9.1.
    """
    return components.component_kl(p, q)


@validated_jit(one_space)
def bhattacharyya_distance(p: Mixture, q: Mixture) -> Array:
    r"""The exact Bhattacharyya distance between components.

    .. math:: B(p_k, q_j) = -\log \int \sqrt{p_k(x) q_j(x)} dx
              = \tfrac18 (\mu_k - \mu_j)^T \bar\Sigma^{-1} (\mu_k - \mu_j)
              + \tfrac12 \log \frac{\det \bar\Sigma}{\sqrt{\det \Sigma_k \det \Sigma_j}},
              \quad \bar\Sigma = \tfrac12 (\Sigma_k + \Sigma_j)

    It is symmetric, and 0 only between equal components. It violates the triangle inequality.

    Args:
      p, q: mixtures in one space, whose weights do not matter.

    Returns:
      (K_p, K_q), in nats.

    Raises:
      TypeError, ValueError: as in `gaussian_kl`.

    Example:
      >>> import jaxgmm
      >>> p = jaxgmm.GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> q = jaxgmm.GMM.from_moments([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical")
      >>> print(bhattacharyya_distance(p, q))
      [[0.5   0.125]]

    References:
      Kailath, The divergence and Bhattacharyya distance measures in signal selection (1967).
    """
    return components.component_overlaps(p, q)[0]


@validated_jit(one_space)
def gaussian_wasserstein_squared(p: Mixture, q: Mixture) -> Array:
    r"""The square of the exact Wasserstein-2 (Bures) distance between components.

    .. math:: W_2^2(p_k, q_j) = |\mu_k - \mu_j|^2 + \mathrm{tr}\left(\Sigma_k + \Sigma_j
              - 2 (\Sigma_k^{1/2} \Sigma_j \Sigma_k^{1/2})^{1/2}\right)
              = |\mu_k - \mu_j|^2 + \min_{Q^T Q = I} \|L_k Q - L_j\|_F^2

    The square is smooth everywhere; the distance has a kink between equal components. Second
    derivatives need forward mode outside, as in `jax.hessian`.

    Args:
      p, q: mixtures in one space, whose weights do not matter.

    Returns:
      (K_p, K_q), in squared units of the data. The square root is a metric.

    Raises:
      TypeError, ValueError: as in `gaussian_kl`.

    Example:
      >>> import jaxgmm
      >>> p = jaxgmm.GMM.from_moments([1.0], [[2.0]], [1.0], "spherical")
      >>> q = jaxgmm.GMM.from_moments([0.5, 0.5], [[0.0], [1.0]], [1.0, 4.0], "spherical")
      >>> print(gaussian_wasserstein_squared(p, q))
      [[4. 2.]]

    References:
      Dowson and Landau, The Frechet distance between multivariate normal distributions (1982).
      Bhatia, Jain and Lim, On the Bures-Wasserstein distance, Expo. Math. 37 (2019), theorem 1.
    """
    squares, unit = components.component_wasserstein_squared(p, q)
    return unit * squares * unit
