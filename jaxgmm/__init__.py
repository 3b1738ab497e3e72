"""Divergences between Gaussian mixtures, with error bars, and gradients that are right in every parameter."""

from jaxgmm._approximations import kl_matched as kl_matched
from jaxgmm._approximations import kl_moment_matched as kl_moment_matched
from jaxgmm._approximations import kl_product as kl_product
from jaxgmm._approximations import kl_variational as kl_variational
from jaxgmm._bounds import entropy_bounds as entropy_bounds
from jaxgmm._bounds import js_bounds as js_bounds
from jaxgmm._bounds import kl_bounds as kl_bounds
from jaxgmm._closed_form import cauchy_schwarz_divergence as cauchy_schwarz_divergence
from jaxgmm._closed_form import l2_distance as l2_distance
from jaxgmm._closed_form import log_l2_distance as log_l2_distance
from jaxgmm._closed_form import mmd as mmd
from jaxgmm._density import component_log_prob as component_log_prob
from jaxgmm._density import log_density as log_density
from jaxgmm._density import log_prob as log_prob
from jaxgmm._density import responsibilities as responsibilities
from jaxgmm._divergence import cross_entropy as cross_entropy
from jaxgmm._divergence import entropy as entropy
from jaxgmm._divergence import jeffreys_divergence as jeffreys_divergence
from jaxgmm._divergence import js_divergence as js_divergence
from jaxgmm._divergence import kl_divergence as kl_divergence
from jaxgmm._estimate import Estimate as Estimate
from jaxgmm._estimate import estimate as estimate
from jaxgmm._expectation import expectation as expectation
from jaxgmm._fit import FitResult as FitResult
from jaxgmm._fit import fit as fit
from jaxgmm._gmm import GMM as GMM
from jaxgmm._objectives import forward_kl_loss as forward_kl_loss
from jaxgmm._objectives import jeffreys_loss as jeffreys_loss
from jaxgmm._objectives import js_loss as js_loss
from jaxgmm._objectives import likelihood_loss as likelihood_loss
from jaxgmm._objectives import negative_log_likelihood as negative_log_likelihood
from jaxgmm._objectives import reverse_kl_loss as reverse_kl_loss
from jaxgmm._objectives import scale_floor as scale_floor
from jaxgmm._pairs import bhattacharyya_distance as bhattacharyya_distance
from jaxgmm._pairs import gaussian_kl as gaussian_kl
from jaxgmm._pairs import gaussian_wasserstein_squared as gaussian_wasserstein_squared
from jaxgmm._reduce import reduce as reduce
from jaxgmm._rules import GaussHermite as GaussHermite
from jaxgmm._rules import MonteCarlo as MonteCarlo
from jaxgmm._rules import Rule as Rule
from jaxgmm._rules import SigmaPoints as SigmaPoints
from jaxgmm._rules import Sobol as Sobol
from jaxgmm.interop import from_sklearn as from_sklearn
from jaxgmm.interop import to_sklearn as to_sklearn

__version__ = "0.1.0"
