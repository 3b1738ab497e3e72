"""Mixtures to and from other libraries, which are imported on demand."""

from jaxgmm.interop._distributions import from_distribution as from_distribution
from jaxgmm.interop._distributions import to_distrax as to_distrax
from jaxgmm.interop._distributions import to_numpyro as to_numpyro
from jaxgmm.interop._distributions import to_tfp as to_tfp
from jaxgmm.interop._mixtures import from_gmmx as from_gmmx
from jaxgmm.interop._mixtures import from_ott as from_ott
from jaxgmm.interop._mixtures import from_sklearn as from_sklearn
from jaxgmm.interop._mixtures import to_sklearn as to_sklearn
