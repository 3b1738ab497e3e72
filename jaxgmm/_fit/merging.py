"""Greedy merging of components by Runnalls' bound, in NumPy and float64, in memory O(K D^2)."""

import dataclasses
from typing import Any

import numpy as np

NUM_NEIGHBOURS = 4  # whose costs are remembered for each component
LEAST_WEIGHT = 1e-150  # stands for smaller weights, so that products of two do not underflow
BLOCK = 2**16  # the numbers in the matrices of the pairs whose costs are computed at once


def merge_cheapest(
    weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, num_components: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The components that are left when the cheapest pair is merged again and again.

    Full covariances have the shape (K, D, D), diagonal ones (K, D), and spherical ones (K, 1).
    """
    kind = Components if covariances.ndim == 2 else FullComponents
    parts = kind(np.maximum(weights, LEAST_WEIGHT), means, covariances)
    neighbours = Neighbours.of(parts)
    while (count := len(parts.weights)) > num_components:
        # Components that are gone still cost time, so they are dropped when they are half of all.
        for _ in range(count - max(num_components, count // 2)):
            i, j = neighbours.cheapest(parts)
            parts.merge(i, j)
            neighbours.update(parts, i, j)
        left = np.flatnonzero(parts.is_left(slice(None)))
        neighbours = neighbours.selected(left)
        parts = kind(parts.weights[left], parts.means[left], parts.covariances[left])
    return parts.weights, parts.means, parts.covariances


@dataclasses.dataclass
class Neighbours:
    """For each component some of those before it that cost least to merge it with.

    Attributes:
      partners: (NUM_NEIGHBOURS, K), components j < k.
      costs: (NUM_NEIGHBOURS, K), the costs of merging k with them, or infinity.
      rest: (K,), lower bounds of the costs of merging k with any other component before it.
    """

    partners: np.ndarray
    costs: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, parts: "Components") -> "Neighbours":
        count = len(parts.weights)
        rest = [parts.bounds(k, slice(k)).min(initial=np.inf) for k in range(count)]
        shape = NUM_NEIGHBOURS, count
        return cls(np.zeros(shape, np.int32), np.full(shape, np.inf), np.array(rest))

    def cheapest(self, parts: "Components") -> tuple[int, int]:
        while True:
            least = self.costs.min(0)
            i = int(np.minimum(least, self.rest).argmin())
            if least[i] <= self.rest[i]:
                return i, int(self.partners[self.costs[:, i].argmin(), i])
            values = np.append(parts.nearly_costs(i), np.full(NUM_NEIGHBOURS + 1, np.inf))
            nearest = np.argpartition(values, NUM_NEIGHBOURS)[: NUM_NEIGHBOURS + 1]
            *self.partners[:, i], last = nearest[values[nearest].argsort()]
            self.costs[:, i], self.rest[i] = values[self.partners[:, i]], values[last]

    def update(self, parts: "Components", i: int, j: int) -> None:
        self.costs[(self.partners == i) | (self.partners == j)] = np.inf
        self.costs[:, [i, j]] = np.inf
        bounds = parts.bounds(i, slice(None))
        self.rest[[i, j]] = bounds[:i].min(initial=np.inf), np.inf
        after = i + 1 + np.flatnonzero(bounds[i + 1 :] < self.rest[i + 1 :])
        costs = parts.costs(i, after)
        slots = self.costs[:, after].argmax(0)
        dearest = self.costs[slots, after]
        self.rest[after] = np.minimum(self.rest[after], np.maximum(costs, dearest))
        slots, after = (index[costs < dearest] for index in (slots, after))
        self.partners[slots, after], self.costs[slots, after] = i, costs[costs < dearest]

    def selected(self, left: np.ndarray) -> "Neighbours":
        """The neighbours of the components that are left, counted anew."""
        partners = np.searchsorted(left, self.partners[:, left]).astype(np.int32)
        return Neighbours(partners, self.costs[:, left], self.rest[left])


class Components:
    """Components with diagonal or spherical covariances, (K, D) or (K, 1), updated in place."""

    def __init__(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        self.weights, self.means, self.covariances = weights, means.copy(), covariances.copy()
        self.multiplicity = means.shape[1] // covariances.shape[1]  # coordinates to a variance
        self.origin = means.mean(0)
        self.inverse_roots = self.inverse_root(covariances)
        # The inverse root of the mean covariance makes the lower bounds tight.
        self.whitener = self.inverse_root(np.average(covariances, 0, weights)[None])
        self.places = self.times(self.whitener, means - self.origin).T.copy()
        self.spreads = weights * self.largest(covariances)
        self.log_dets = -2 * self.log_det(self.inverse_roots)

    def merge(self, i: int, j: int) -> None:
        """Put the merged moments of components i and j in the place of i, and remove j."""
        weight = self.weights[i] + self.weights[j]
        share, rest = self.weights[i] / weight, self.weights[j] / weight
        step = self.means[i] - self.means[j]
        within = share * self.covariances[i] + rest * self.covariances[j]
        merged = (within + share * rest * self.square(step))[None]
        self.weights[i], self.covariances[i] = weight, merged[0]
        self.means[i] = self.means[j] + share * step
        self.inverse_roots[i] = self.inverse_root(merged)[0]
        self.places[:, i] = self.times(self.whitener, (self.means[i] - self.origin)[None])[0]
        self.spreads[i] = weight * self.largest(merged)[0]
        self.log_dets[i] = -2 * self.log_det(self.inverse_roots[i, None])[0]
        self.places[:, j] = np.inf

    def bounds(self, i: int, others: slice) -> np.ndarray:
        """Lower bounds of the costs of merging i with others, infinite for removed ones.

        For A = s A_i + t A_j with largest eigenvalue at most a, as log det is concave,
        log det(A + s t d d^T) >= s log det A_i + t log det A_j + log(1 + s t |d|^2 / a).
        """
        weight = self.weights[i] + self.weights[others]
        squares = np.square(self.places[:, others] - self.places[:, i, None]).sum(0)
        ratio = squares / (self.spreads[i] + self.spreads[others])
        ratio *= self.weights[i] * self.weights[others] / weight
        return (0.5 - 1e-9) * weight * np.log1p(ratio)

    def is_left(self, k: Any) -> np.ndarray:
        return np.isfinite(self.places[0, k])

    def nearly_costs(self, i: int) -> np.ndarray:
        """The costs of merging i with each before it; only bounds for all but the cheapest ones."""
        values = self.bounds(i, slice(i))
        near = np.flatnonzero(self.is_left(slice(i)))
        if len(near) > 2 * NUM_NEIGHBOURS:
            near = np.argpartition(values, 2 * NUM_NEIGHBOURS)[: 2 * NUM_NEIGHBOURS]
            limit = np.partition(self.costs(i, near), NUM_NEIGHBOURS)[NUM_NEIGHBOURS]
            near = np.flatnonzero(values <= limit)
        values[near] = self.costs(i, near)
        return values

    def costs(self, i: int, others: np.ndarray) -> np.ndarray:
        """Runnalls' bound B_ij of component i and each of the others."""
        heavy = np.where(self.weights[others] > self.weights[i], others, i)
        size = max(1, BLOCK // self.covariances[0].size)
        blocks = [slice(start, start + size) for start in range(0, len(others), size)]
        gains = [self._gain(heavy[b], (i + others - heavy)[b]) for b in blocks]
        return 0.5 * (self.weights[i] + self.weights[others]) * np.concatenate([[], *gains])

    def _gain(self, heavy: np.ndarray, light: np.ndarray) -> np.ndarray:
        """The cost over half the weight of a pair.

        Determinants are relative to the heavier component. So no term is larger than the share of
        the lighter one, and no ratio is close to 0.
        """
        weight = self.weights[heavy] + self.weights[light]
        share, rest = self.weights[light] / weight, self.weights[heavy] / weight
        step = self.means[light] - self.means[heavy]
        of_merged = self.log_det_of_merged(heavy, light, share[:, None], rest[:, None], step)
        difference = self.log_dets[light] - self.log_dets[heavy]
        return np.maximum(of_merged - share * difference, 0)

    def log_det_of_merged(
        self, heavy: np.ndarray, light: np.ndarray, s: np.ndarray, t: np.ndarray, step: np.ndarray
    ) -> np.ndarray:
        """The logarithm of det(s A_light + t A_heavy + s t d d^T) / det A_heavy."""
        merged = self.covariances[light] + t * self.square(step)
        return self.multiplicity * np.log1p(s * (merged / self.covariances[heavy] - 1)).sum(-1)

    def square(self, step: np.ndarray) -> np.ndarray:
        """The product of steps (..., D) with themselves, in the shape of the covariances."""
        return (step**2).reshape(*step.shape[:-1], -1, self.multiplicity).mean(-1)

    def inverse_root(self, covariances: np.ndarray) -> np.ndarray:
        return 1 / np.sqrt(covariances)

    def log_det(self, roots: np.ndarray) -> np.ndarray:
        return self.multiplicity * np.log(roots).sum(-1)

    def times(self, roots: np.ndarray, x: np.ndarray) -> np.ndarray:
        return roots * x

    def largest(self, covariances: np.ndarray) -> np.ndarray:
        return (self.whitener**2 * covariances).max(-1)


class FullComponents(Components):
    """Components with full covariances (K, D, D), updated in place."""

    def log_det_of_merged(
        self, heavy: np.ndarray, light: np.ndarray, s: np.ndarray, t: np.ndarray, step: np.ndarray
    ) -> np.ndarray:
        # Elimination in I + x, where the 1 is never added to x, and in the right side y. The pairs
        # are the last axis, over which NumPy is fast.
        root, d = self.inverse_roots[heavy], step.shape[1]
        x = root @ self.covariances[light] @ root.swapaxes(1, 2) - np.eye(d)
        x = np.multiply(np.moveaxis(x, 0, 2), s[:, 0], order="C")
        y = np.ascontiguousarray(self.times(root, step).T)
        for k in range(d - 1):
            column = x[k + 1 :, k] / (1 + x[k, k])
            y[k + 1 :] -= column * y[k]
            x[k + 1 :, k + 1 :] -= column[:, None] * x[k, k + 1 :]
        pivots = np.diagonal(x).T
        square = (y**2 / (1 + pivots)).sum(0)
        return np.log1p(pivots).sum(0) + np.log1p((s * t)[:, 0] * square)

    def square(self, step: np.ndarray) -> np.ndarray:
        return step[..., :, None] * step[..., None, :]

    def inverse_root(self, covariances: np.ndarray) -> np.ndarray:
        return np.linalg.inv(np.linalg.cholesky(covariances))

    def log_det(self, roots: np.ndarray) -> np.ndarray:
        return np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(-1)

    def times(self, roots: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (roots @ x[:, :, None])[:, :, 0]

    def largest(self, covariances: np.ndarray) -> np.ndarray:
        return np.linalg.eigvalsh(self.whitener @ covariances @ self.whitener.swapaxes(1, 2))[:, -1]
