"""Cases that run by default, and cases that run with the long tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_by_default(values: Iterable[Any], number: int = 1) -> list[Any]:
    """The values, with all but the first ones marked as long."""
    return [
        pytest.param(value, marks=[pytest.mark.long] if index >= number else [])
        for index, value in enumerate(values)
    ]
