"""Optimal transport that moves each component as a whole."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._mixture.components import component_wasserstein_squared
from jaxgmm._mixture.validation import Mixture, one_space
from jaxgmm._numerics.linalg import vdot
from jaxgmm._numerics.special import sqrt_or_zero
from jaxgmm._validation.arguments import Flag
from jaxgmm._validation.validated_jit import validated_jit

PLANS_AT_ONCE = 4096  # the numbers in the plans of the pairs that the solver gets at a time


@validated_jit(one_space, symmetric=True)
def mixture_wasserstein(
    p: Mixture, q: Mixture, *, return_plan: Flag = False
) -> Array | tuple[Array, Array]:
    r"""The exact mixture Wasserstein distance MW2, whose couplings are Gaussian mixtures, too.

    .. math:: MW_2(p, q)
              = \left(\min_{w \in \Pi(\pi, \omega)} \sum_{kj} w_{kj} W_2^2(p_k, q_j)\right)^{1/2}
              \ge W_2(p, q), \quad \sum_j w_{kj} = \pi_k, \quad \sum_k w_{kj} = \omega_j

    SciPy solves the linear programme on the host, in float64, to 1e-10 of the largest square. The
    distance has a kink at p = q, with gradient 0, its square only one in the weights, so use the
    square to fit. Only first derivatives exist.

    Args:
      p, q: mixtures in one space.
      return_plan: whether to return the optimal w as well.

    Returns:
      A scalar, a metric in units of the data, not squared. With return_plan, also w (K_p, K_q), the
      weight that moves from each component of p to each of q, which is constant in derivatives.

    Raises:
      TypeError: p or q is not a GMM.
      ValueError: a parameter is not finite, or the dimensions differ.
      RuntimeError: the solver finds no optimal plan.

    Example:
      >>> import jaxgmm
      >>> p = jaxgmm.GMM.from_moments([0.5, 0.5], [[0.0], [5.0]], [1.0, 1.0], "spherical")
      >>> q = jaxgmm.GMM.from_moments([0.5, 0.5], [[5.0], [2.0]], [1.0, 1.0], "spherical")
      >>> print(f"{mixture_wasserstein(p, q):.4f}")
      1.4142
      >>> print(abs(mixture_wasserstein(p, q, return_plan=True)[1].round(4)))
      [[0.  0.5]
       [0.5 0. ]]

    References:
      Delon and Desolneux, A Wasserstein-type distance, SIAM J. Imaging Sci. 13 (2020), prop. 4.
    """
    squares, unit = component_wasserstein_squared(p, q)
    square, plan = _transport(squares, p.weights, q.weights)
    distance = unit * sqrt_or_zero(square)
    return (distance, plan) if return_plan else distance


@jax.custom_jvp
def _transport(costs: Array, weights_p: Array, weights_q: Array) -> tuple[Array, Array]:
    """The least sum_kj w_kj c_kj over plans w whose rows and columns sum to the weights, and w."""
    plan = _best_plan(costs, weights_p, weights_q)[0]
    return vdot(plan, costs), plan


@_transport.defjvp
def _transport_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    # By the envelope theorem, changes of the costs are weighed by the plan, and changes of the
    # weights by prices. A constant in the prices has no effect, as the weights keep the sum 1.
    best = _best_plan(*primals)
    terms = [vdot(price, tangent) for price, tangent in zip(best, tangents, strict=True)]
    change = sum(terms[1:], terms[0])
    return (vdot(best[0], primals[0]), best[0]), (change, jnp.zeros_like(best[0]))


def _best_plan(*arrays: Array) -> tuple[Array, ...]:
    """The best plan, and the prices of one more unit of weight in each row and in each column."""
    shapes = tuple(jax.ShapeDtypeStruct(array.shape, arrays[0].dtype) for array in arrays)
    return jax.pure_callback(_solve, shapes, *arrays, vmap_method="broadcast_all")


def _solve(*arrays: Array) -> tuple[np.ndarray, ...]:
    """The arrays of `_best_plan` for a batch of pairs, in NumPy and float64."""
    held = [np.asarray(array, np.float64) for array in arrays]
    flat = [array.reshape(-1, *array.shape[held[0].ndim - 2 :]) for array in held]
    size = max(1, PLANS_AT_ONCE // flat[0][0].size)
    starts = range(0, len(flat[0]), size)
    parts = [_solve_together(*(array[i : i + size] for array in flat)) for i in starts]
    best = zip(map(np.concatenate, zip(*parts, strict=True)), held, strict=True)
    return tuple(value.reshape(like.shape).astype(arrays[0].dtype) for value, like in best)


def _solve_together(c: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    """The plans (n, R, C) and the prices (n, R), (n, C) of n pairs, by one linear programme."""
    from scipy.optimize import linprog  # deferred, as nothing else needs it

    # The solver's tolerances are absolute: the cost common to all plans goes, the rest is scaled.
    u = c.min(2)
    v = (c - u[:, :, None]).min(1)
    remainder = c - u[:, :, None] - v[:, None]
    scale = remainder.max((1, 2), keepdims=True)
    scale[scale == 0] = 1
    sums = np.concatenate([a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)], 1)
    equal = {"A_eq": _sums(*c.shape), "b_eq": sums.ravel()}
    tolerances = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    options = {**tolerances, "presolve": False}  # which takes longer than the solution
    result = linprog((remainder / scale).ravel(), **equal, method="highs", options=options)
    if result.status != 0:
        raise RuntimeError(f"mixture_wasserstein found no optimal plan: {result.message}")
    prices = scale[:, 0] * result.eqlin.marginals.reshape(sums.shape)
    rows, columns = np.split(prices, [a.shape[1]], axis=1)
    return result.x.reshape(c.shape), u + rows, v + columns


@functools.lru_cache(maxsize=64)
def _sums(num_pairs: int, num_rows: int, num_columns: int) -> Any:
    """The matrix that maps plans (num_pairs * num_rows * num_columns,) to row and column sums."""
    from scipy.sparse import eye, kron, vstack

    rows = kron(eye(num_rows), np.ones((1, num_columns)))
    columns = kron(np.ones((1, num_rows)), eye(num_columns))
    return kron(eye(num_pairs), vstack([rows, columns])).tocsc()
