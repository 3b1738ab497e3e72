"""Whether a divergence is finite, as it declares before any point is drawn."""

import enum
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.core import Tracer

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.validated_jit import declared_by


class Finiteness(enum.Enum):
    """Whether a value is finite; see `estimate`."""

    BOUNDED = "bounded"
    INFINITE = "infinite"
    UNKNOWN = "unknown"


def finiteness_of(
    divergence: Callable[..., Any], mixtures: tuple[GMM, ...], options: Mapping[str, Any]
) -> Finiteness:
    """Whether the divergence declares itself finite for these mixtures, with a warning if unknown.

    A divergence that declares nothing, or one of traced mixtures, is taken as bounded.
    """
    check = declared_by(divergence).finiteness
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(mixtures))
    if check is None or traced:
        return Finiteness.BOUNDED
    verdict = check(*mixtures, {**getattr(divergence, "keywords", {}), **options})
    if verdict is Finiteness.UNKNOWN:
        problem = (
            "this divergence may be infinite or far above its estimate, whatever the error says"
        )
        warnings.warn(f"{problem}: take a lower order", RuntimeWarning, stacklevel=4)
    return verdict
