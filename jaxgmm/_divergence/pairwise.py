"""The matrix of a divergence between all pairs of many mixtures."""

import inspect
import math
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
    batch_size: PositiveInt = 16,
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
      batch_size: how many pairs are computed at a time, at most. A large device needs more to be
        busy.

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
    # In a tile, what depends on one mixture alone is computed once for its row or column. But p is
    # rounded unlike q there, and a mean of log p - log q is to be 0 at p = q.
    if "key" in inspect.signature(divergence).parameters:
        of_batch = jax.vmap(of_pair)
        i, j = places = _batches(shape, batch_size, is_mirrored)
    else:
        of_batch = jax.vmap(jax.vmap(of_pair, (None, 0)), (0, None))
        i, j = _tiles(shape, batch_size, is_mirrored)
        places = i[:, :, None], j[:, None]

    def of_indices(indices: tuple[Array, Array]) -> Any:
        p = jax.tree.map(lambda leaf: leaf[indices[0]], rows)
        return of_batch(p, jax.tree.map(lambda leaf: leaf[indices[1]], columns))

    values = jax.lax.map(of_indices, (jnp.asarray(i), jnp.asarray(j)))
    computed = np.broadcast(*places)
    place = np.zeros(shape, int)
    place[places] = np.arange(computed.size).reshape(computed.shape)
    if is_mirrored:
        place = np.where(np.tri(*shape, -1, dtype=bool), place.T, place)
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[computed.ndim :])[place], values)


def _batches(shape: tuple[int, int], size: int, is_mirrored: bool) -> tuple[np.ndarray, ...]:
    """Rows and columns (n, size or less) of all pairs, or of those in the upper half."""
    i, j = np.triu_indices(shape[0]) if is_mirrored else map(np.ravel, np.indices(shape))
    # The first pairs fill up the last batch, as a shorter one would compile a second loop.
    size = min(size, len(i))
    return tuple(np.resize(index, (-(-len(i) // size), size)) for index in (i, j))


def _tiles(shape: tuple[int, int], size: int, is_mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, a) and columns (n, b) of tiles a b <= size of the matrix, or of its upper half."""
    a = min(math.isqrt(size), shape[0])
    sides = a, min(size // a, shape[1])
    rows, columns = (
        np.resize(np.arange(count), (-(-count // side), side))
        for count, side in zip(shape, sides, strict=True)
    )
    i, j = np.indices((len(rows), len(columns))).reshape(2, -1)
    kept = (not is_mirrored) | (rows[i, 0] <= columns[j].max(1))
    return rows[i[kept]], columns[j[kept]]


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
