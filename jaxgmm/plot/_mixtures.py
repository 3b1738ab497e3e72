"""Pictures of one mixture or two, on the line and in the plane."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import check_text
from jaxgmm.plot import _drawing
from jaxgmm.plot._drawing import COLORS, SHADES, log_densities, nodes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JS_INTEGRAND = r"$\frac{1}{2}\,[p \log(p/m) + q \log(q/m)]$"


def densities(p: GMM, q: GMM | None = None, ax: "Axes | None" = None) -> "Axes":
    """The densities of one or two mixtures on the line.

    Args:
      p: a mixture in one dimension.
      q: another one, dashed.
      ax: where to draw; None: on a new figure.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError, ValueError: a mixture is not finite, or has more than one dimension; ax is not Axes.

    Example:
      >>> p = GMM.from_moments([0.3, 0.7], [[-1.0], [2.0]], [0.5, 1.0], "spherical")
      >>> ax = densities(p)
      >>> print(ax.get_xlabel(), ax.get_ylabel())
      $x$ density
    """
    mixtures = _drawing.given(p, q)
    _drawing.check_dims(1, mixtures)
    ax, x = _drawing.axes(ax), nodes(list(mixtures.values()))
    for i, (name, gmm) in enumerate(mixtures.items()):
        ax.plot(x, np.exp(log_densities(gmm, x)), label=f"${name}$", **style(i))
    ax.set(xlabel="$x$", ylabel="density")
    ax.legend()
    return ax


def integrand(p: GMM, q: GMM, divergence: str = "kl", ax: "Axes | None" = None) -> "Axes":
    r"""What is integrated over the line for a divergence: the area, less that below 0, is the divergence.

    .. math:: KL(p \| q) = \int p (\log p - \log q) \, dx, \quad
              JS(p, q) = \int \tfrac12 p (\log p - \log m) + \tfrac12 q (\log q - \log m) \, dx

    Args:
      p: a mixture in one dimension.
      q: the other one.
      divergence: "kl" or "js".
      ax: where to draw; None: on a new figure.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError, ValueError: a mixture is not finite, or has more than one dimension; divergence is neither; ax is not Axes.

    Example:
      >>> from scipy.integrate import trapezoid
      >>> p = GMM.from_moments([1.0], [[-1.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0]], [1.0], "spherical")
      >>> curve = integrand(p, q).lines[0]
      >>> print(f"{trapezoid(curve.get_ydata(), curve.get_xdata()):.2f}")  # KL is 2 nats
      2.00
    """
    _drawing.check_dims(1, {"p": p, "q": q})
    check_text("divergence", divergence)
    if divergence not in ("kl", "js"):
        raise ValueError(f"divergence must be 'kl' or 'js', got {divergence!r}")
    ax, x = _drawing.axes(ax), nodes([p, q])
    log_p, log_q = log_densities(p, x), log_densities(q, x)
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    kl = np.exp(log_p) * (log_p - log_q)
    js = 0.5 * np.exp(log_p) * (log_p - log_m) + 0.5 * np.exp(log_q) * (log_q - log_m)
    y, name = (kl, r"$p\,(\log p - \log q)$") if divergence == "kl" else (js, JS_INTEGRAND)
    ax.plot(x, y, color="black", linewidth=1)
    ax.fill_between(x, y, where=y >= 0, interpolate=True, color=SHADES[1], label="adds")
    if (y < 0).any():
        hatched = ax.fill_between(
            x, y, where=y <= 0, interpolate=True, facecolor="white", label="takes away"
        )
        hatched.set(edgecolor=COLORS[1], hatch="////", linewidth=0)
        ax.legend()
    ax.set(xlabel="$x$", ylabel=f"{name} (nats per unit of $x$)")
    return ax


def contours(p: GMM, q: GMM | None = None, ax: "Axes | None" = None) -> "Axes":
    """The smallest regions of the plane that hold 50, 80 and 95 % of each mixture: those of p filled, those of q dashed.

    Args:
      p: a mixture in two dimensions.
      q: another one.
      ax: where to draw; None: on a new figure.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError, ValueError: a mixture is not finite, or not in two dimensions; ax is not Axes.

    Example:
      >>> p = GMM.from_moments([0.4, 0.6], [[0.0, 0.0], [3.0, 1.0]], [1.0, 2.0], "spherical")
      >>> print(contours(p).get_legend().get_title().get_text())
      50, 80 and 95 % of
    """
    mixtures = _drawing.given(p, q)
    _drawing.check_dims(2, mixtures)
    ax, (x, y) = _drawing.axes(ax), _drawing.grid(list(mixtures.values()))
    handles = [_filled_regions(ax, x, y, p), *([] if q is None else [_dashed_regions(ax, x, y, q)])]
    ax.legend(handles=handles, title="50, 80 and 95 % of")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    return ax


def _filled_regions(ax: "Axes", x: np.ndarray, y: np.ndarray, p: GMM) -> Any:
    from matplotlib.patches import Patch

    density = np.exp(log_densities(p, x, y))
    levels = _drawing.region_levels(density, x, y)
    ax.contourf(x, y, density, levels=[*levels, 2 * density.max()], colors=SHADES)
    ax.contour(x, y, density, levels=levels, colors=COLORS[0], linewidths=0.8)
    return Patch(facecolor=SHADES[1], edgecolor=COLORS[0], label="$p$")


def _dashed_regions(ax: "Axes", x: np.ndarray, y: np.ndarray, q: GMM) -> Any:
    from matplotlib.lines import Line2D

    density = np.exp(log_densities(q, x, y))
    levels = _drawing.region_levels(density, x, y)
    ax.contour(
        x, y, density, levels=levels, colors=COLORS[1], linestyles="--", linewidths=(1.0, 1.5, 2.0)
    )
    return Line2D([], [], label="$q$", **style(1))


def ellipses(gmm: GMM, ax: "Axes | None" = None, **patch: Any) -> "Axes":
    r"""The components of a mixture in the plane: ellipses at 1 and 2 standard deviations, the heavier the more they weigh.

    .. math:: (x - \mu_k)^T \Sigma_k^{-1} (x - \mu_k) = r^2, \quad r = 1, 2

    Args:
      gmm: a mixture in two dimensions; components without weight are left out.
      ax: where to draw, on `contours` say; None: on a new figure.
      patch: what matplotlib's Ellipse takes, such as ``edgecolor`` and ``linestyle``.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError, ValueError: gmm is not a finite mixture in two dimensions; ax is not Axes.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 0.0]], [[4.0, 1.0]], "diag")
      >>> print([float(ellipse.width.round(3)) for ellipse in ellipses(p).patches])  # the diameters along an axis
      [4.0, 8.0]
    """
    _drawing.check_dims(2, {"gmm": gmm})
    ax, weights = _drawing.axes(ax), np.asarray(gmm.weights)
    from matplotlib.patches import Ellipse

    for k in np.flatnonzero(weights > 0):
        (x, y), share = np.asarray(gmm.means[k], float), weights[k] / weights.max()
        directions, radii, _ = np.linalg.svd(
            np.asarray(gmm.scale_tril[k], float)
        )  # radii^2: eigenvalues of the covariance
        angle = math.degrees(math.atan2(directions[1, 0], directions[0, 0]))
        line = {"fill": False, "edgecolor": COLORS[0], "linewidth": 0.5 + 2 * share} | patch
        for r in (1, 2):
            ax.add_patch(Ellipse((x, y), 2 * r * radii[0], 2 * r * radii[1], angle=angle, **line))
        ax.plot(x, y, marker="+", color=line["edgecolor"], markersize=4 + 6 * share)
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    return ax


def log_ratio(p: GMM, q: GMM, ax: "Axes | None" = None) -> "Axes":
    r"""The field of :math:`\log p - \log q` over the plane, whose mean under p is KL(p || q): blue where p is denser.

    The colours end where 99 % of the midpoint of p and q lie; lines are labelled, dashed below 0.

    Args:
      p: a mixture in two dimensions.
      q: the other one.
      ax: where to draw; None: on a new figure.

    Returns:
      The axes; a bar of colours stands beside them.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError, ValueError: a mixture is not finite, or not in two dimensions; ax is not Axes.

    Example:
      >>> p = GMM.from_moments([1.0], [[0.0, 0.0]], [1.0], "spherical")
      >>> q = GMM.from_moments([1.0], [[1.0, 0.0]], [1.0], "spherical")
      >>> print(log_ratio(p, q).get_ylabel())
      $x_2$
    """
    _drawing.check_dims(2, {"p": p, "q": q})
    ax, (x, y) = _drawing.axes(ax), _drawing.grid([p, q])
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    log_p, log_q = log_densities(p, x, y), log_densities(q, x, y)
    mass = np.exp(np.logaddexp(log_p, log_q)) * _drawing.cells(x, y)
    limit = float(_drawing.quantiles(np.abs(log_p - log_q), mass, (0.99,))[0]) or 1.0
    levels = np.asarray(MaxNLocator(8, symmetric=True).tick_values(-limit, limit))
    shades = colormaps["RdBu"](
        np.linspace(0.15, 0.85, len(levels) + 1)
    )  # short of the dark ends, where no line can be read
    field = ax.contourf(x, y, log_p - log_q, levels=levels, colors=shades, extend="both")
    lines = ax.contour(
        x,
        y,
        log_p - log_q,
        levels=levels,
        colors="black",
        linewidths=np.where(levels == 0, 2.0, 0.6),
    )
    ax.clabel(lines, fontsize="small")
    ax.figure.colorbar(field, ax=ax, label=r"$\log p - \log q$ (nats)")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    return ax
