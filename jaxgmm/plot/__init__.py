"""Pictures of mixtures, divergences and fits with matplotlib (`pip install 'jaxgmm[plot]'`).

Each function draws on the given axes or on a new figure, which it neither shows nor saves.

Mixtures    `contours`, `ellipses`, `densities` in one dimension, and of two, `log_ratio` and
            `integrand`: where they differ
Samples     `two_samples`: a divergence and those by chance, of all columns and of each
Results     `convergence` of the error in the points, `losses` of a fit, `pairwise` matrices
"""

from jaxgmm.plot._mixtures import contours as contours
from jaxgmm.plot._mixtures import densities as densities
from jaxgmm.plot._mixtures import ellipses as ellipses
from jaxgmm.plot._mixtures import integrand as integrand
from jaxgmm.plot._mixtures import log_ratio as log_ratio
from jaxgmm.plot._results import convergence as convergence
from jaxgmm.plot._results import losses as losses
from jaxgmm.plot._results import pairwise as pairwise
from jaxgmm.plot._results import two_samples as two_samples
