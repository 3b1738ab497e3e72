"""Pictures of mixtures, divergences and fits, with matplotlib: `pip install 'jaxgmm[plot]'`.

Each function draws on the axes that it is given, or on those of a new figure, and returns them; none shows or saves.
"""

from jaxgmm._mixture_plots import contours as contours
from jaxgmm._mixture_plots import densities as densities
from jaxgmm._mixture_plots import ellipses as ellipses
from jaxgmm._mixture_plots import integrand as integrand
from jaxgmm._mixture_plots import log_ratio as log_ratio
from jaxgmm._result_plots import convergence as convergence
from jaxgmm._result_plots import losses as losses
from jaxgmm._result_plots import pairwise as pairwise
