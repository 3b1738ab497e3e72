"""The parameters of a mixture, and derivatives of an oracle in each of them."""

import dataclasses
import functools

import numpy as np

from jaxgmm import GMM
from oracles import dense, differences

LEAVES = tuple(field.name for field in dataclasses.fields(GMM))


def unconstrained(p: GMM) -> dict:
    leaves = {name: getattr(p, name) for name in LEAVES}
    return {name: leaf if leaf is None else np.asarray(leaf) for name, leaf in leaves.items()}


def gradient_of(truth, leaves_p: dict, leaves_q: dict, side: int) -> dict:
    """Differences of an oracle in each leaf of p (side 0) or of q (side 1)."""

    def value(name, leaf):
        leaves = [dict(leaves_p), dict(leaves_q)]
        leaves[side][name] = leaf
        return truth(*(dense.from_unconstrained(**one) for one in leaves))

    moved = {name: leaf for name, leaf in (leaves_p, leaves_q)[side].items() if leaf is not None}
    return {
        name: differences.gradient(functools.partial(value, name), leaf)
        for name, leaf in moved.items()
    }
