"""Many devices: eight in one process, and two processes that hold one each."""

import socket
import subprocess
import sys
import textwrap
import time

import pytest

PROGRAM = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count={devices}"
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
{start}
import jaxgmm

rng = np.random.default_rng(0)
def mixture(k, d):
    weights, means = rng.dirichlet(np.full(k, 5)), rng.normal(size=(k, d))
    return jaxgmm.GMM.from_moments(weights, means, rng.uniform(0.5, 2, (k, d)), "diag")

assert jax.device_count() == {total}
p, q = mixture(5, 6), mixture(3, 6)
key = jax.random.key(0)
meshes = [jax.make_mesh(shape, axes) for shape, axes in {meshes}]
def of(mesh, rule):
    kl = lambda p, q: jaxgmm.kl_divergence(key, p, q, rule, mesh=mesh)
    return jax.value_and_grad(kl, argnums=(0, 1))(p, q)
for rule in (jaxgmm.Sobol(2**13), jaxgmm.MonteCarlo(20_000)):
    for mesh in meshes:
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        jax.tree.map(close, of(None, rule), of(mesh, rule))
fn = lambda x: dict(mean=x, norm=(x * x).sum(1))
moments = jax.jit(lambda mesh: jaxgmm.expectation(key, p, fn, mesh=mesh), static_argnums=0)
close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10)
jax.tree.map(close, moments(None), moments(meshes[-1]))
alone, together = (
    jaxgmm.estimate(jaxgmm.js_divergence, key, p, q, num_replicates=2, mesh=mesh)
    for mesh in (None, meshes[-1])
)
np.testing.assert_allclose(alone.value, together.value, rtol=1e-10)
print("agreed")
"""


def start(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_eight_devices_agree_with_one():
    meshes = [((8,), ("points",)), ((2, 4), ("a", "b"))]
    process = start(PROGRAM.format(devices=8, total=8, start="", meshes=meshes))
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == "agreed"


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.long
def test_two_processes_agree_with_one():
    rank = "int(sys.argv[1])"
    join = f"jax.distributed.initialize({free_address()!r}, num_processes=2, process_id={rank})"
    program = PROGRAM.format(devices=1, total=2, start=join, meshes=[((2,), ("points",))])
    processes = [start(program, str(rank)) for rank in range(2)]
    outputs = [process.communicate(timeout=250) for process in processes]
    for process, (out, err) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == "agreed"


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_ends_the_others(victim):
    """In the middle of an expectation of some minutes, within a minute: by an error, and not by an
    answer.
    """
    program = f"""
    import sys, jax, jaxgmm
    rank = int(sys.argv[1])
    jax.distributed.initialize(
        {free_address()!r}, num_processes=2, process_id=rank, heartbeat_timeout_seconds=20
    )
    means = ([[-1.0], [place]] for place in (0.0, 1.0))
    p, q = (jaxgmm.GMM.from_moments([0.3, 0.7], m, [[1.0], [2.0]], "diag") for m in means)
    key, mesh = jax.random.key(0), jax.make_mesh((2,), ("points",))
    def of(n):
        jaxgmm.js_divergence(key, p, q, jaxgmm.MonteCarlo(n), mesh=mesh).block_until_ready()
    of(1000)
    print("ready", flush=True)
    of(2**31 - 1)
    print("answer", flush=True)
    """
    with start(program, "0") as first, start(program, "1") as second:
        try:
            for process in (first, second):
                assert "ready\n" in process.stdout  # after what the transport says of itself
            time.sleep(3)
            dead, alive = (first, second)[:: -1 if victim else 1]
            dead.kill()
            out, err = alive.communicate(timeout=60)
        finally:
            first.kill()
            second.kill()
    assert alive.returncode != 0
    assert "answer" not in out
    assert "another task died" in err
