"""Pictures of one or two mixtures on the line and in the plane."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import check_text, quoted
from jaxgmm.plot import _drawing
from jaxgmm.plot._drawing import COLORS, LINE_STYLES, SHADES, log_densities, nodes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JS_INTEGRAND = r"$\frac{1}{2}\,[p \log(p/m) + q \log(q/m)]$"


def densities(
    p: GMM,
    q: GMM | None = None,
    ax: "Axes | None" = None,
    *,
    labels: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    dims: Sequence[int] | None = None,
) -> "Axes":
    """Axes with the densities of one or two mixtures on the line.

    Args:
      p, q: mixtures in one dimension. The line of q is dashed; None leaves it out.
      ax: the axes to draw on; None makes a new figure.
      labels: the names of p and of q.
      columns: the names of all coordinates.
      dims: the coordinates to draw; None draws all.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError: p or q is not a GMM, or ax is not Axes.
      ValueError: p or q is not a finite mixture in one dimension.

    Example:
      >>> p = GMM.from_moments([0.3, 0.7], [[-1.0], [2.0]], [0.5, 1.0], "spherical")
      >>> ax = densities(p)
      >>> print(ax.get_xlabel(), ax.get_ylabel())
      $x$ density
    """
    given = {"p": p} if q is None else {"p": p, "q": q}
    mixtures, names, (column,) = _drawing.named(1, given, labels, columns, dims)
    ax = _drawing.axes(ax)
    x = nodes(mixtures)
    for i, (name, gmm) in enumerate(zip(names, mixtures, strict=True)):
        ax.plot(x, np.exp(log_densities(gmm, x)), label=name, **style(i))
    ax.set(xlabel=column, ylabel="density")
    ax.legend()
    return ax


def integrand(
    p: GMM,
    q: GMM,
    divergence: str = "kl",
    ax: "Axes | None" = None,
    *,
    labels: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    dims: Sequence[int] | None = None,
) -> "Axes":
    r"""Axes with the integrand of a divergence on the line, whose signed area is the divergence.

    .. math:: KL(p \| q) = \int p (\log p - \log q) \, dx, \quad m = \tfrac12 p + \tfrac12 q, \quad
              JS(p, q) = \int \tfrac12 p (\log p - \log m) + \tfrac12 q (\log q - \log m) \, dx

    Args:
      p, q: mixtures in one dimension.
      divergence: "kl" or "js".
      ax, labels, columns, dims: as in `densities`. With labels, the title names p and q.

    Returns:
      The axes. The unit of the integrand is nats per unit of x.

    Raises:
      ImportError, TypeError, ValueError: as in `densities`.
      TypeError, ValueError: divergence is neither "kl" nor "js".

    Example:
      >>> from scipy.integrate import trapezoid
      >>> p = GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> curve = integrand(p, q).lines[0]
      >>> print(f"{trapezoid(curve.get_ydata(), curve.get_xdata()):.2f}")  # KL is 2 nats
      2.00
    """
    (p, q), names, (column,) = _drawing.named(1, {"p": p, "q": q}, labels, columns, dims)
    check_text("divergence", divergence)
    if divergence not in ("kl", "js"):
        raise ValueError(f"divergence must be 'kl' or 'js', got {quoted(divergence)}")
    ax = _drawing.axes(ax)
    x = nodes([p, q])
    log_p, log_q = log_densities(p, x), log_densities(q, x)
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    kl = np.exp(log_p) * (log_p - log_q)
    js = 0.5 * np.exp(log_p) * (log_p - log_m) + 0.5 * np.exp(log_q) * (log_q - log_m)
    y, name = (kl, r"$p\,(\log p - \log q)$") if divergence == "kl" else (js, JS_INTEGRAND)
    ax.plot(x, y, color="black", linewidth=1)
    ax.fill_between(x, y, where=y >= 0, interpolate=True, color=SHADES[1], label="adds")
    if (y < 0).any():
        hatched = ax.fill_between(x, y, where=y <= 0, interpolate=True, label="takes away")
        hatched.set(facecolor="white", edgecolor=COLORS[1], hatch="////", linewidth=0)
        ax.legend()
    if labels is not None:
        ax.set_title(f"$p$: {names[0]}, $q$: {names[1]}")
    ax.set(xlabel=column, ylabel=f"{name} (nats per unit of {column})")
    return ax


def contours(
    p: GMM,
    q: GMM | None = None,
    ax: "Axes | None" = None,
    *,
    labels: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    dims: Sequence[int] | None = None,
) -> "Axes":
    """Axes with the smallest regions of the plane that hold 50, 80 and 95 % of each mixture.

    Args:
      p, q: mixtures in two dimensions. Regions of p are filled, and those of q are dashed lines.
      ax, labels, columns, dims: as in `densities`.

    Returns:
      The axes.

    Raises:
      ImportError, TypeError, ValueError: as in `densities`, but for two dimensions.

    Example:
      >>> p = GMM.from_moments([0.4, 0.6], [[0.0, 0.0], [3.0, 1.0]], [1.0, 2.0], "spherical")
      >>> print(contours(p).get_legend().get_title().get_text())
      50, 80 and 95 % of
    """
    given = {"p": p} if q is None else {"p": p, "q": q}
    mixtures, names, axes = _drawing.named(2, given, labels, columns, dims)
    ax = _drawing.axes(ax)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    x, y = (nodes(mixtures, dim, 3.3) for dim in (0, 1))
    handles: list[Any] = []
    for i, (gmm, name) in enumerate(zip(mixtures, names, strict=True)):
        density = np.exp(log_densities(gmm, x, y))
        mass = density * np.outer(np.gradient(y), np.gradient(x))
        outside = (0.05, 0.2, 0.5)  # the shares of the mass below each level
        levels = np.unique(np.quantile(density, outside, weights=mass, method="inverted_cdf"))
        if i == 0:
            ax.contourf(x, y, density, levels=[*levels, 2 * density.max()], colors=SHADES)
            handles.append(Patch(facecolor=SHADES[1], edgecolor=COLORS[0], label=name))
        else:
            handles.append(Line2D([], [], label=name, **style(1)))
        width = 0.8 if i == 0 else (1.0, 1.5, 2.0)
        dash = LINE_STYLES[i]
        ax.contour(x, y, density, levels, colors=COLORS[i], linestyles=dash, linewidths=width)
    ax.legend(handles=handles, title="50, 80 and 95 % of")
    ax.set(xlabel=axes[0], ylabel=axes[1])
    return ax


def ellipses(
    gmm: GMM,
    ax: "Axes | None" = None,
    *,
    columns: Sequence[str] | None = None,
    dims: Sequence[int] | None = None,
    **patch: Any,
) -> "Axes":
    r"""Axes with ellipses at 1 and 2 standard deviations of each component in the plane.

    .. math:: (x - \mu_k)^T \Sigma_k^{-1} (x - \mu_k) = r^2, \quad r = 1, 2

    Lines are thicker for larger weights, and components without weight are not drawn.

    Args:
      gmm: a mixture in two dimensions.
      ax: the axes to draw on, such as those of `contours`; None makes a new figure.
      columns, dims: as in `densities`.
      patch: keyword arguments of matplotlib's ``Ellipse``, such as ``edgecolor``.

    Returns:
      The axes.

    Raises:
      ImportError, TypeError, ValueError: as in `contours`.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 0.0]], [[4.0, 1.0]], "diag")
      >>> print([float(ellipse.width.round(3)) for ellipse in ellipses(p).patches])
      [4.0, 8.0]
    """
    (gmm,), _, names = _drawing.named(2, {"gmm": gmm}, None, columns, dims)
    ax = _drawing.axes(ax)
    from matplotlib.patches import Ellipse

    weights = np.asarray(gmm.weights)
    for k in np.flatnonzero(weights > 0):
        x, y = np.asarray(gmm.means[k], float)
        share = weights[k] / weights.max()
        # The squares of the radii are the eigenvalues of the covariance.
        directions, radii, _ = np.linalg.svd(np.asarray(gmm.scale_tril[k], float))
        angle = math.degrees(math.atan2(directions[1, 0], directions[0, 0]))
        line = {"fill": False, "edgecolor": COLORS[0], "linewidth": 0.5 + 2 * share} | patch
        for r in (1, 2):
            ax.add_patch(Ellipse((x, y), 2 * r * radii[0], 2 * r * radii[1], angle=angle, **line))
        ax.plot(x, y, marker="+", color=line["edgecolor"], markersize=4 + 6 * share)
    if columns is not None or not ax.get_xlabel():  # as contours may have named them
        ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def log_ratio(
    p: GMM,
    q: GMM,
    ax: "Axes | None" = None,
    *,
    labels: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    dims: Sequence[int] | None = None,
) -> "Axes":
    r"""Axes with a map of :math:`\log p - \log q` over the plane, whose mean under p is KL(p || q).

    The map is blue where p is denser. Its contour lines are labelled, and dashed below 0. The range
    of colours covers 99 % of the mass of the midpoint of p and q.

    Args:
      p, q: mixtures in two dimensions.
      ax, labels, columns, dims: as in `densities`.

    Returns:
      The axes. A colour bar in nats stands beside them.

    Raises:
      ImportError, TypeError, ValueError: as in `contours`.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0, 0.0]], [1.0], "spherical")
      >>> print(log_ratio(p, q).get_ylabel())
      $x_{2}$
    """
    (p, q), names, axes = _drawing.named(2, {"p": p, "q": q}, labels, columns, dims)
    ax = _drawing.axes(ax)
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    x, y = (nodes([p, q], dim, 3.3) for dim in (0, 1))
    log_p, log_q = log_densities(p, x, y), log_densities(q, x, y)
    ratio = log_p - log_q
    mass = np.exp(np.logaddexp(log_p, log_q)) * np.outer(np.gradient(y), np.gradient(x))
    limit = np.quantile(np.abs(ratio), 0.99, weights=mass, method="inverted_cdf") or 1.0
    levels = np.asarray(MaxNLocator(8, symmetric=True).tick_values(-limit, limit))
    # Black lines and labels could not be read on the dark ends of the colour map.
    shades = colormaps["RdBu"](np.linspace(0.15, 0.85, len(levels) + 1))
    field = ax.contourf(x, y, ratio, levels=levels, colors=shades, extend="both")
    widths = np.where(levels == 0, 2.0, 0.6)
    lines = ax.contour(x, y, ratio, levels=levels, colors="black", linewidths=widths)
    ax.clabel(lines, fontsize="small")
    ax.figure.colorbar(field, ax=ax, label=f"log {names[0]} - log {names[1]} (nats)")
    ax.set(xlabel=axes[0], ylabel=axes[1])
    return ax
