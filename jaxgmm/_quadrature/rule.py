"""What a rule is: nodes and weights for the standard normal distribution, one batch at a time."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array


class Batch(NamedTuple):
    """Some of the nodes of a rule, in slots of one component each."""

    component: Array
    """(s,), the component that each slot belongs to."""
    nodes: Array
    """(s, D, b), the nodes of each slot."""
    node_weights: Array
    """(s, b); the weights of all the nodes of one component sum to 1."""


@runtime_checkable
class Rule(Protocol):
    r"""How to integrate against N(0, I) for each component: :math:`E[h(\epsilon)] \approx \sum_i \omega_i h(\epsilon_i)`.

    A rule is a hashable value; `expectation` asks for nothing but these two.

    Attributes:
      is_random: whether the nodes are drawn from the key, independently for each component.
    """

    is_random: ClassVar[bool]

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> tuple[int, Callable[[Array], Batch]]:
        """The number of batches, and the function from the index of a batch to its nodes: about ``length`` of them.

        The weights (K,) of the mixture may tell how many nodes a component deserves; nodes are of their dtype.
        """
        ...


def split_key(key: Array | None) -> tuple[Array | None, Array | None]:
    """Two independent keys; a deterministic rule has none to split."""
    if key is None:
        return None, None
    first, second = jax.random.split(key)
    return first, second


def required_key(rule: Rule, key: Array | None) -> Array:
    if key is None:
        raise ValueError(f"key is None, but {rule} draws at random: pass key=jax.random.key(0), say")
    return key


def even_weights(counts: Array, nodes: Array) -> Array:
    """Equal weights (s, b) for the nodes (s, D, b) of components that have that many (s,) such lots."""
    size = nodes.shape[-1]
    return jnp.broadcast_to(1 / (size * counts.astype(nodes.dtype))[:, None], (len(counts), size))
