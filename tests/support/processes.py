"""Programs in a process of their own."""

import subprocess
import sys
import textwrap


def run_in_a_process_of_its_own(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


MIXTURES = """
    import pathlib, re, resource
    import jax, jax.numpy as jnp, numpy as np
    import jaxgmm

    def peak_memory():
        status = pathlib.Path("/proc/self/status")
        if status.exists():  # on Linux, getrusage counts what the parent held before exec
            return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def mixture(seed, k, d):
        rng = np.random.default_rng(seed)
        factors = np.eye(d) + 0.3 * rng.normal(size=(k, d, d)) / np.sqrt(d)
        weights, means = rng.dirichlet(np.full(k, 5)), 2 * rng.normal(size=(k, d))
        return jaxgmm.GMM.from_moments(weights, means, factors @ factors.mT)
"""
