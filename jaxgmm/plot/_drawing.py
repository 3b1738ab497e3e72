"""What the pictures share: axes, colours, the points that they are drawn through, and what holds a given mass."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgmm._mixture.density import log_prob
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import checked_mixture, one_space
from jaxgmm._validation.checks import kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind eyes tell apart; in grey the line styles and markers do.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 3)))

MARKERS = ("o", "s", "^", "D", "v", "P")

SHADES = ("#D9E8F2", "#A3C9E2", "#5C9FCB")  # of the first colour, from light to dark

MASSES = (0.95, 0.8, 0.5)


def check_axes(ax: Any) -> None:
    """Raise on what is neither None nor axes, or where there is no matplotlib."""
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError("jaxgmm.plot needs matplotlib: pip install 'jaxgmm[plot]'") from error
    if not (ax is None or isinstance(ax, Axes)):
        raise TypeError(
            f"ax must be matplotlib Axes, got {kind(ax)}; leave it out for a new figure"
        )


def axes(ax: Any) -> "Axes":
    """Those given, or the axes of a new figure."""
    check_axes(ax)
    if ax is not None:
        return ax
    from matplotlib import pyplot  # only here, so that axes that are given leave its state alone

    return pyplot.subplots(layout="constrained")[1]


def style(i: int) -> dict[str, Any]:
    """The colour and the line style of the i-th curve."""
    return {"color": COLORS[i % len(COLORS)], "linestyle": LINE_STYLES[i % len(LINE_STYLES)]}


def given(p: GMM, q: GMM | None) -> dict[str, GMM]:
    """The mixtures by their names, without one that is left out."""
    return {"p": p} if q is None else {"p": p, "q": q}


def check_dims(num_dims: int, mixtures: dict[str, GMM]) -> None:
    """Raise unless they are finite mixtures of that dimension."""
    one_space({name: checked_mixture(name, gmm) for name, gmm in mixtures.items()})
    for name, gmm in mixtures.items():
        if gmm.num_dims > num_dims:
            dims = tuple(range(num_dims))
            raise ValueError(
                f"{name} has {gmm.num_dims} dimensions, and this picture has {num_dims}: "
                f"draw jaxgmm.marginal({name}, {dims}), say"
            )
        if gmm.num_dims < num_dims:
            raise ValueError(
                f"{name} has one dimension, and this picture has two: use jaxgmm.plot.densities"
            )


def nodes(gmms: list[GMM], dim: int = 0, reach: float = 4.0) -> np.ndarray:
    """Coordinates, increasing, from so many standard deviations below to those above, dense where a component is narrow."""
    alive = [np.asarray(gmm.weights) > 0 for gmm in gmms]
    centres = np.concatenate(
        [np.asarray(gmm.means, float)[some, dim] for gmm, some in zip(gmms, alive, strict=True)]
    )
    scales = np.concatenate(
        [_deviations(gmm)[some, dim] for gmm, some in zip(gmms, alive, strict=True)]
    )
    steps = np.linspace(-1.5 * reach, 1.5 * reach, 2 * max(6, 150 // len(centres)) + 1)
    own = np.sort(np.ravel(centres[:, None] + scales[:, None] * steps))[
        :: 1 + steps.size * centres.size // 600
    ]
    low, high = (centres - reach * scales).min(), (centres + reach * scales).max()
    return np.unique(np.concatenate([own[(low < own) & (own < high)], np.linspace(low, high, 201)]))


def grid(gmms: list[GMM]) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of both coordinates of the plane."""
    return nodes(gmms, 0, 3.3), nodes(gmms, 1, 3.3)


def _deviations(gmm: GMM) -> np.ndarray:
    """The standard deviation (K, D) of every coordinate under every component."""
    return np.sqrt(np.square(np.asarray(gmm.scale_tril, float)).sum(2))


def log_densities(gmm: GMM, *coordinates: np.ndarray) -> np.ndarray:
    """On the line, (n,), or on the grid of two coordinates, (n_y, n_x)."""
    return np.asarray(log_prob(gmm, np.stack(np.meshgrid(*coordinates), -1)), float)


def quantiles(values: np.ndarray, mass: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """The values up to which these shares of the mass lie."""
    order = np.argsort(values, axis=None)
    held = np.cumsum(mass.ravel()[order])
    return values.ravel()[order][np.searchsorted(held / held[-1], shares)]


def cells(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The areas (n_y, n_x) around the points of a grid."""
    return np.gradient(y)[:, None] * np.gradient(x)[None, :]


def region_levels(density: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The densities, increasing, above which 95, 80 and 50 % of the mass lie."""
    return np.unique(quantiles(density, density * cells(x, y), tuple(1 - mass for mass in MASSES)))
