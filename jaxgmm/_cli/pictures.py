"""The picture of two mixtures."""

import os

import jaxgmm
from jaxgmm._cli.report import say
from jaxgmm._mixture.gmm import GMM
from jaxgmm.interop._mixtures import imported


def check_picture(path: str) -> None:
    """Raise unless a picture can be saved to this path."""
    backend = imported("matplotlib.backend_bases", "--plot", "matplotlib", "plot")
    known = backend.FigureCanvasBase.get_supported_filetypes()
    ending = os.path.splitext(path)[1].removeprefix(".").lower()
    if ending and ending not in known:
        raise ValueError(f"--plot {path}: {ending!r} is no format of pictures: {', '.join(known)}")
    if not os.path.isdir(os.path.dirname(path) or ".") or os.path.isdir(path):
        raise ValueError(f"--plot {path}: there is no such folder, or it is a folder itself")


def draw(path: str, mixtures: dict[str, GMM], names: list[str], title: str) -> None:
    """Save a picture of both mixtures, on the line or in the plane of the first two columns."""
    figure = imported("matplotlib.figure", "--plot", "matplotlib", "plot").Figure(
        layout="constrained"
    )
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)
    a, b = mixtures.values()
    if a.num_dims > 2:
        say(f"{path} shows the first two of {a.num_dims} coordinates")
    picture = jaxgmm.plot.densities if a.num_dims == 1 else jaxgmm.plot.contours
    columns = [name.replace("$", r"\$") for name in names] or None  # which are no formulas
    picture(a, b, ax=axes, columns=columns, dims=range(min(a.num_dims, 2)))
    figure.savefig(path)
