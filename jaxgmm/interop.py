"""Mixtures to and from other libraries, which are imported on demand."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgmm._distributions import read_distribution
from jaxgmm._door import check_mixture
from jaxgmm._mixture.gmm import GMM, factor_rows
from jaxgmm._validation.checks import check_concrete, floating_dtype, kind

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


def from_sklearn(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """The parameters of a fitted scikit-learn mixture, of any covariance type.

    Args:
      mixture: a fitted GaussianMixture or BayesianGaussianMixture.
      dtype: a floating dtype; None: JAX's default, which is float32 unless x64 is enabled.

    Returns:
      The same mixture as a `GMM`.

    Raises:
      TypeError: it is not such a mixture.
      ValueError: it is not fitted, or its parameters are not those of a mixture.

    Example:
      >>> import numpy as np
      >>> from sklearn.mixture import GaussianMixture
      >>> fitted = GaussianMixture(2).fit(np.array([[0.0], [0.1], [5.0], [5.2]]))
      >>> from_sklearn(fitted).num_components
      2
    """
    if not hasattr(mixture, "covariance_type"):
        raise TypeError(f"mixture must be a fitted scikit-learn GaussianMixture, got {kind(mixture)}")
    fields = ("weights_", "means_", "covariances_")
    missing = [field for field in fields if not hasattr(mixture, field)]
    if missing:
        raise ValueError(
            f"mixture is not fitted: {type(mixture).__name__} has no {', '.join(missing)}; call mixture.fit(X) first"
        )
    weights, means, covariances = (np.asarray(getattr(mixture, field), np.float64) for field in fields)
    return GMM.from_moments(weights, means, covariances, mixture.covariance_type, dtype=dtype)


def to_sklearn(gmm: GMM) -> "GaussianMixture":
    """A scikit-learn GaussianMixture with these parameters, ready to ``score_samples``, ``predict`` and ``sample``.

    Args:
      gmm: the mixture.

    Returns:
      The GaussianMixture, in float64.

    Raises:
      ImportError: scikit-learn is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(to_sklearn(p).score_samples([[0.0]]).round(4))
      [-1.6118]
    """
    check_mixture("gmm", gmm)
    check_concrete("gmm", gmm.weights, "to_sklearn")
    sklearn_mixture = imported("sklearn.mixture", "to_sklearn", "scikit-learn", "sklearn")
    weights = np.asarray(gmm.weights, np.float64)
    factors = np.asarray(gmm.scale_tril, np.float64)
    mixture = sklearn_mixture.GaussianMixture(gmm.num_components, covariance_type=gmm.covariance_type)
    mixture.weights_ = weights / weights.sum()
    mixture.means_ = np.asarray(gmm.means, np.float64)
    mixture.covariances_, mixture.precisions_, mixture.precisions_cholesky_ = _in_shape(gmm.covariance_type, factors)
    mixture.n_features_in_ = gmm.num_dims
    mixture.converged_, mixture.n_iter_, mixture.lower_bound_ = True, 0, np.nan
    return mixture


def _in_shape(covariance_type: str, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances, precisions and scikit-learn's upper triangular U with U U^T the precision, from factors (K, D, D)."""
    if covariance_type in ("full", "tied"):
        upper = np.linalg.inv(factors).swapaxes(-1, -2)
        full = (factors @ factors.swapaxes(-1, -2), upper @ upper.swapaxes(-1, -2), upper)
        return full if covariance_type == "full" else (full[0][0], full[1][0], full[2][0])
    scale = np.diagonal(factors, axis1=1, axis2=2)
    scale = scale if covariance_type == "diag" else scale[:, 0]
    return scale**2, scale**-2.0, 1 / scale


def from_distribution(distribution: Any, dtype: DTypeLike | None = None) -> GMM:
    """The parameters of a mixture of Gaussians, or of one Gaussian, of NumPyro, distrax or TensorFlow Probability on JAX.

    It may be traced: a loss that builds its distribution under `jax.jit` is differentiated in the distribution's own parameters.
    There a ``scale_tril`` is better than a covariance matrix, which libraries factor by LAPACK at every step; several such calls
    in one program have made XLA hang on CPU. In a weight that is given as the probability 0, the derivative is taken to be 0.

    Args:
      distribution: a ``MixtureSameFamily``, a ``MixtureGeneral`` of NumPyro or a ``Mixture`` of TensorFlow Probability, of
        Gaussians; or one Gaussian. These are a ``MultivariateNormal`` with any kind of scale, a ``Normal`` made independent
        over one dimension (by ``Independent`` or ``to_event``), or a ``Normal`` of numbers, which gets D = 1.
      dtype: a floating dtype; None: that of the parameters.

    Returns:
      The same mixture as a `GMM`, "full" or "tied" if given by matrices, else "diag" or "spherical".

    Raises:
      TypeError: it is not such a distribution.
      ValueError: it is a batch of them, or a parameter is not finite, a weight negative, or a covariance not positive definite.

    Example:
      >>> import numpy as np
      >>> import numpyro.distributions as dist
      >>> components = dist.MultivariateNormal(np.array([[0.0, 0.0], [2.0, 1.0]]), scale_tril=np.eye(2))
      >>> p = from_distribution(dist.MixtureSameFamily(dist.Categorical(probs=np.array([0.3, 0.7])), components))
      >>> print(p.num_components, p.covariance_type)
      2 tied
    """
    return read_distribution(distribution, dtype)


