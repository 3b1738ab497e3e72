"""The interface of a quadrature rule: nodes and weights for N(0, I), one batch at a time."""

import dataclasses
import reprlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxgmm._validation.validated_jit import Check

Batches = tuple[int, Callable[[Array], "Batch"]]
"""The number of batches, and a function from the index (uint32) of a batch to the `Batch`."""


class Batch(NamedTuple):
    """Some of the nodes of a rule, in s strata of b nodes; a stratum belongs to one component."""

    component: Array
    """(s,), the component of each stratum."""
    nodes: Array
    """(s, D, b), the nodes of each stratum."""
    node_weights: Array
    """(s, b), weights that sum to 1 over all nodes of one component in all batches."""


class Rule:
    r"""A quadrature rule :math:`E[h(\epsilon)] \approx \sum_i \omega_i h(\epsilon_i)` of N(0, I).

    A rule of your own is a hashable value with a method ``batches``; a frozen dataclass is one.
    Rules that are equal share a compiled program. A subclass inherits the defaults below and is a
    static pytree node, so it may be an argument of a function under `jax.jit`. A rule of another
    class needs ``batches`` and ``is_random``, and gets the defaults for what it lacks.

    Attributes:
      is_random: whether the nodes are drawn from the key, each from N(0, I), and independently for
        each component. Such a rule needs a key, and `estimate` takes no other. Default: True.
      num_points: the number of points asked for, over all components. A rule that can grow has it
        and ``resized``, so that `estimate` can reach a tolerance. Default: None.
      variance_reduction: whether divergences may reduce variance, as for `Sobol`. Default: True.
      favours_first_coordinates: whether the first coordinates of the nodes are the most uniform.
        Otherwise a rotation gains nothing and is not made. Default: False.

    Example:
      >>> import dataclasses, jaxgmm
      >>> import jax.numpy as jnp
      >>> from jaxgmm.extend import Batch, Rule
      >>> @dataclasses.dataclass(frozen=True)
      ... class Centre(Rule):  # one node of weight 1, at the mean of each component
      ...     is_random = False
      ...     def batches(self, key, weights, num_dims, length):
      ...         k, dtype = len(weights), weights.dtype
      ...         nodes, ones = jnp.zeros((k, num_dims, 1), dtype), jnp.ones((k, 1), dtype)
      ...         return 1, lambda index: Batch(jnp.arange(k), nodes, ones)
      >>> p = jaxgmm.GMM.from_moments([0.25, 0.75], [[0.0], [4.0]], [1.0, 1.0], "spherical")
      >>> print(jaxgmm.expectation(None, p, lambda x: x, Centre()).round(2))
      [3.]
    """

    is_random: bool = True
    num_points: int | None = None
    variance_reduction: bool = True
    favours_first_coordinates: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        jax.tree_util.register_static(cls)

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        """The number of batches, and the function from the index of a batch to its ``Batch``.

        The function is traced, so all batches have the same shapes. Their order is not fixed, and a
        gradient may compute them again, so a batch depends on its index alone.

        Args:
          key: a random key; None for a rule that draws nothing.
          weights: (K,), the weights of the mixture, without derivative. The nodes have their dtype.
            They may determine how many nodes each component gets, which is at least one.
          num_dims: the dimension D.
          length: about how many nodes, over all strata, make a batch that stays in cache.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method batches")

    def resized(self, n: int) -> "Rule":
        """The same rule with n points, for `estimate` with a tolerance."""
        raise TypeError(f"rule must have a method resized(n), so that it can grow; got {self!r}")


@dataclasses.dataclass(frozen=True)
class SizedRule(Rule):
    """A rule with a total number n of points, over all components."""

    n: int

    @property
    def num_points(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.n

    def resized(self, n: int) -> Self:
        return dataclasses.replace(self, n=n)


@dataclasses.dataclass(frozen=True, repr=False)
class _Adapted(Rule):
    """A rule of a class that does not derive from `Rule`, with the defaults of `Rule`."""

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
        return checked_rule("rule", self.given.resized(n) if can_grow(self) else super().resized(n))


_CAPABILITIES = [field.name for field in dataclasses.fields(_Adapted) if field.name != "given"]


def checked_rule(name: str, rule: Any) -> Rule:
    """The rule, with every attribute of `Rule`; an error if the value is no rule."""
    if isinstance(rule, type) or not (hasattr(rule, "batches") and hasattr(rule, "is_random")):
        got = f"the class {rule.__name__}" if isinstance(rule, type) else reprlib.repr(rule)
        needed = "a rule such as jaxgmm.Sobol(2**14) or jaxgmm.MonteCarlo(10_000)"
        raise TypeError(f"{name} must be {needed}, got {got}")
    if type(rule).__hash__ is None:
        problem = f"{name} must be hashable, got {reprlib.repr(rule)}"
        raise TypeError(f"{problem}; make its class a frozen dataclass")
    if isinstance(rule, Rule):
        return rule
    return _Adapted(rule, *(getattr(rule, name, getattr(Rule, name)) for name in _CAPABILITIES))


def can_grow(rule: Rule) -> bool:
    """Whether the rule has a method ``resized`` of its own."""
    if isinstance(rule, _Adapted):
        return hasattr(rule.given, "resized")
    return type(rule).resized is not Rule.resized


RuleArg = Annotated[Rule, Check(checked_rule, static=True)]


def doubled(rule: Rule) -> Rule | None:
    """The rule with twice the points, for two mixtures in one loop; None if it cannot have them."""
    if rule.num_points is None:
        # Each component has nodes of its own, unless a random rule spreads a number of its own.
        return None if rule.is_random else rule
    return rule.resized(2 * rule.num_points) if rule.num_points < 2**30 and can_grow(rule) else None


def checked_batch(rule: Rule, batch: Any) -> Batch:
    if not isinstance(batch, Batch):
        needed = "jaxgmm.extend.Batch(component, nodes, node_weights)"
        got = type(batch).__name__
        raise TypeError(f"the batches of the rule {rule!r} must be {needed}, got {got}")
    return batch


def split_key(key: Array | None) -> tuple[Array | None, Array | None]:
    """Two independent keys; None twice for a deterministic rule, which has no key."""
    if key is None:
        return None, None
    first, second = jax.random.split(key)
    return first, second


def required_key(rule: Rule, key: Array | None) -> Array:
    if key is None:
        problem = f"key is None, but {rule} draws at random"
        raise ValueError(f"{problem}: pass key=jax.random.key(0), say")
    return key


def even_weights(counts: Array, nodes: Array) -> Array:
    """Equal weights (s, b) for nodes (s, D, b) of components with ``counts`` (s,) strata each."""
    size = nodes.shape[-1]
    each = 1 / (size * counts.astype(nodes.dtype))
    return jnp.broadcast_to(each[:, None], (len(counts), size))
