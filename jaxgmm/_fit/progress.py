"""How far a long computation is, told to a function of the user or by a bar of tqdm."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgmm._validation.checks import quoted
from jaxgmm.interop._mixtures import imported


def checked_progress(name: str, value: Any) -> Any:
    if not (callable(value) or isinstance(value, bool | np.bool_)):
        raise TypeError(f"{name} must be True, False or a function, got {quoted(value)}")
    return value


def reporter(progress: Any, total: int, unit: str) -> Callable[..., Any]:
    """A function of the arguments for progress, how much is done, and numbers for a tqdm bar."""
    if callable(progress):
        return lambda told, done, **numbers: progress(*told)
    if not progress:
        return lambda told, done, **numbers: None
    bar = imported("tqdm.auto", "progress=True", "tqdm", "progress").tqdm(total=total, unit=unit)

    def draw(told: Any, done: int, **numbers: str) -> None:
        bar.update(done - bar.n)
        bar.set_postfix(numbers)
        if done == total:
            bar.close()

    return draw