def to_numpyro(gmm: GMM) -> Any:
    """A NumPyro MixtureSameFamily with these parameters, traced ones too.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of MultivariateNormal, or, if its covariances are diagonal, of ``Normal(...).to_event(1)``.

    Raises:
      ImportError: NumPyro is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_numpyro(p).log_prob(np.zeros(1)):.4f}")
      -1.6118
    """
    check_mixture("gmm", gmm)
    dist = imported("numpyro.distributions", "to_numpyro", "NumPyro", "numpyro")
    logits = jnp.maximum(gmm.logits, jnp.finfo(gmm.logits.dtype).min)  # NumPyro refuses -inf
    if gmm.off_diag is None:
        components = dist.Normal(gmm.loc, jnp.exp(gmm.log_diag)).to_event(1)
    else:
        components = dist.MultivariateNormal(gmm.loc, scale_tril=factor_rows(gmm))
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)


def to_distrax(gmm: GMM) -> Any:
    """A distrax MixtureSameFamily with these parameters, traced ones too.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of MultivariateNormalTri, or, if its covariances are diagonal, of ``Independent(Normal(...), 1)``.

    Raises:
      ImportError: distrax is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_distrax(p).log_prob(np.zeros(1)):.4f}")
      -1.6118
    """
    check_mixture("gmm", gmm)
    distrax = imported("distrax", "to_distrax", "distrax", "distrax")
    if gmm.off_diag is None:
        components = distrax.Independent(distrax.Normal(gmm.loc, jnp.exp(gmm.log_diag)), 1)
    else:
        components = distrax.MultivariateNormalTri(gmm.loc, factor_rows(gmm))
    return distrax.MixtureSameFamily(distrax.Categorical(logits=gmm.logits), components)


def to_tfp(gmm: GMM) -> Any:
    """A MixtureSameFamily of TensorFlow Probability on JAX with these parameters, traced ones too.

    Args:
      gmm: the mixture.

    Returns:
      A mixture of MultivariateNormalTriL, or, if its covariances are diagonal, of ``Independent(Normal(...), 1)``.

    Raises:
      ImportError: TensorFlow Probability is not installed.
      TypeError, ValueError: gmm is not a finite mixture.

    Example:
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(f"{to_tfp(p).log_prob(np.zeros(1)):.4f}")
      -1.6118
    """
    check_mixture("gmm", gmm)
    tfd = imported("tensorflow_probability.substrates.jax.distributions", "to_tfp", "TensorFlow Probability", "tfp")
    if gmm.off_diag is None:
        components = tfd.Independent(tfd.Normal(gmm.loc, jnp.exp(gmm.log_diag)), 1)
    else:
        components = tfd.MultivariateNormalTriL(gmm.loc, factor_rows(gmm))
    return tfd.MixtureSameFamily(tfd.Categorical(logits=gmm.logits), components)


def from_gmmx(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """The parameters of a mixture of gmmx, full or diagonal.

    Args:
      mixture: a GaussianMixtureModelJax.
      dtype: a floating dtype; None: that of the mixture.

    Returns:
      The same mixture as a `GMM`. The covariances are factored in NumPy, so this is not for use under `jax.jit`.

    Raises:
      TypeError: it is not such a mixture, or it is traced.
      ValueError: its parameters are not those of a mixture.

    Example:
      >>> from gmmx import GaussianMixtureModelJax
      >>> from_gmmx(GaussianMixtureModelJax.create(n_components=3, n_features=2)).covariance_type
      'full'
    """
    check_type(mixture, "gmmx", "GaussianMixtureModelJax")
    weights, means, covariances = mixture.weights.ravel(), mixture.means[0, :, :, 0], mixture.covariances.values[0]
    covariance_type = mixture.covariances.type.value
    covariances = covariances if covariance_type == "full" else covariances[:, :, 0]
    return GMM.from_moments(weights, means, covariances, covariance_type, dtype=dtype)


def from_ott(mixture: Any, dtype: DTypeLike | None = None) -> GMM:
    """The parameters of a mixture of OTT-JAX, traced ones too.

    Args:
      mixture: a GaussianMixture of ``ott.tools.gaussian_mixture``.
      dtype: a floating dtype; None: that of the mixture.

    Returns:
      The same mixture as a `GMM`, of full covariances.

    Raises:
      TypeError: it is not such a mixture.
      ValueError: it is a batch of them, or not finite.

    Example:
      >>> import jax
      >>> from ott.tools.gaussian_mixture.gaussian_mixture import GaussianMixture
      >>> from_ott(GaussianMixture.from_random(jax.random.key(0), n_components=3, n_dimensions=2)).num_components
      3
    """
    check_type(mixture, "ott", "GaussianMixture")
    loc, triangle, logits = mixture.loc, mixture.scale_params, mixture.component_weight_ob.params
    rows, columns = np.tril_indices(loc.shape[-1])
    logits = jnp.append(logits, jnp.zeros_like(logits, shape=1))  # OTT leaves the last logit out, which is 0
    gmm = GMM(logits, loc, triangle[:, rows == columns], triangle[:, rows > columns])
    gmm = jax.tree.map(lambda leaf: leaf.astype(floating_dtype(dtype, loc)), gmm)
    check_mixture("mixture", gmm)
    return gmm


def check_type(mixture: Any, library: str, name: str) -> None:
    if not any(base.__name__ == name and base.__module__.split(".")[0] == library for base in type(mixture).__mro__):
        raise TypeError(f"mixture must be a {name} of {library}, got {kind(mixture, type(mixture).__module__)}")


def imported(module: str, function: str, library: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{function} needs {library}: pip install 'jaxgmm[{extra}]'") from error
