"""The interface of a quadrature rule: nodes and weights for N(0, I), one batch at a time."""

import dataclasses
import reprlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._validation.validated_jit import Check

Batches = tuple[int, Callable[[Array], "Batch"]]


class Batch(NamedTuple):
    """Some of the nodes of a rule, in strata of one component each."""

    component: Array
    """(s,), the component that each stratum belongs to."""
    nodes: Array
    """(s, D, b), the nodes of each stratum."""
    node_weights: Array
    """(s, b); the weights of all the nodes of one component sum to 1."""


class Rule:
    r"""A quadrature rule: :math:`E[h(\epsilon)] \approx \sum_i \omega_i h(\epsilon_i)` under N(0, I).

    A rule of your own is a hashable value, such as a frozen dataclass, that has ``batches``. As a
    subclass it inherits these defaults and is a static pytree node: it may be an argument of a
    function under `jax.jit`.

    Attributes:
      is_random: whether the nodes are drawn from the key, independently for each component.
      num_points: the points that were asked for; None: `estimate` cannot double them.
      variance_reduction: whether a divergence may use a control variate and a rotation with it.
      favours_first_coordinates: whether the first coordinates of its points are the most uniform.
    """

    is_random: bool = True
    num_points: int | None = None
    variance_reduction: bool = True
    favours_first_coordinates: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        jax.tree_util.register_static(cls)

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        """The number of batches, and the function from the index of a batch to its `Batch`.

        Args:
          key: a random key; None for a rule that draws nothing.
          weights: (K,), the weights of the mixture; nodes have their dtype. They may say how many
            nodes each component gets.
          num_dims: D.
          length: about how many nodes a batch should have.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method batches")

    def resized(self, n: int) -> "Rule":
        """The same rule with n points, for `estimate` with a tolerance."""
        raise TypeError(f"rule must have a method resized(n), so that it can grow; got {self!r}")


@dataclasses.dataclass(frozen=True, repr=False)
class _Adapted(Rule):
    """A rule that is no subclass of `Rule`, with the defaults for what it lacks."""

    given: Any
    is_random: bool
    num_points: int | None
    variance_reduction: bool
    favours_first_coordinates: bool

    def __repr__(self) -> str:
        return repr(self.given)

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        return self.given.batches(key, weights, num_dims, length)

    def resized(self, n: int) -> Rule:
        resized = self.given.resized if hasattr(self.given, "resized") else super().resized
        return checked_rule("rule", resized(n))


_CAPABILITIES = [field.name for field in dataclasses.fields(_Adapted) if field.name != "given"]


def checked_rule(name: str, rule: Any) -> Rule:
    """The rule, with every attribute of `Rule`, or an error if it is none."""
    if isinstance(rule, type) or not (hasattr(rule, "batches") and hasattr(rule, "is_random")):
        raise TypeError(
            f"{name} must be a rule such as jaxgmm.Sobol(2**14) or jaxgmm.MonteCarlo(10_000), "
            f"got {reprlib.repr(rule)}"
        )
    if type(rule).__hash__ is None:
        raise TypeError(
            f"{name} must be hashable, such as a frozen dataclass, got {reprlib.repr(rule)}"
        )
    if isinstance(rule, Rule):
        return rule
    return _Adapted(rule, *(getattr(rule, name, getattr(Rule, name)) for name in _CAPABILITIES))


RuleArg = Annotated[Rule, Check(checked_rule, static=True)]


def checked_batch(rule: Rule, batch: Any) -> Batch:
    """The batch, or an error if a rule returned something else."""
    if not isinstance(batch, Batch):
        raise TypeError(
            f"the batches of the rule {rule!r} must be jaxgmm.extend.Batch(component, nodes, "
            f"node_weights), got {type(batch).__name__}"
        )
    return batch


def split_key(key: Array | None) -> tuple[Array | None, Array | None]:
    """Two independent keys; a deterministic rule has none to split."""
    if key is None:
        return None, None
    first, second = jax.random.split(key)
    return first, second


def required_key(rule: Rule, key: Array | None) -> Array:
    """The key, or an error if there is none."""
    if key is None:
        raise ValueError(
            f"key is None, but {rule} draws at random: pass key=jax.random.key(0), say"
        )
    return key


def even_weights(counts: Array, nodes: Array) -> Array:
    """Equal weights (s, b) for nodes (s, D, b), whose components have ``counts`` (s,) strata each."""
    size = nodes.shape[-1]
    each = 1 / (size * counts.astype(nodes.dtype))
    return jnp.broadcast_to(each[:, None], (len(counts), size))
