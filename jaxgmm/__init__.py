"""Divergences between Gaussian mixtures, with error bars, and gradients that are right in every parameter."""

from jaxgmm._component_information import classification_entropy as classification_entropy
from jaxgmm._component_information import component_information as component_information
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
from jaxgmm._f_divergence import f_divergence as f_divergence
from jaxgmm._f_divergence import hellinger_distance as hellinger_distance
from jaxgmm._f_divergence import renyi_divergence as renyi_divergence
from jaxgmm._f_divergence import total_variation as total_variation
from jaxgmm._gmm import GMM as GMM
from jaxgmm._rules import GaussHermite as GaussHermite
from jaxgmm._rules import MonteCarlo as MonteCarlo
from jaxgmm._rules import Rule as Rule
from jaxgmm._rules import SigmaPoints as SigmaPoints
from jaxgmm._rules import Sobol as Sobol
from jaxgmm._sampling import sample as sample
from jaxgmm.interop import from_sklearn as from_sklearn
from jaxgmm.interop import to_sklearn as to_sklearn

__version__ = "0.1.0"
