"""What a process of the command sets before JAX starts."""

import argparse
import contextlib
import os
import warnings

# Of a short computation, most of the time goes into the optimisation of its programs.
LITTLE_WORK = 2**20  # bytes of the files, times the number of permutations
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def prepared(arguments: argparse.Namespace) -> None:
    """Let JAX keep its programs for the next time, and compile them fast for little work."""
    files = [arguments.a, arguments.b] if arguments.run == "compare" else []
    num_bytes = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
    if files and num_bytes * max(1, arguments.permutations) < LITTLE_WORK:
        os.environ["XLA_FLAGS"] = f"{QUICK} {os.environ.get('XLA_FLAGS', '')}"
    if arguments.cache:
        from jaxgmm.io import keep_compiled_programs

        warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation cache")
        with contextlib.suppress(OSError, RuntimeError):  # it goes on without a folder
            keep_compiled_programs()
