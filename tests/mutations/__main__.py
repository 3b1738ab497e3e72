"""Do the tests bite? `python tests/mutations` breaks the code in one place after another.

Each mutation is made in a copy of the checkout, where the tests named with it are then run. It is
caught if they fail. The command ends with an error if one survives, or if one cannot be judged as
its function, or the expression that is to be replaced, is not there exactly once.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from edges import EDGES
from matching import Broken, scopes_of
from mutation import Mutation
from two_samples import SAMPLES

from divergence import DIVERGENCE
from expectation import EXPECTATION
from fit import FIT
from mixture import MIXTURE
from numerics import NUMERICS
from quadrature import QUADRATURE
from validation import VALIDATION

ROOT = pathlib.Path(__file__).parents[2]
COPIED = ("jaxgmm", "tests", "README.md", "pyproject.toml")
SECONDS = 600
MUTATIONS = NUMERICS + QUADRATURE + MIXTURE + EXPECTATION + DIVERGENCE + FIT + EDGES
MUTATIONS += SAMPLES + VALIDATION


def judged(mutation: Mutation) -> tuple[str, float]:
    """It is "caught", it has "survived" or it is "broken: why"; the number is that of seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        checkout = pathlib.Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, checkout / name)
        try:
            path, text = mutation.mutated(scopes_of(checkout / "jaxgmm"))
            (checkout / "jaxgmm" / path).write_text(text)
            result = tested(checkout, mutation.arguments(checkout))
        except Broken as error:
            result = f"broken: {error}"
    return result, time.monotonic() - start


def tested(checkout: pathlib.Path, arguments: list[str]) -> str:
    """It runs tests in a checkout, and says what they say of it."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-m", "", *arguments]
    try:
        code = subprocess.run(
            command, cwd=checkout, capture_output=True, timeout=SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        return "caught"  # it hangs, which the suite's time limit sees as well
    # 2: the tests cannot even be collected, as they build mixtures for their parameters.
    named = {0: "survived", 1: "caught", 2: "caught", 5: "broken: no test is selected"}
    return named.get(code, f"broken: pytest ends with {code}")


def check(mutations: list[Mutation]) -> int:
    """It prints the mutations that do not apply, and why, and returns how many those are."""
    scopes, broken = scopes_of(ROOT / "jaxgmm"), 0
    for mutation in mutations:
        try:
            mutation.mutated(scopes)
            mutation.arguments(ROOT)
        except Broken as error:
            broken += 1
            print(f"{mutation.description}\n  {error}")
    print(f"{len(mutations) - broken} apply, {broken} do not")
    return broken


def run(mutations: list[Mutation], jobs: int) -> int:
    """It prints a table of what becomes of the mutations, and returns how many are not caught."""
    counts = dict.fromkeys(("caught", "survived", "broken"), 0)
    print(f"{'outcome':10}{'function':34}{'description':54}seconds")
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for mutation, (result, seconds) in zip(mutations, pool.map(judged, mutations), strict=True):
            outcome, _, why = result.partition(": ")
            counts[outcome] += 1
            row = f"{outcome:10}{mutation.function:34}{mutation.description:54}{seconds:7.1f}"
            print(row, flush=True)
            if why:
                print(f"  {why}")
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    return len(mutations) - counts["caught"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="mutations", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="those whose function or description has this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every N-th of those")
    parser.add_argument("--jobs", type=int, default=2, help="how many to judge side by side")
    parser.add_argument("--check", action="store_true", help="say which do not apply; no tests")
    arguments = parser.parse_args()
    named = [m for m in MUTATIONS if arguments.only in f"{m.function}\n{m.description}"]
    chosen = named[:: max(arguments.every, 1)]
    if not chosen:
        parser.error(f"no mutation has {arguments.only!r}")
    sys.exit(bool(check(chosen) if arguments.check else run(chosen, arguments.jobs)))


if __name__ == "__main__":
    main()
