"""Expectations under the midpoint m = (p + q) / 2 of two mixtures."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgmm._expectation.expectation import expectation_of_columns
from jaxgmm._expectation.variance_reduction import controlled_expectation, without_control
from jaxgmm._mixture.combine import centred, midpoint
from jaxgmm._mixture.density import log_density_of_columns
from jaxgmm._mixture.gmm import GMM, is_diagonal
from jaxgmm._quadrature.rule import Rule, doubled, split_key

T = TypeVar("T")


class Part(NamedTuple):
    """A mixture that is sampled as the midpoint, or as one half of it."""

    key: Array | None
    gmm: GMM
    rule: Rule
    side: Array  # (K,), 1 for a component of p and -1 for a component of q


def mean_under_midpoint(
    key: Array | None, p: GMM, q: GMM, fn: Callable[[Array], Array], rule: Rule, mesh: Mesh | None
) -> Array:
    """The mean under m of a scalar function of log p - log q, with rotated standard normals."""
    p, q = centred(p, q)
    log_ratio = log_ratio_of_columns(p, q)
    integrand = without_control(lambda x: fn(log_ratio(x)))

    def mean(part: Part) -> Array:
        return controlled_expectation(part.key, part.gmm, integrand, part.rule, mesh)

    return mean_of_parts(mean, parts_of_midpoint(key, p, q, rule))


def expectation_under_midpoint(
    key: Array | None, p: GMM, q: GMM, fn: Callable[[Array], T], rule: Rule, mesh: Mesh | None
) -> T:
    """The expectation under m of a function of log p - log q to a pytree."""
    p, q = centred(p, q)
    log_ratio = log_ratio_of_columns(p, q)

    def mean(part: Part) -> T:
        return expectation_of_columns(
            part.key, part.gmm, lambda x: fn(log_ratio(x)), part.rule, mesh
        )

    return mean_of_parts(mean, parts_of_midpoint(key, p, q, rule))


def log_ratio_of_columns(p: GMM, q: GMM) -> Callable[[Array], Array]:
    """Points (D, n) -> log p - log q (n,)."""
    log_p = log_density_of_columns(p)
    log_q = log_density_of_columns(q)
    return lambda x: log_p(x) - log_q(x)


def parts_of_midpoint(key: Array | None, p: GMM, q: GMM, rule: Rule) -> list[Part]:
    """The midpoint with twice the points, if one loop suffices for p and q, or else its halves."""
    of_p, of_q = jnp.ones_like(p.logits), -jnp.ones_like(q.logits)
    rule_of_both = doubled(rule)
    # A common structure would make the factors of a diagonal mixture triangles, at a cost of D^2.
    if rule_of_both is not None and is_diagonal(p) == is_diagonal(q):
        return [Part(key, midpoint(p, q), rule_of_both, jnp.concatenate([of_p, of_q]))]
    key_p, key_q = split_key(key)
    return [Part(key_p, p, rule, of_p), Part(key_q, q, rule, of_q)]


def mean_of_parts(mean: Callable[[Part], T], parts: list[Part]) -> T:
    means = [mean(part) for part in parts]
    return jax.tree.map(lambda *values: sum(values) / len(values), *means)
