"""Do the tests bite? Break the code on purpose, one place at a time, and see each caught: `python tests/mutations`.

Each mutation is made in a copy of the checkout, where the tests named with it are then run. It is caught if they
fail. It ends with an error if one survives, or if a text that is to be replaced is not there exactly once.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

from mutation import Mutation
from of_edges import OF_EDGES
from of_forms import OF_FORMS
from of_hard_pairs import OF_HARD_PAIRS
from of_points import OF_POINTS

ROOT = pathlib.Path(__file__).parents[2]
COPIED = ("jaxgmm", "tests", "README.md", "pyproject.toml")
SECONDS = 600


def outcome(mutation: Mutation) -> str:
    """ "caught", "survived" or "broken", which is a mutation that cannot be judged."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = pathlib.Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, checkout / name)
        if not mutation.apply(checkout):
            return "broken"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-m", "", *mutation.arguments]
        try:
            result = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return "caught"  # it hangs, which the suite's time limit sees as well
    # 2: the tests cannot even be collected, as they build mixtures for their parameters.
    return {0: "survived", 1: "caught", 2: "caught"}.get(result.returncode, "broken")


def main() -> None:
    parser = argparse.ArgumentParser(prog="mutations", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="mutations whose description contains this")
    parser.add_argument("--jobs", type=int, default=2, help="how many to judge side by side")
    arguments = parser.parse_args()
    chosen = [mutation for mutation in OF_POINTS + OF_FORMS + OF_EDGES + OF_HARD_PAIRS if arguments.only in mutation.description]
    counts = dict.fromkeys(("caught", "survived", "broken"), 0)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for mutation, result in zip(chosen, pool.map(outcome, chosen), strict=True):
            counts[result] += 1
            print(f"{result:10s}{mutation.file:32s}{mutation.description}", flush=True)
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    sys.exit(counts["caught"] < len(chosen))


if __name__ == "__main__":
    main()
