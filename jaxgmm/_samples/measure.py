"""A divergence, and what each column adds to it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._divergence.pairwise import between
from jaxgmm._mixture.algebra import selected
from jaxgmm._mixture.gmm import GMM
from jaxgmm._quadrature.rule import Batch, Batches, Rule


@dataclasses.dataclass(frozen=True)
class Measure:
    """A divergence by a rule, and if ``by_column`` what each column adds beyond the others."""

    divergence: Callable[..., Any]
    rule: Rule
    by_column: bool

    def __call__(self, key: Array, p: GMM, q: GMM) -> Array:
        """The divergence (1,), or with the columns (1 + D,)."""
        total = between(self.divergence, key, self.rule)(p, q)[None]
        return jnp.concatenate([total, self.beyond(key, p, q)]) if self.by_column else total

    def beyond(self, key: Array, p: GMM, q: GMM) -> Array:
        """The divergence less that of the marginals without each column, from the same points."""
        of_all = between(self.divergence, key, self.rule)
        if p.num_dims == 1:
            return of_all(p, q)[None]
        of_others = between(self.divergence, key, _WithoutLast(self.rule))

        def of_column(dims: Array) -> Array:  # the column comes last in dims
            joint = of_all(selected(p, dims), selected(q, dims))
            return joint - of_others(selected(p, dims[:-1]), selected(q, dims[:-1]))

        columns = np.arange(p.num_dims)
        dims = np.stack([np.append(np.delete(columns, d), d) for d in columns])
        return jax.lax.map(of_column, jnp.asarray(dims, np.int32))


@dataclasses.dataclass(frozen=True)
class _WithoutLast(Rule):
    """The nodes of a rule in one more dimension, without their last coordinate."""

    rule: Rule
    variance_reduction = False

    @property
    def num_points(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.rule.num_points

    def resized(self, n: int) -> "_WithoutLast":
        return _WithoutLast(self.rule.resized(n))

    def batches(self, key: Array | None, weights: Array, num_dims: int, length: int) -> Batches:
        num_batches, batch = self.rule.batches(key, weights, num_dims + 1, length)

        def without_last(index: Array) -> Batch:
            component, nodes, node_weights = batch(index)
            return Batch(component, nodes[:, :-1], node_weights)

        return num_batches, without_last
