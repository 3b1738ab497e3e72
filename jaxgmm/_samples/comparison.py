"""Two samples compared: divergences of fits to their rows, permuted rows and bootstrapped rows."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgmm._divergence.pairwise import between
from jaxgmm._fit.em import fit_em, select_components
from jaxgmm._mixture.algebra import selected
from jaxgmm._mixture.combine import in_units
from jaxgmm._mixture.gmm import GMM
from jaxgmm._quadrature.rule import Batch, Batches, Rule
from jaxgmm._quadrature.sobol import Sobol
from jaxgmm._samples.labellings import (
    FLOOR,
    MOST_STEPS,
    Pooled,
    converged_fits,
    generator,
    in_batches,
)
from jaxgmm._samples.result import Column, middle_of
from jaxgmm._samples.table import Table
from jaxgmm._validation.validated_jit import declared_by

RULE = Sobol(2**9, variance_reduction=False)  # the same for all labellings
FINE_RULE = Sobol(2**14, variance_reduction=False)
NUM_COMPONENTS = range(1, 9)  # of which "auto" chooses


class Settings(NamedTuple):
    num_components: int
    covariance_type: str
    divergence: Callable[..., Any]
    num_permutations: int
    num_bootstrap: int
    by_column: bool
    advance: Callable[[int], Any] = bool  # is told how many fits more are done

    def num_alone(self, num_columns: int) -> int:
        """The number of permutations for each column alone, as Holm's method needs many."""
        return max(self.num_permutations, 25 * num_columns)

    def num_fits_alone(self, num_columns: int) -> int:
        return num_columns * (1 + self.num_alone(num_columns))


class Compared(NamedTuple):
    """Divergences, and with ``by_column`` what each column adds to them, (..., 1 or 1 + D)."""

    p_values: np.ndarray
    chance: np.ndarray  # (num_permutations, ...)
    resampled: np.ndarray  # (num_bootstrap, ...)
    fits: GMM  # a stack of two, in the units of the data, around the pooled mean
    centre: np.ndarray
    converged: bool
    at_floor: list[str]  # the components that are as narrow as the floor allows


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


def compared(
    key: Array, rows: np.ndarray, sample: np.ndarray, groups: np.ndarray | None, settings: Settings
) -> Compared:
    """The fits to two samples, and the divergences of those to permuted and bootstrapped rows."""
    # Each number of keys is a program, and `two_sample_test` splits into four.
    key_start, key_draws, key_points, _ = jax.random.split(key, 4)
    rng, total = generator(key_draws), 1 + settings.num_permutations
    pooled = Pooled.of(rows, sample, groups, settings.covariance_type)
    units = 1 / pooled.factor[: 1 if settings.covariance_type == "spherical" else None]
    measure = Measure(settings.divergence, RULE, settings.by_column)
    width = len(rows) if groups is not None else int(pooled.sizes.max())

    def values(start: GMM, weights: Iterable[np.ndarray], total: int) -> np.ndarray:
        arrays = jax.tree.map(lambda a: np.asarray(a, np.float32), (start, pooled.z, units))
        program = functools.partial(_values, measure, key_points, *arrays)
        packed = (pooled.packed(of_rows, width) for of_rows in weights)
        return in_batches(program, packed, total, settings.advance)

    z, units = (np.asarray(a, jnp.result_type(float)) for a in (pooled.z, units))
    start = pooled_start(key_start, z, 2, settings)
    drawn = pooled.permuted(rng, settings.num_permutations)
    if declared_by(settings.divergence).symmetric:
        drawn = map(pooled.oriented, drawn)
    permuted = values(start, drawn, total) if total > 1 else np.zeros((1, 2, 1))
    observed = pooled.packed(pooled.labelled(pooled.sample), width)
    fits, converged, in_data_units = _fits(start, z, units, *observed)
    # An interrupt ends the bootstrap, too, and it is of no use without chance.
    number = settings.num_bootstrap if len(permuted) == total > 1 else 0
    resampled = values(fits, (pooled.resampled(rng) for _ in range(number)), number)
    values_of_all = p_values(permuted[:, 0]), permuted[1:, 1], resampled[:, 1]
    # NumPy compiles no program to take them apart.
    fits, in_data_units = jax.tree.map(np.asarray, (fits, in_data_units))
    at_floor = _at_floor(fits, pooled.sizes)
    return Compared(*values_of_all, in_data_units, pooled.centre, bool(converged), at_floor)


@jax.jit
def _fits(
    start: GMM, z: Array, units: Array, rows: Array, weights: Array
) -> tuple[GMM, Array, GMM]:
    """The fits, whether they have converged, and the fits in other units."""
    fits, converged = converged_fits(start, z, rows, weights)
    return fits, converged.all(), jax.vmap(in_units, (0, None))(fits, units)


