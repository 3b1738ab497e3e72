"""The README and the pages of the guide with their blocks of code, and all that is public."""

import pathlib
import re
import types

import numpy as np

import jaxgmm
from support.paths import ROOT

README = ROOT / "README.md"
GUIDE = sorted((ROOT / "notebooks" / "guide").glob("*.md"))
PUBLIC = {
    name: getattr(jaxgmm, name)
    for name in dir(jaxgmm)
    if name[0] != "_" and not isinstance(getattr(jaxgmm, name), types.ModuleType)
}
PUBLIC |= {f"plot.{name}": value for name, value in vars(jaxgmm.plot).items() if name[0] != "_"}
# Which are not built by hand.
RESULTS = ("Divergences", "Estimate", "FitResult", "Column", "DriftResult", "TwoSampleResult")
RESULTS += ("EMResult", "ComponentTable", "ImportanceWeights")
NUMBER = r"-?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?"


def blocks(language: str, page: pathlib.Path = README) -> list[str]:
    """The blocks of a page in this language, in order."""
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: pathlib.Path = README) -> list[str]:
    """The blocks that run the command."""
    return [block for block in blocks("sh", page) if block.startswith("jaxgmm ")]


def differences(printed: str, promised: str) -> list[str]:
    """In words, how a block of output on a page differs from what is printed.

    Its text must stand there; its numbers may be off by 2 %, or by 0.02, as random streams differ.
    """
    parts = re.split(f"({NUMBER})", " ".join(promised.split()))
    pattern = "".join(f"({NUMBER})" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    pairs = [
        list(zip(parts[1::2], found.groups(), strict=True))
        for found in re.finditer(pattern, " ".join(printed.split()))
    ]
    if not pairs:
        return [f"nothing like this is printed: {promised}"]
    return min(
        ([f"{one} is {other}" for one, other in each if is_far(one, other)] for each in pairs),
        key=len,
    )


def is_far(one: str, other: str) -> bool:
    try:
        x, y = (float(text.replace(",", "")) for text in (one, other))
    except ValueError:  # a version
        return one != other
    return abs(x - y) > 0.02 + 0.02 * abs(x)


def write_wines(folder: pathlib.Path) -> None:
    """The files x.csv and y.csv of the README: alcohol and colour of wines of two cultivars."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    for name, cultivar in (("x.csv", 0), ("y.csv", 1)):
        rows = wine.data[wine.target == cultivar][:, [0, 9]]
        np.savetxt(folder / name, rows, delimiter=",", header="alcohol,colour", comments="")
