"""Draw the README's picture, of the first mixtures of the guide's page on two samples: `python
tests/draw_readme.py`.
"""

import pathlib
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

import jaxgmm
from support.paths import ROOT
from support.readme import blocks

PICTURE = ROOT / "notebooks" / "pictures" / "wine.png"
STYLE = {"font.size": 9, "axes.titlesize": 9}


def first_example() -> dict[str, Any]:
    """What its names stand for after the first block of the page."""
    names: dict[str, Any] = {}
    exec(blocks("python", ROOT / "notebooks" / "guide" / "compare_two_samples.md")[0], names)
    return names


def draw() -> Figure:
    """The data with the mixtures fitted to them, and the field whose mean is their divergence."""
    names = first_example()
    p, q = names["p"], names["q"]
    kl = jaxgmm.estimate(jaxgmm.kl_divergence, names["key"], p, q)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    jaxgmm.plot.contours(p, q, left)
    for points, mark, color in ((names["X"], "o", "#0072B2"), (names["Y"], "s", "#D55E00")):
        left.plot(
            *points.T, mark, color=color, markersize=4, markeredgecolor="white", markeredgewidth=0.5
        )
    jaxgmm.plot.log_ratio(p, q, right)
    left.set_title("wines of two cultivars, and a mixture fitted to each")
    right.set_title(
        r"the mean of this under $p$: KL$(p\,\|\,q)$ = "
        rf"{kl.value:.4f} $\pm$ {kl.standard_error:.4f} nats"
    )
    for ax in (left, right):
        ax.set(xlabel="alcohol (%)", ylabel="intensity of the colour")
    return figure


def save(path: pathlib.Path = PICTURE) -> None:
    """As a PNG of few colours, which is three times smaller."""
    with matplotlib.rc_context(STYLE):
        figure = draw()
    figure.savefig(path, dpi=110)
    picture = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


if __name__ == "__main__":
    save()
    print(f"{PICTURE.name}: {PICTURE.stat().st_size:,} bytes")
