"""Pooled samples, and permutations and bootstraps as weights of their rows."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgmm._fit.em_steps import em_step
from jaxgmm._fit.progress import checked_progress, reporter
from jaxgmm._mixture.gmm import GMM
from jaxgmm._validation.checks import check_concrete
from jaxgmm._validation.validated_jit import Check

FLOOR = 1e-6  # added to variances, as a share of that of the pooled column
MOST_STEPS = 200  # from the pooled start
TOL = 1e-3  # nats per row that the last step gains at most
BATCH = 8  # labellings between two reports


Progress = Annotated[bool | Callable[[int, int], Any], Check(checked_progress, static=True)]
Labelling = tuple[np.ndarray, np.ndarray]  # rows and their weights, both (samples, width)


class Pooled(NamedTuple):
    """The rows of all samples in an order that does not depend on their samples."""

    z: np.ndarray  # (n, D), with mean 0 and standard deviation 1
    factor: np.ndarray  # (D,), with x = centre + factor * z
    centre: np.ndarray
    point: np.ndarray  # (n,), the index of the row among the distinct ones
    first: np.ndarray  # (m,), the first row of each distinct one
    group: np.ndarray  # (n,), the group of each row, which stays in one sample
    sample: np.ndarray  # (number of groups,), the sample of each group

    @classmethod
    def of(
        cls, rows: np.ndarray, sample: np.ndarray, group: np.ndarray | None, covariance_type: str
    ) -> "Pooled":
        order = np.lexsort((sample, *rows.T[::-1]))
        rows, sample = rows[order], sample[order]
        is_first = np.append(True, (rows[1:] != rows[:-1]).any(1))
        group = np.arange(len(rows)) if group is None else group[order]
        of_group = np.zeros(group.max() + 1, int)
        of_group[group] = sample
        centre, factor = rows.mean(0), rows.std(0)
        if covariance_type == "spherical":  # whose class depends on the relative units
            factor = np.full_like(factor, np.sqrt(np.square(factor).mean()))
        z = (rows - centre) / factor
        first = np.flatnonzero(is_first)
        return cls(z, factor, centre, is_first.cumsum() - 1, first, group, of_group)

    @property
    def sizes(self) -> np.ndarray:
        """The number of rows of each sample."""
        return np.bincount(self.sample[self.group])

    def packed(self, weights: np.ndarray, width: int) -> Labelling:
        """The distinct rows of each sample and their weights, from weights (samples, n)."""
        rows = np.zeros((len(weights), width), np.int32)
        packed = np.zeros((len(weights), width), np.float32)
        for j, of_rows in enumerate(weights):
            mass = np.bincount(self.point, of_rows)
            used = np.flatnonzero(mass)
            rows[j, : len(used)], packed[j, : len(used)] = self.first[used], mass[used]
        return rows, packed

    def labelled(self, sample: np.ndarray) -> np.ndarray:
        """The weights (samples, n) of rows, 1 or 0, whose groups are in these samples."""
        return 1.0 * (np.arange(self.sample.max() + 1)[:, None] == sample[self.group])

    def permuted(self, rng: np.random.Generator, number: int) -> Iterator[np.ndarray]:
        """The weights (samples, n) of the samples as they are, and as often permuted."""
        yield self.labelled(self.sample)
        for _ in range(number):
            yield self.labelled(rng.permutation(self.sample))

    def oriented(self, weights: np.ndarray) -> np.ndarray:
        """The weights (2, n), with that sample first which has more of the first distinct row."""
        difference = np.bincount(self.point, weights[0] - weights[1])
        sign = difference[np.flatnonzero(difference)[:1]]
        return weights[::-1] if (sign < 0).any() else weights

    def resampled(self, rng: np.random.Generator) -> np.ndarray:
        """The weights (samples, n) of a bootstrap within each sample."""
        counts = np.zeros(len(self.sample))
        for j in range(self.sample.max() + 1):
            groups = np.flatnonzero(self.sample == j)
            counts[groups] = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)))
        return self.labelled(self.sample) * counts[self.group]


def generator(key: Array) -> np.random.Generator:
    check_concrete("key", key, "a comparison of samples")
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


@jax.jit
def converged_fits(
    start: GMM, z: Array, rows: Array, weights: Array, most_steps: Array | int = MOST_STEPS
) -> tuple[GMM, Array]:
    """The stacked mixtures after EM steps until they converge, and whether they did.

    Samples as they are, permuted ones and resampled ones all stop by this rule. With more steps,
    fits follow more of the noise, so values after other numbers of steps do not compare.
    """
    floor = jnp.full(z.shape[1], FLOOR, z.dtype)

    def converged(params: GMM, i: Array, w: Array) -> tuple[GMM, Array]:
        def is_unfinished(state: tuple[GMM, Array, Array, Array]) -> Array:
            _, _, gain, step = state
            return (gain > TOL) & (step < most_steps)

        def go_on(state: tuple[GMM, Array, Array, Array]) -> tuple[GMM, Array, Array, Array]:
            params, before, _, step = state
            params, log_likelihood = em_step(params, z[i], w, floor)
            return params, log_likelihood, log_likelihood - before, step + 1

        least = jnp.asarray(jnp.finfo(z.dtype).min, z.dtype)
        begin = params, least, -least, jnp.zeros((), np.int32)
        params, _, gain, _ = jax.lax.while_loop(is_unfinished, go_on, begin)
        return params, gain <= TOL

    return jax.vmap(converged)(start, rows, weights.astype(z.dtype))


def advancing(progress: Any, total: int) -> Callable[[int], None]:
    """A function that is told of each so many fits more, and reports how many of all are done."""
    report, done = reporter(progress, total, "fit"), 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        report((done, total), done)

    return advance


def in_batches(
    program: Callable[..., Array],
    labellings: Iterable[tuple[np.ndarray, ...]],
    total: int,
    advance: Callable[[int], Any],
) -> np.ndarray:
    """The values of a compiled program for each labelling, or for those before an interrupt."""
    values: list[np.ndarray] = []
    remaining = iter(labellings)
    try:
        while batch := list(itertools.islice(remaining, BATCH)):
            filled = [batch[i % len(batch)] for i in range(BATCH)]
            arrays = [np.stack(part) for part in zip(*filled, strict=True)]
            values.append(np.asarray(program(*arrays), float)[: len(batch)])
            advance(len(batch))
    except KeyboardInterrupt:
        message = f"interrupted after {sum(map(len, values))} of {total} labellings"
        warnings.warn(f"{message}; this is their result", RuntimeWarning, stacklevel=2)
    return np.concatenate(values) if values else np.zeros((0, 2, 1))
