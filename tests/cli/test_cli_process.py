"""The command line as a process of its own."""

import argparse
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import tomllib

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm._cli import parser, process
from jaxgmm._cli.process import prepared
from support.mixtures import PAIRS, POINTS, gmm
from support.paths import ROOT

pytestmark = pytest.mark.usefixtures("saved_files")


@pytest.mark.smoke
def test_the_console_script():
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "jaxgmm"
    ].split(":")
    assert getattr(importlib.import_module(module), function) is parser.run


def start(*arguments: str, program: str | None = None, **variables: str) -> subprocess.Popen:
    """The command, or a program that runs it, as a process with a folder of caches of its own."""
    own = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}
    environment = {**os.environ, **own, "XDG_CACHE_HOME": os.path.abspath("caches"), **variables}
    how = ["-m", "jaxgmm"] if program is None else ["-c", program]
    command = [sys.executable, *how, *arguments]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(process: subprocess.Popen) -> list[str]:
    """The lines of its output. It says nothing beside that but that it is still at work."""
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, [e for e in errors.splitlines() if e[-3:] != "..."]) == (0, [])
    return output.splitlines()


# It prints the number of programs that were compiled, and of those that were kept before.
COUNTED = """
import atexit, jax, sys
from jaxgmm._cli import parser
counts = {"backend_compile_duration": 0, "cache_retrieval_time_sec": 0}
def count(event, duration, **others):
    name = event.split("/")[-1]
    counts.update({name: counts[name] + 1} if name in counts else {})
jax.monitoring.register_event_duration_secs_listener(count)
atexit.register(lambda: print(*counts.values()))
parser.run()
"""
L2 = ("compare", "a.npz", "b.npz", "-d", "l2")


def test_programs_are_kept():
    """A second process compiles none, two at once agree, and damaged files do no harm."""
    first, second = (start(*L2, program=COUNTED) for _ in range(2))
    *expected, counts = finished(first)
    assert finished(second)[:-1] == expected
    assert counts.split()[0] != "0"
    *lines, counts = finished(start(*L2, program=COUNTED))
    compiled, kept = counts.split()
    assert (lines, compiled) == (expected, kept)
    (folder,) = pathlib.Path("caches/jaxgmm").iterdir()
    for path in folder.glob("*-cache"):
        path.write_bytes(b"damaged")
    assert finished(start(*L2)) == expected


@pytest.mark.parametrize(
    ("more", "variables"),
    [
        (["--no-cache"], {}),
        ([], {"XDG_CACHE_HOME": "/dev/null"}),
        pytest.param([], {"XDG_CACHE_HOME": "", "HOME": "/dev/null"}, marks=pytest.mark.long),
    ],
)
def test_without_a_folder_of_caches(more, variables):
    """It goes on without a word."""
    assert finished(start(*L2, *more, **variables))[2].startswith("L2(A, B)")
    assert not os.path.exists("caches")


def test_few_programs_are_compiled():
    """As each takes longer to compile than the whole computation."""
    for name in ("x.csv", "y.csv"):
        np.savetxt(name, POINTS, delimiter=",")
    tables = ("compare", "x.csv", "y.csv", "-k", "1", "--permutations", "0")
    compiled, _ = finished(start(*tables, program=COUNTED))[-1].split()
    assert int(compiled) <= 16


def test_an_interrupt_in_the_first_second():
    program = "from jaxgmm._cli import parser; print('ready'); parser.run()"
    process = start("compare", "a.npz", "b.npz", program=program)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, output, errors) == (130, "", "jaxgmm: interrupted\n")


@pytest.mark.parametrize(("num_bytes", "is_little"), [(1000, True), (10**5, False)])
def test_flags_of_the_compiler(num_bytes, is_little, monkeypatch):
    """Little work is not optimised, and what the user sets comes last."""
    monkeypatch.setenv("XLA_FLAGS", "--mine")
    pathlib.Path("t").write_bytes(b"x" * num_bytes)
    of = {"run": "compare", "a": "t", "b": "none", "permutations": 100, "cache": False}
    prepared(argparse.Namespace(**of))
    *ours, last = os.environ["XLA_FLAGS"].split()
    assert last == "--mine"
    assert ("--xla_backend_optimization_level=0" in ours) == is_little


def test_an_unknown_compiler_gets_no_flags(monkeypatch):
    """As it would end the process."""
    monkeypatch.setattr(process, "version", lambda name: "0.99.1")
    monkeypatch.setenv("XLA_FLAGS", "--mine")
    prepared(argparse.Namespace(run="compare", cache=False))
    assert os.environ["XLA_FLAGS"] == "--mine"


def test_as_a_process():
    """Where JAX is as a user has it, without float64 until the command asks for it."""
    process = start("compare", "a.npz", "b.npz", "-d", "l2", "--json")
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, errors.replace("jaxgmm: computing L2(A, B) ...\n", "")) == (0, "")
    with jax.enable_x64(True):
        exact = float(
            jaxgmm.l2_distance(
                gmm(PAIRS["overlapping"][0]),
                jax.tree.map(lambda leaf: leaf.astype(float), jaxgmm.load("b.npz")),
            )
        )
    assert json.loads(output)["results"][0]["value"] == pytest.approx(exact, rel=1e-12)


@pytest.mark.long
def test_a_process_that_is_interrupted():
    process = start("compare", "a.npz", "b.npz", "--rtol", "1e-12")
    assert process.stderr.readline() == "jaxgmm: computing KL(A || B) ...\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, output) == (130, "")
    assert errors.splitlines()[-1] == "jaxgmm: interrupted"
    assert "Traceback" not in errors
