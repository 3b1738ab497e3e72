"""Pictures of results: losses, errors against numbers of points, and matrices of divergences."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from jaxgmm._expectation.estimate import estimate
from jaxgmm._fit.loop import FitResult
from jaxgmm._mixture.gmm import GMM
from jaxgmm._quadrature.monte_carlo import MonteCarlo
from jaxgmm._quadrature.rule import Rule
from jaxgmm._quadrature.sobol import Sobol
from jaxgmm._samples.result import TwoSampleResult
from jaxgmm._validation import checks
from jaxgmm.plot import _drawing
from jaxgmm.plot._drawing import COLORS, MARKERS, checked_labels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULES: Mapping[str, Callable[[int], Rule]] = {"Monte Carlo": MonteCarlo, "Sobol'": Sobol}
MOST_WRITTEN = 16  # rows or columns of a matrix whose values are written
SIZES = (2**8, 2**10, 2**12, 2**14, 2**16)


def losses(result: FitResult[Any], ax: "Axes | None" = None) -> "Axes":
    """Axes with the loss at each step of a fit, and its running mean over 1/50 of the steps.

    Args:
      result: the result of `jaxgmm.fit`, or a stack of results from `jax.vmap`. The losses of each
        are drawn, and the running mean of the one with the lowest last loss.
      ax: the axes to draw on; None makes a new figure.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError: result is not a `jaxgmm.FitResult`, or ax is not Axes.
      ValueError: the fit took no step.

    Example:
      >>> import jax, jaxgmm, optax
      >>> descent = optax.sgd(0.1)
      >>> result = jaxgmm.fit(jax.random.key(0), lambda k, x: (x - 1) ** 2, 0.0, descent, 50)
      >>> print(losses(result).get_ylabel())
      loss (nats)
    """
    _check_type(result, FitResult, "jaxgmm.fit")
    _drawing.check_drawable(result=result)
    curves = np.atleast_2d(np.asarray(result.losses, float))
    if not curves.size:
        raise ValueError("result has no losses: its fit took no step")
    ax = _drawing.axes(ax)
    for i, curve in enumerate(curves):
        ax.plot(curve, color="0.7", linewidth=0.8, label="_" * (i > 0) + "each step")
    best = curves[np.nan_to_num(curves[:, -1], nan=np.inf).argmin()]
    window = max(1, best.size // 50)
    means = np.convolve(best, np.full(window, 1 / window), "valid")
    steps = np.arange(window - 1, best.size)
    ax.plot(steps, means, color=COLORS[0], linewidth=2, label=f"mean of {window} steps")
    ax.set(xlabel="step", ylabel="loss (nats)")
    ax.legend()
    return ax


def convergence(
    divergence: Callable[..., Any],
    key: Array,
    p: GMM,
    q: GMM | None = None,
    rules: Mapping[str, Callable[[int], Rule]] = RULES,
    sizes: Sequence[int] = SIZES,
    ax: "Axes | None" = None,
    *,
    num_replicates: int = 16,
    **options: Any,
) -> "Axes":
    """Axes with the standard error of a divergence against the number of points, for each rule.

    Two straight lines show the rates :math:`n^{-1/2}` and :math:`n^{-1}` for comparison.

    Args:
      divergence: a scalar function of (key, p, q, rule) or (key, p, rule), as `jaxgmm.entropy`.
      key: a random key.
      p, q: mixtures in one space; q is None for a divergence of one.
      rules: a mapping from names to functions of the number of points that return a rule.
      sizes: the numbers of points n. Each of them compiles another program.
      ax: the axes to draw on; None makes a new figure.
      num_replicates: the number of runs for each standard error; with 16, it is accurate to 20 %.
      options: further keyword arguments of divergence.

    Returns:
      The axes, both logarithmic. The standard error is that of one run, in nats.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError: rules is no mapping of names, sizes no sequence of integers, or ax no Axes.
      ValueError: a rule is deterministic and has no standard error.
      TypeError, ValueError, FloatingPointError: as in `jaxgmm.estimate`.

    Example:
      >>> import jax, jaxgmm
      >>> p = GMM.from_moments([0.5, 0.5], [[0.0], [2.0]], [1.0, 1.0], "spherical")
      >>> q = GMM.from_moments([0.5, 0.5], [[0.0], [3.0]], [1.0, 2.0], "spherical")
      >>> rules = {"Sobol": jaxgmm.Sobol}
      >>> ax = convergence(jaxgmm.kl_divergence, jax.random.key(0), p, q, rules, (64, 256))
      >>> print([text.get_text() for text in ax.get_legend().get_texts()])
      ['Sobol', '$n^{-1/2}$', '$n^{-1}$']
    """
    _drawing.check_axes(ax)
    n = np.array(_checked_sizes(rules, sizes), float)
    mixtures = (p,) if q is None else (p, q)
    _drawing.check_drawable(key=key, p=p, q=q)

    def error(rule: Rule) -> float:
        result = estimate(
            divergence, key, *mixtures, rule=rule, num_replicates=num_replicates, **options
        )
        return math.sqrt(num_replicates) * float(result.standard_error)

    errors = [[error(rule(int(size))) for size in n] for rule in rules.values()]
    ax = _drawing.axes(ax)
    for i, name in enumerate(rules):
        ax.loglog(n, errors[i], label=name, marker=MARKERS[i % len(MARKERS)], **style(i))
    for exponent, label in ((-0.5, "$n^{-1/2}$"), (-1.0, "$n^{-1}$")):
        guide = np.max(errors, axis=0)[0] * (n / n[0]) ** exponent
        ax.loglog(n, guide, color="0.6", linestyle=":", linewidth=-2 * exponent, label=label)
    ax.set(xlabel="points $n$", ylabel="standard error of one run (nats)")
    ax.legend()
    return ax


def _checked_sizes(rules: Any, sizes: Any) -> list[int]:
    checks.check_static("rules", rules)
    checks.check_static("sizes", sizes)
    if not (isinstance(rules, Mapping) and rules):
        needed = "map names to functions of n, such as {'Sobol': jaxgmm.Sobol}"
        raise TypeError(f"rules must {needed}, got {checks.quoted(rules)}")
    if not (isinstance(sizes, Sequence | np.ndarray) and len(sizes)):
        needed = "a sequence of integers, such as (256, 1024)"
        raise TypeError(f"sizes must be {needed}, got {checks.quoted(sizes)}")
    return [checks.checked_int("sizes", size) for size in sizes]


def pairwise(
    matrix: ArrayLike,
    labels: Sequence[str] | None = None,
    ax: "Axes | None" = None,
    *,
    column_labels: Sequence[str] | None = None,
    unit: str = "nats",
) -> "Axes":
    """Axes with a colour map of a matrix of divergences, and the values of up to 16 rows on it.

    A new figure is as large as its labels need. On given axes only labels that fit are written.

    Args:
      matrix: (N, M), such as the result of `jaxgmm.pairwise`.
      labels: N names of the rows; None counts from 0.
      ax: the axes to draw on; None makes a new figure.
      column_labels: M names of the columns; None is the labels of the rows if N = M, else numbers.
      unit: the label of the colour bar; "" for a divergence without a unit.

    Returns:
      The axes. A colour bar stands beside them.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError: matrix is not an array of real numbers, or ax is not Axes.
      TypeError: labels or column_labels is not a sequence of strings, or unit is not a string.
      ValueError: matrix is not a finite array (N, M), or the labels are not N or M in number.

    Example:
      >>> ax = pairwise([[0.0, 0.25], [0.25, 0.0]], ["May", "June"])
      >>> print([text.get_text() for text in ax.texts])
      ['0', '0.25', '0.25', '0']
    """
    _drawing.check_drawable(matrix=matrix)
    values = checks.finite_array("matrix", matrix)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"matrix must have shape (N, M), got {values.shape}")
    rows = checked_labels("labels", labels, len(values))
    same = column_labels is None and values.shape[0] == values.shape[1]
    columns = rows if same else checked_labels("column_labels", column_labels, values.shape[1])
    checks.check_text("unit", unit)
    count = max(values.shape)
    side = count * (0.17 if count > MOST_WRITTEN else 0.45)
    ax = _drawing.axes(ax, (2.4 + side, 1.4 + side) if count > 8 else None)
    image = ax.imshow(values, cmap="cividis")
    size = min(10.0, 110 / count)
    middle = 0.45 * values.min() + 0.55 * values.max()
    for (i, j), value in np.ndenumerate(values) if count <= MOST_WRITTEN else ():
        color = "white" if value <= middle else "black"
        ax.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=size, color=color)
    _write_labels(ax, rows, columns)
    ax.figure.colorbar(image, ax=ax, label=unit)
    return ax


def _write_labels(ax: "Axes", rows: list[str], columns: list[str]) -> None:
    """Write the labels of rows and columns, or those of every few where not all fit."""
    count = max(len(rows), len(columns))
    size = 10 if count <= 8 else 7
    # A letter of 7 points needs a tenth of an inch.
    width, height = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted()).size
    step = max(1, math.ceil(count * 0.1 / max(min(width, height), 0.1)))
    upright = max(map(len, columns)) * len(columns) > 10 * width
    at = range(0, len(columns), step)
    ax.set_xticks(at, columns[::step], rotation=90 if upright else 0, fontsize=size)
    ax.set_yticks(range(0, len(rows), step), rows[::step], fontsize=size)


def two_samples(result: TwoSampleResult, ax: "Axes | None" = None) -> "Axes":
    """Axes with a divergence of two samples above its range by chance, and so for each column.

    A grey bar holds 95 % of what permuted rows give. A filled dot is more than chance, by a p value
    of at most 0.05, and an open one is not. The p values stand to the right.

    Args:
      result: the result of `jaxgmm.two_sample_test`.
      ax: the axes to draw on; None makes a new figure.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError: result is not a `jaxgmm.TwoSampleResult`, or ax is not Axes.
      ValueError: result has no permutations, and so no chance to compare with.

    Example:
      >>> import jax, jaxgmm
      >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 1)) + np.array([[[0]], [[2]]])
      >>> result = jaxgmm.two_sample_test(jax.random.key(0), x, y, 1, num_bootstrap=0)
      >>> print(two_samples(result).get_xlabel())
      JS (nats)
    """
    _check_type(result, TwoSampleResult, "jaxgmm.two_sample_test")
    if result.p_value is None:
        raise ValueError("result has no chance: test with num_permutations of at least 1")
    rows = {"all columns": (result.value, *result.chance_range, result.p_value)}
    for name, column in (result.by_column or {}).items():
        rows[f"{name} alone"] = column.alone, *column.chance_range, column.p_value
    ax = _drawing.axes(ax, (6.4, 1.2 + 0.35 * len(rows)))
    for y, (value, low, high, p_value) in enumerate(rows.values()):
        ax.plot([low, high], [y, y], color="0.75", linewidth=8, solid_capstyle="butt")
        color = COLORS[0] if p_value <= 0.05 else "white"
        ax.plot(value, y, "o", color=COLORS[0], markerfacecolor=color)
        ax.text(1.02, y, f"p = {p_value:.2g}", va="center", transform=ax.get_yaxis_transform())
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel=f"{result.divergence} (nats)", ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlim(left=min(0, ax.get_xlim()[0]))
    ax.lines[0].set_label("by chance (95 %)")
    ax.lines[1].set_label("as found")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return ax


def _check_type(result: Any, expected: type, function: str) -> None:
    if not isinstance(result, expected):
        raise TypeError(f"result must be what {function} returns, got {checks.kind(result)}")
