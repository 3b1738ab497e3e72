"""Median times of functions that take turns."""

import statistics
import time
from collections.abc import Callable

import jax


def medians(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each, called in turns after one call that warms up."""
    for function in functions.values():
        jax.block_until_ready(function())
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
