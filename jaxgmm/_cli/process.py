"""What a process of the command sets before JAX starts."""

import argparse
import contextlib
import os
import warnings
from importlib.metadata import version

# XLA ends a process with a flag that it does not know, so others get none.
KNOW_FLAGS = ("0.9", "0.10")
# A command compiles a few programs once. These take half the time, and run as fast.
FLAGS = "--xla_cpu_use_fusion_emitters=false"
# With little work, optimising them takes longer than it saves.
UNOPTIMISED = " --xla_backend_optimization_level=0"
LITTLE = 2**23  # bytes of the files, times the number of permutations


def prepared(arguments: argparse.Namespace) -> None:
    """Let JAX keep its programs for the next time, and compile them fast."""
    if version("jaxlib").rpartition(".")[0] in KNOW_FLAGS:
        files = [arguments.a, arguments.b] if arguments.run == "compare" else []
        num_bytes = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
        is_little = files and num_bytes * max(1, arguments.permutations) < LITTLE
        flags = FLAGS + UNOPTIMISED if is_little else FLAGS
        # The user's come last.
        os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}"
    if arguments.cache:
        from jaxgmm.io import keep_compiled_programs

        warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation cache")
        with contextlib.suppress(OSError, RuntimeError):  # it goes on without a folder
            keep_compiled_programs()
