"""KL and JS by jaxgmm against the classical recipe, at the same number of points: `python
tests/benchmarks`.

The figure of merit is work, time x variance: what it costs to reach a given standard error. Times
are medians of runs that take turns, after compilation, and every ratio is of times in this run;
"cold" is a whole process, import and compilation included, and "cached" the same with JAX's
compilation cache on disk.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform

import jax
from em import em
from first_answer import first_answer
from many import many
from pairs import PAIRS
from studies import batch_lengths, fitting, growth, one_size, reductions
from two_samples import samples
from variational import variational
from work import measure


def machine() -> str:
    versions = f"Python {platform.python_version()}, JAX {jax.__version__}, float32"
    return f"{os.cpu_count()} cores, {platform.machine()}, {versions}"


def plot(rows: dict[str, dict[str, float]], path: pathlib.Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 0.4 * len(rows) + 1.2), layout="constrained")
    axes.barh(list(rows)[::-1], [row["work"] for row in list(rows.values())[::-1]], color="0.4")
    axes.set(
        xscale="log",
        xlabel="work of the classical recipe, over that of jaxgmm, for the same standard error",
    )
    axes.axvline(1, color="k", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


FLAGS = {
    "growth": "also time and memory as n, K and D grow",
    "fitting": "also a step of fit, and mixture reduction on real data",
    "cold": "only the first answer of the command, and where its seconds go",
    "em": "only fit_em against scikit-learn: a step, and 10 starts",
    "many": "only all pairs of many mixtures, beside loops over other libraries",
    "variational": "only variational inference on targets of known evidence, beside NumPyro",
    "reductions": "also what each variance reduction brings, and costs",
    "batches": "also times by the length of a batch",
}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--points", type=int, default=100_000, help="points of each run (100,000)")
    add("--rounds", type=int, default=5, help="timed runs of each (5)")
    add("--seed", type=int, default=0, help="another draw of all pairs (0)")
    add("--only", default="", help="pairs whose name contains this")
    for name, text in FLAGS.items():
        add(f"--{name}", action="store_true", help=text)
    add("--mixtures", type=int, default=400, help="the mixtures of --many (400)")
    text = "only studies of two_sample_test, with this share of all pairs (1: hours)"
    add("--samples", type=float, default=0, help=text)
    text = "a folder for the table as JSON, and a plot if matplotlib is there"
    add("--output", type=pathlib.Path, help=text)
    add("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(only: str, points: int, rounds: int, seed: int) -> dict[str, dict[str, float]]:
    """The row of every pair whose name contains `only`, printed as it is done."""
    print(f"{machine()}; {points:,} points")
    rows = {}
    for name in PAIRS:
        if only in name:
            rows[name] = measure(name, points, rounds, seed)
            if len(rows) == 1:
                print(f"{'':22s}" + "".join(f"{column:>11s}" for column in rows[name]))
            print(
                f"{name:22s}" + "".join(f"{value:11.4g}" for value in rows[name].values()),
                flush=True,
            )
    return rows


def main() -> None:
    arguments = parsed()
    if arguments.size:
        one_size(*arguments.size)
        return
    if arguments.cold:
        first_answer(arguments.rounds)
        return
    if arguments.em:
        em(arguments.rounds)
        return
    if arguments.many:
        many(arguments.mixtures)
        return
    if arguments.variational:
        variational(arguments.only)
        return
    if arguments.samples:
        samples(arguments.samples)
        return
    rows = measured(arguments.only, arguments.points, arguments.rounds, arguments.seed)
    if arguments.growth:
        growth()
    if arguments.fitting:
        fitting(arguments.rounds)
    if arguments.reductions:
        reductions(arguments.points, arguments.rounds)
    if arguments.batches:
        batch_lengths(arguments.points, arguments.rounds)
    if arguments.output:
        write(rows, arguments.output)


def write(rows: dict[str, dict[str, float]], folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), "pairs": rows}, indent=2)
    (folder / "work.json").write_text(text)
    if importlib.util.find_spec("matplotlib"):
        plot(rows, folder / "work.png")


if __name__ == "__main__":
    main()
