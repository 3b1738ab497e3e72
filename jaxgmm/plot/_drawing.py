"""Axes, styles, grids of points and regions of given mass for the pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgmm._mixture.algebra import marginal
from jaxgmm._mixture.density import log_prob
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.read_out import cholesky_factors_of
from jaxgmm._mixture.validation import checked_mixture, one_space
from jaxgmm._validation.checks import check_concrete, kind
from jaxgmm.interop._mixtures import imported

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colour-blind readers can tell these colours by Okabe and Ito apart. Line styles and markers differ
# too, for pictures that are printed in grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
SHADES = ("#D9E8F2", "#A3C9E2", "#5C9FCB")  # of the first colour, from light to dark


def check_axes(ax: Any) -> None:
    """Raise if ax is neither None nor axes, or if matplotlib is not installed."""
    matplotlib = imported("matplotlib.axes", "jaxgmm.plot", "matplotlib", "plot")
    if not (ax is None or isinstance(ax, matplotlib.Axes)):
        raise TypeError(f"ax must be matplotlib Axes, got {kind(ax)}; omit it for a new figure")


def axes(ax: Any, size: tuple[float, float] | None = None) -> "Axes":
    """The given axes, or the axes of a new figure of this size in inches."""
    check_axes(ax)
    if ax is not None:
        return ax
    # An import of pyplot changes the state of matplotlib, so given axes do without it.
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def style(i: int) -> dict[str, Any]:
    return {"color": COLORS[i % len(COLORS)], "linestyle": LINE_STYLES[i % len(LINE_STYLES)]}


def check_drawable(**values: Any) -> None:
    for name, value in values.items():
        check_concrete(name, value, "a picture")


def named(
    num_dims: int, mixtures: dict[str, GMM], labels: Any, columns: Any, dims: Any
) -> tuple[list[GMM], list[str], list[str]]:
    """The mixtures of the coordinates dims, their labels, and the names of the coordinates."""
    one_space({name: checked_mixture(name, gmm) for name, gmm in mixtures.items()})
    check_drawable(**mixtures)
    count = next(iter(mixtures.values())).num_dims
    drawn = [gmm if dims is None else marginal(gmm, dims) for gmm in mixtures.values()]
    name, has = next(iter(mixtures)), drawn[0].num_dims
    if has > num_dims:
        mend = f"draw jaxgmm.marginal({name}, {tuple(range(num_dims))}), say"
        raise ValueError(f"{name} has {has} dimensions, and this picture has {num_dims}: {mend}")
    if has < num_dims:
        mend = "use jaxgmm.plot.densities"
        raise ValueError(f"{name} has one dimension, and this picture has two: {mend}")
    plain = ["$x$"] if count == 1 else [f"$x_{{{d + 1}}}$" for d in range(count)]
    names = plain if columns is None else checked_labels("columns", columns, count)
    texts = [f"${name}$" for name in mixtures] if labels is None else labels
    chosen = [names[d] for d in (range(num_dims) if dims is None else dims)]
    return drawn, checked_labels("labels", texts, len(mixtures)), chosen


def nodes(gmms: list[GMM], dim: int = 0, reach: float = 4.0) -> np.ndarray:
    """Increasing coordinates that cover all components, dense where a component is narrow."""
    alive = [(gmm, np.asarray(gmm.weights) > 0) for gmm in gmms]
    centres = np.concatenate([np.asarray(gmm.means, float)[has, dim] for gmm, has in alive])
    rows = [np.broadcast_to(cholesky_factors_of(g)[:, dim], g.loc.shape)[has] for g, has in alive]
    scales = np.linalg.norm(np.concatenate(rows), axis=1)
    steps = np.linspace(-1.5 * reach, 1.5 * reach, 2 * max(6, 150 // len(centres)) + 1)
    own = np.sort(np.ravel(centres[:, None] + scales[:, None] * steps))
    own = own[:: 1 + own.size // 600]
    low, high = (centres - reach * scales).min(), (centres + reach * scales).max()
    return np.unique(np.concatenate([own[(low < own) & (own < high)], np.linspace(low, high, 201)]))


def log_densities(gmm: GMM, *coordinates: np.ndarray) -> np.ndarray:
    """The log-densities at points on the line (n,), or on a grid in the plane (n_y, n_x)."""
    return np.asarray(log_prob(gmm, np.stack(np.meshgrid(*coordinates), -1)), float)


def checked_labels(name: str, labels: Any, count: int) -> list[str]:
    """The labels of so many rows or columns as strings, or an error if there are more or fewer."""
    if not isinstance(labels, Sequence | np.ndarray | None):
        raise TypeError(f"{name} must be a sequence of strings, got {kind(labels)}")
    names = [str(label) for label in (range(count) if labels is None else labels)]
    if len(names) != count:
        got = f"got {len(names)}: {names}"
        raise ValueError(f"{name} must be {count}, one for each row or column, {got}")
    return names