@functools.partial(jax.jit, static_argnums=0)
def _values(
    measure: Measure, key: Array, start: GMM, z: Array, units: Array, rows: Array, weights: Array
) -> Array:
    """The measure (b, 2, ...) after the first and after the last of the EM steps."""

    def of_labelling(labelling: tuple[Array, Array]) -> Array:
        def go_on(fits: GMM, most_steps: Array) -> tuple[GMM, GMM]:
            fits, _ = converged_fits(fits, z, *labelling, most_steps)
            return fits, fits

        # One program for one step and for all that follow.
        stages = jax.lax.scan(go_on, start, jnp.array([1, MOST_STEPS - 1], np.int32))[1]
        stages = jax.vmap(jax.vmap(in_units, (0, None)), (0, None))(stages, units)
        return jax.vmap(lambda fits: measure(key, *pair_of(fits)))(stages)

    # One labelling at a time, all are computed by the same operations.
    return jax.lax.map(of_labelling, (rows, weights))


def _at_floor(fits: GMM, sizes: np.ndarray) -> list[str]:
    shares = np.exp(fits.logits)
    num_rows = shares / shares.sum(1, keepdims=True) * sizes[:, None]
    is_narrow = np.exp(2 * np.asarray(fits.log_diag)).min(2) < 4 * FLOOR
    return [
        f"component {k} of {'pq'[j]}, of {num_rows[j, k]:.3g} rows"
        for j, k in np.argwhere(is_narrow & (num_rows > 0.5)).tolist()
    ]


def pair_of(fits: GMM) -> tuple[GMM, GMM]:
    return jax.tree.map(lambda leaf: leaf[0], fits), jax.tree.map(lambda leaf: leaf[1], fits)


def components_of(
    key: Array, rows: np.ndarray, num_components: int | str, covariance_type: str
) -> int:
    """The number of components, for "auto" that of the least BIC of all rows.

    It does not know their samples, so the test stays exact.
    """
    if isinstance(num_components, int):
        return num_components
    most = min(len(rows) // (2 * (rows.shape[1] + 1)), len(np.unique(rows, axis=0)))
    counts = [count for count in NUM_COMPONENTS if count <= max(1, most)]
    return select_components(key, rows, counts, covariance_type).num_components


def p_values(ranked: np.ndarray) -> np.ndarray:
    """The shares of values, the first included, that are at least the first, up to rounding."""
    if not len(ranked):  # interrupted before the first
        raise KeyboardInterrupt
    least = ranked[0] - 1e-5 * np.abs(ranked[0])
    return (~(ranked < least)).mean(0)  # NaN counts as large


def pooled_start(key: Array, z: ArrayLike, num_samples: int, settings: Settings) -> GMM:
    """A stack of one fit to all rows, which does not know their samples, for each sample."""
    z = np.asarray(z, jnp.result_type(float))
    fit = fit_em(key, z, settings.num_components, settings.covariance_type, tol=1e-4).params
    return jax.tree.map(lambda leaf: np.stack(num_samples * [np.asarray(leaf)]), fit)


def holm(p_values: np.ndarray) -> np.ndarray:
    """The p values adjusted by Holm's method, so that their least is right for all of them."""
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    return np.minimum(adjusted, 1)[np.argsort(order)]


def columns_compared(
    key: Array,
    table: Table,
    sample: np.ndarray,
    groups: np.ndarray | None,
    settings: Settings,
    found: Compared,
) -> dict[str, Column]:
    """Each column alone, by a test of its own, and what it adds to the fits to all columns."""
    values, p_values, ranges = columns_alone(key, table.rows, sample, groups, settings)
    measure = Measure(settings.divergence, FINE_RULE, by_column=True)
    beyond = np.asarray(_value(measure, key, found.fits))[1:]
    numbers = [np.asarray(of).tolist() for of in (values, p_values, beyond, found.p_values[1:])]
    means = zip(*(table.rows[sample == j].mean(0).tolist() for j in (0, 1)), strict=True)
    columns = map(Column, *numbers, ranges, means)
    return dict(zip(table.names or (), columns, strict=True))


def columns_alone(
    key: Array, rows: np.ndarray, sample: np.ndarray, groups: np.ndarray | None, settings: Settings
) -> tuple[list[float], np.ndarray, list[tuple[float, float]]]:
    """The divergence in each column, its p value by Holm's method, and its range by chance."""
    num_columns = rows.shape[1]
    number = settings.num_alone(num_columns)
    settings = settings._replace(num_permutations=number, num_bootstrap=0, by_column=False)
    alone = [
        compared(of_column, rows[:, [d]], sample, groups, settings)
        for d, of_column in enumerate(jax.random.split(key, num_columns))
    ]
    measure = Measure(settings.divergence, FINE_RULE, by_column=False)
    values = [float(_value(measure, key, one.fits)[0]) for one in alone]
    ranges = [middle_of(one.chance[:, 0]) for one in alone]
    return values, holm(np.array([one.p_values[0] for one in alone])), ranges


@functools.partial(jax.jit, static_argnums=0)
def _value(measure: Measure, key: Array, fits: GMM) -> Array:
    return measure(key, *pair_of(fits))
