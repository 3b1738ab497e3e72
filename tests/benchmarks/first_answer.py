"""The first answer of the command `compare` in a new process, and where its seconds go."""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

COMMAND = ["compare", "a.csv", "b.csv", "-k", "2", "--permutations", "0"]
RECIPE = """
import numpy as np
from sklearn.mixture import GaussianMixture
x, y = (np.loadtxt(path, delimiter=",", skiprows=1) for path in ("a.csv", "b.csv"))
p, q = (GaussianMixture(2, n_init=10, random_state=0).fit(rows) for rows in (x, y))
x, y = p.sample(100_000)[0], q.sample(100_000)[0]
kl = (p.score_samples(x) - q.score_samples(x)).mean()
of_p = np.logaddexp(0, q.score_samples(x) - p.score_samples(x)).mean()
of_q = np.logaddexp(0, p.score_samples(y) - q.score_samples(y)).mean()
print(kl, np.log(2) - of_p / 2 - of_q / 2)
"""
# It prints the seconds of imports, and of each stage of the compilation of each program.
TABLE = """
import atexit, collections, sys, time
start = time.perf_counter()
import jax, jax.numpy
of_jax = time.perf_counter() - start
from jaxgmm._cli import commands, parser
of_jaxgmm = time.perf_counter() - start - of_jax
STAGES = {"trace": "jaxpr_trace", "lower": "jaxpr_to_mlir_module", "XLA": "backend_compile"}
seconds = collections.defaultdict(lambda: dict.fromkeys(STAGES, 0.0))
def note(event, duration, fun_name="", **others):
    for stage, name in STAGES.items():
        if event.endswith(f"{name}_duration"):
            seconds[fun_name.removeprefix("jit(").removesuffix(")")][stage] += duration
jax.monitoring.register_event_duration_secs_listener(note)
def table():
    total = time.perf_counter() - start
    print(f"{'seconds':24s}" + "".join(f"{stage:>8s}" for stage in STAGES))
    for name, of in sorted(seconds.items(), key=lambda row: -sum(row[1].values())):
        print(f"{name:24.24s}" + "".join(f"{value:8.2f}" for value in of.values()))
    sums = [sum(of[stage] for of in seconds.values()) for stage in STAGES]
    print(f"{'all programs':24s}" + "".join(f"{value:8.2f}" for value in sums))
    print(f"import jax {of_jax:.2f}, jaxgmm {of_jaxgmm:.2f}; all {total:.2f}")
atexit.register(table)
parser.run()
"""


def timed(command: list[str], folder: str) -> tuple[float, float, str]:
    """The CPU and wall seconds of a process, and its output."""
    root = str(pathlib.Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "XDG_CACHE_HOME": folder}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
        timeout=500,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start, done.stdout


def first_answer(rounds: int) -> None:
    """Print medians of processes that take turns, their ratios to the recipe, and the table."""
    ways = {
        "the recipe": ["-c", RECIPE],
        "nothing kept": ["-m", "jaxgmm", *COMMAND, "--no-cache"],
        "programs kept": ["-m", "jaxgmm", *COMMAND],
    }
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for name, shift in (("a.csv", 0.0), ("b.csv", 0.3)):
            centres = np.array([[0.0, 0.0], [4.0, 1.0]])[rng.integers(2, size=400)] + shift
            rows = centres + rng.normal(size=(400, 2))
            np.savetxt(f"{folder}/{name}", rows, delimiter=",", header="x,y", comments="")
        timed(ways["programs kept"], folder)
        seconds = {name: [] for name in ways}
        for _ in range(rounds):
            for name, command in ways.items():
                seconds[name].append(timed(command, folder)[:2])
        medians = {name: np.median(of, axis=0) for name, of in seconds.items()}
        print(f"{'':16s}{'CPU s':>8s}{'wall s':>8s}{'CPU':>8s}{'wall':>8s} of the recipe's")
        for name, (cpu, wall) in medians.items():
            ratios = cpu / medians["the recipe"][0], wall / medians["the recipe"][1]
            print(f"{name:16s}{cpu:8.2f}{wall:8.2f}{ratios[0]:8.2f}{ratios[1]:8.2f}")
        for more in (["--no-cache"], []):
            print(f"\n{' '.join(['jaxgmm', *COMMAND, *more])}")
            print(timed(["-c", TABLE, *COMMAND, *more], folder)[2])
