"""The command line as a process of its own."""

import importlib
import json
import os
import signal
import subprocess
import sys
import tomllib

import jax
import pytest

import jaxgmm
from jaxgmm._cli import parser
from support.mixtures import PAIRS, gmm
from support.paths import ROOT

pytestmark = pytest.mark.usefixtures("saved_files")


@pytest.mark.smoke
def test_the_console_script():
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "jaxgmm"
    ].split(":")
    assert getattr(importlib.import_module(module), function) is parser.run


def start(*arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "jaxgmm", *arguments]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


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
