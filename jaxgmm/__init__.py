"""Divergences between Gaussian mixtures, with error bars, and gradients that are right in every parameter."""

from jaxgmm import plot as plot
from jaxgmm._divergence.approximations import kl_matched as kl_matched
from jaxgmm._divergence.approximations import kl_moment_matched as kl_moment_matched
from jaxgmm._divergence.approximations import kl_product as kl_product
from jaxgmm._divergence.approximations import kl_variational as kl_variational
from jaxgmm._divergence.bounds import entropy_bounds as entropy_bounds
from jaxgmm._divergence.bounds import js_bounds as js_bounds
from jaxgmm._divergence.bounds import kl_bounds as kl_bounds
from jaxgmm._divergence.closed_form import cauchy_schwarz_divergence as cauchy_schwarz_divergence
from jaxgmm._divergence.closed_form import l2_distance as l2_distance
from jaxgmm._divergence.closed_form import log_l2_distance as log_l2_distance
from jaxgmm._divergence.closed_form import mmd as mmd
from jaxgmm._divergence.component_information import (
    classification_entropy as classification_entropy,
)
from jaxgmm._divergence.component_information import component_information as component_information
from jaxgmm._divergence.entropies import cross_entropy as cross_entropy
from jaxgmm._divergence.entropies import entropy as entropy
from jaxgmm._divergence.entropies import jeffreys_divergence as jeffreys_divergence
from jaxgmm._divergence.entropies import kl_divergence as kl_divergence
from jaxgmm._divergence.f_divergence import f_divergence as f_divergence
from jaxgmm._divergence.gaussian import bhattacharyya_distance as bhattacharyya_distance
from jaxgmm._divergence.gaussian import gaussian_kl as gaussian_kl
from jaxgmm._divergence.gaussian import gaussian_wasserstein_squared as gaussian_wasserstein_squared
from jaxgmm._divergence.midpoint import hellinger_distance as hellinger_distance
from jaxgmm._divergence.midpoint import js_divergence as js_divergence
from jaxgmm._divergence.midpoint import total_variation as total_variation
from jaxgmm._divergence.pairwise import pairwise as pairwise
from jaxgmm._divergence.renyi import renyi_divergence as renyi_divergence
from jaxgmm._divergence.transport import mixture_wasserstein as mixture_wasserstein
from jaxgmm._expectation.estimate import Estimate as Estimate
from jaxgmm._expectation.estimate import estimate as estimate
from jaxgmm._expectation.expectation import expectation as expectation
from jaxgmm._fit.fit import fit as fit
from jaxgmm._fit.loop import FitResult as FitResult
from jaxgmm._fit.losses import cross_entropy_loss as cross_entropy_loss
from jaxgmm._fit.losses import forward_kl_loss as forward_kl_loss
from jaxgmm._fit.losses import jeffreys_loss as jeffreys_loss
from jaxgmm._fit.losses import js_loss as js_loss
from jaxgmm._fit.losses import likelihood_loss as likelihood_loss
from jaxgmm._fit.losses import reverse_kl_loss as reverse_kl_loss
from jaxgmm._fit.reduce import reduce as reduce
from jaxgmm._fit.scale_floor import scale_floor as scale_floor
from jaxgmm._mixture.algebra import affine as affine
from jaxgmm._mixture.algebra import condition as condition
from jaxgmm._mixture.algebra import convolve as convolve
from jaxgmm._mixture.algebra import marginal as marginal
from jaxgmm._mixture.algebra import mixture_covariance as mixture_covariance
from jaxgmm._mixture.algebra import mixture_mean as mixture_mean
from jaxgmm._mixture.algebra import product as product
from jaxgmm._mixture.combine import mixture_of as mixture_of
from jaxgmm._mixture.combine import stack as stack
from jaxgmm._mixture.density import component_log_prob as component_log_prob
from jaxgmm._mixture.density import log_density as log_density
from jaxgmm._mixture.density import log_prob as log_prob
from jaxgmm._mixture.density import negative_log_likelihood as negative_log_likelihood
from jaxgmm._mixture.density import responsibilities as responsibilities
from jaxgmm._mixture.gmm import GMM as GMM
from jaxgmm._mixture.sampling import sample as sample
from jaxgmm._quadrature.deterministic import GaussHermite as GaussHermite
from jaxgmm._quadrature.deterministic import SigmaPoints as SigmaPoints
from jaxgmm._quadrature.monte_carlo import MonteCarlo as MonteCarlo
from jaxgmm._quadrature.rule import Rule as Rule
from jaxgmm._quadrature.sobol import Sobol as Sobol
from jaxgmm.interop import from_distribution as from_distribution
from jaxgmm.interop import from_gmmx as from_gmmx
from jaxgmm.interop import from_ott as from_ott
from jaxgmm.interop import from_sklearn as from_sklearn
from jaxgmm.interop import to_distrax as to_distrax
from jaxgmm.interop import to_numpyro as to_numpyro
from jaxgmm.interop import to_sklearn as to_sklearn
from jaxgmm.interop import to_tfp as to_tfp
from jaxgmm.io import load as load
from jaxgmm.io import save as save

__version__ = "0.1.0"
