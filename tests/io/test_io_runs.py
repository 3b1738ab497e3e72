"""Fits that go on from a file, however they ended."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgmm
from support.mixtures import PAIRS, gmm
from support.paths import ROOT
from support.trees import assert_same

P, Q = (gmm(mixture) for mixture in PAIRS["plane"])


@pytest.mark.long
def test_killed_while_writing(tmp_path):
    """Two mixtures in turn: at whatever moment the writer is killed, one of them is there."""
    for name, mixture in (("p", P), ("q", Q)):
        jaxgmm.save(tmp_path / name, mixture)
    program = """
import itertools, jax, jaxgmm
jax.config.update("jax_enable_x64", True)
mixtures = [jaxgmm.load("p"), jaxgmm.load("q")]
for mixture in itertools.cycle(mixtures):
    jaxgmm.save("target", mixture)
"""
    for pause in np.random.default_rng(0).uniform(0, 0.2, 5):
        (tmp_path / "target").unlink(missing_ok=True)
        killed_when(program, [], tmp_path, tmp_path / "target", pause)
        loaded = jaxgmm.load(tmp_path / "target")
        assert_same(loaded, P if np.array_equal(loaded.logits, P.logits) else Q)


def killed_when(
    program: str, arguments: list[str], folder: pathlib.Path, path: pathlib.Path, pause: float
) -> int:
    """The exit status of a program that is killed that long after the file is first written anew,
    if it still runs.
    """
    before = path.stat().st_mtime_ns if path.exists() else None
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments], cwd=folder, env=environment
    )
    while process.poll() is None and (path.stat().st_mtime_ns if path.exists() else None) == before:
        time.sleep(0.01)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    return process.wait(60)


RUN = """
import os, sys, jax, jaxgmm, optax
path, num_steps = sys.argv[1], int(sys.argv[2])
key = jax.random.key(0)
p = jaxgmm.GMM.from_moments([0.4, 0.6], [[-2.0], [2.0]], [[0.5], [1.0]], "diag")
q = jaxgmm.GMM.from_moments([0.5, 0.5], [[-1.0], [1.0]], [[1.0], [1.0]], "diag")
optimizer = optax.chain(optax.add_noise(1e-2, 0.5, key=jax.random.key(1)), optax.adam(1e-3))
loss = jaxgmm.forward_kl_loss(p, jaxgmm.MonteCarlo(1000))
start = jaxgmm.fit(key, loss, q, optimizer, num_steps=0)
if os.path.exists(path):
    start = jaxgmm.load(path, like=start)
left = num_steps - len(start.losses)
jaxgmm.fit(key, loss, start, optimizer, left, progress=lambda result: jaxgmm.save(path, result))
"""


@pytest.mark.long
def test_a_run_that_is_killed_goes_on(tmp_path):
    """Killed again and again, and gone on with each time, it ends as the unbroken run does, bit for
    bit.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    steps = "12000"
    subprocess.run(
        [sys.executable, "-c", RUN, "whole.npz", steps], cwd=tmp_path, env=environment, check=True
    )
    statuses = [
        killed_when(
            RUN, ["broken.npz", steps], tmp_path, tmp_path / "broken.npz", random.uniform(0, 0.2)
        )
        for _ in range(3)
    ]
    assert statuses == [-signal.SIGKILL] * 3
    with np.load(tmp_path / "broken.npz") as file:
        assert 0 < len(file["leaves.losses"]) < int(steps)
    subprocess.run(
        [sys.executable, "-c", RUN, "broken.npz", steps], cwd=tmp_path, env=environment, check=True
    )
    assert (tmp_path / "broken.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_fit_goes_on_from_a_file(tmp_path, key):
    """The idiom of the guide, within one process: stopped in between, it equals the unbroken run
    bit for bit.
    """
    path, optimizer = tmp_path / "run.npz", optax.sgd(1e-3, momentum=0.9)
    whole = jaxgmm.fit(key, noisy_square, jnp.ones(3), optimizer, 250)
    start = jaxgmm.fit(key, noisy_square, jnp.ones(3), optimizer, num_steps=0)
    assert start.losses.shape == (0,)
    jaxgmm.fit(
        key,
        noisy_square,
        jnp.ones(3),
        optimizer,
        200,
        progress=lambda result: jaxgmm.save(path, result),
    )
    saved = jaxgmm.load(path, like=start)
    assert saved.losses.shape == (200,)
    assert_same(jaxgmm.fit(key, noisy_square, saved, optimizer, 50), whole)
    other = jaxgmm.fit(key, noisy_square, jnp.ones(3), optax.sgd(1e-3), num_steps=0)
    with pytest.raises(
        ValueError, match=re.escape("where the file has leaves.state.optimizer[0].trace: float64, ")
    ):
        jaxgmm.load(path, like=other)


def noisy_square(key, x):
    return ((x - jax.random.normal(key, x.shape, x.dtype)) ** 2).sum()
