"""The matrix of a divergence between all pairs of many mixtures."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.combine import stack
from jaxgmm._mixture.gmm import GMM
from jaxgmm._mixture.validation import Mixtures, one_space
from jaxgmm._quadrature.rule import Rule, RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Flag, Key, PositiveInt, function_of
from jaxgmm._validation.validated_jit import Check, declared_by, validated_jit


def _divergence(name: str, divergence: Any) -> Any:
    """The divergence, or an error unless it is a function with its key and rule unbound."""
    function_of("two mixtures, such as jaxgmm.js_divergence").function(name, divergence)
    bound = getattr(divergence, "keywords", {})  # of a functools.partial
    if "rule" in bound or "key" in bound:
        raise ValueError(f"{name} binds a key or a rule by functools.partial; pass it to pairwise")
    return divergence


DivergenceArg = Annotated[Callable[..., Any], Check(_divergence, static=True)]


@validated_jit(one_space)
def pairwise(
    divergence: DivergenceArg,
    key: Key,
    gmms: Mixtures,
    others: Mixtures | None = None,
    rule: RuleArg = DEFAULT_RULE,
    *,
    symmetric: Flag | None = None,
    batch_size: PositiveInt = 8,
) -> Any:
    r"""The matrix :math:`d_{ij} = D(p_i, q_j)` of a divergence between all pairs of many mixtures.

    It is one compiled program. All pairs share one key, so that differences between entries are
    less noisy than the entries.

    Args:
      divergence: a function of (key, p, q, rule), such as `js_divergence`, or of (p, q), such as
        `kl_bounds`. Bind further arguments by a `functools.partial` that you keep, as each new one
        compiles anew.
      key: a random key; None with a divergence or a rule that draws nothing.
      gmms: N mixtures, which may differ in components and covariance type, or a `stack` of them.
      others: M mixtures for the columns, or None for gmms.
      rule: the points, for a divergence that takes a rule.
      symmetric: whether D(p, q) = D(q, p), so that one order suffices unless others are given.
        None means True for the symmetric divergences of this package.
      batch_size: how many pairs are computed at a time. A large device needs more to be busy.

    Returns:
      (N, M), or a pytree of such matrices for a divergence that returns one, such as bounds.

    Raises:
      TypeError: an argument has the wrong type.
      ValueError: divergence binds a key or a rule by `functools.partial`, or batch_size is below 1.
      ValueError: gmms or others is empty or not finite, or mixtures differ in dimension.
      ValueError: key is None and the rule draws at random.

    Example:
      >>> import jaxgmm
      >>> gmms = [GMM.from_moments([1], [[m]], [1], "spherical") for m in (0.0, 1.0, 3.0)]
      >>> print(pairwise(jaxgmm.kl_divergence, jax.random.key(0), gmms).round(2) + 0)
      [[0.  0.5 4.5]
       [0.5 0.  2. ]
       [4.5 2.  0. ]]
    """
    rows = stack(gmms)
    columns = rows if others is None else stack(others)
    shape = (len(rows.loc), len(columns.loc))
    of_pair = between(divergence, key, rule)
    if symmetric is None:
        symmetric = declared_by(divergence).symmetric and _is_scalar(of_pair, rows)
    is_mirrored = others is None and symmetric
    i, j = np.triu_indices(shape[0]) if is_mirrored else map(np.ravel, np.indices(shape))

    def entry(pair: Array) -> Any:
        p = jax.tree.map(lambda leaf: leaf[pair[0]], rows)
        return of_pair(p, jax.tree.map(lambda leaf: leaf[pair[1]], columns))

    # The first pairs fill up the last batch, as a shorter one would compile a second loop.
    size = min(batch_size, len(i))
    pairs = np.resize(np.stack([i, j], 1), (-(-len(i) // size) * size, 2))
    values = jax.lax.map(entry, jnp.asarray(pairs), batch_size=size)
    place = np.zeros(shape, int)
    place[i, j] = np.arange(len(i))
    if is_mirrored:
        place = np.maximum(place, place.T)
    return jax.tree.map(lambda value: value[place], values)


def between(
    divergence: Callable[..., Any], key: Array | None, rule: Rule
) -> Callable[[GMM, GMM], Any]:
    """The divergence as a function of two mixtures, with this key and rule if it takes them."""
    parameters = inspect.signature(divergence).parameters
    named = {"rule": rule} if "rule" in parameters else {}
    if "key" not in parameters:
        return lambda p, q: divergence(p, q, **named)
    # A clone tells JAX's search for keys used twice that all pairs share one on purpose.
    return lambda p, q: divergence(None if key is None else jax.random.clone(key), p, q, **named)


def _is_scalar(of_pair: Callable[[GMM, GMM], Any], gmms: GMM) -> bool:
    """Whether values are numbers. An array, such as a transport plan, may change as p, q swap."""
    first = jax.tree.map(lambda leaf: leaf[0], gmms)
    return all(leaf.ndim == 0 for leaf in jax.tree.leaves(jax.eval_shape(of_pair, first, first)))
