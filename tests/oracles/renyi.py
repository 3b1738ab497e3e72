"""Pairs of mixtures and the logarithm of the integral of p^a q^(1-a), by quadrature on the line and
in the plane, in closed form between Gaussians, and expanded into Gaussian terms if q is one.
"""

import itertools

import numpy as np
from scipy.linalg import block_diag
from scipy.special import logsumexp
from scipy.stats import ortho_group

from oracles.dense import Mixture, mixture
from oracles.panels import on_panels

ORDERS = (0.1, 0.5, 0.9, 0.99, 1.01, 1.1, 2.0, 4.0)
STEPS = np.concatenate([-np.geomspace(60, 0.2, 24), [0], np.geomspace(0.2, 60, 24)])


def gaussian(a: float, mean, covariance, other_mean, other_covariance):
    """log of the integral of N^a N'^(1-a), and its mean and precision; None if it is infinite."""
    precision, other = np.linalg.inv(covariance), np.linalg.inv(other_covariance)
    total = a * precision + (1 - a) * other
    if np.linalg.eigvalsh(total)[0] < 1e-9 * np.abs(total).max():
        return None
    gap = np.asarray(other_mean) - mean
    # In the form of Gil, Alajaji and Linder: with (1-a) S + a S', whose inverse is P S^-1 S'^-1.
    mixed = (1 - a) * np.asarray(covariance) + a * np.asarray(other_covariance)
    dets = [np.linalg.slogdet(np.atleast_2d(m))[1] for m in (mixed, covariance, other_covariance)]
    value = -0.5 * a * (1 - a) * gap @ np.linalg.solve(mixed, gap)
    value += -0.5 * (dets[0] - (1 - a) * dets[1] - a * dets[2])
    return value, mean + np.linalg.solve(total, (1 - a) * other @ gap), total


def log_integral(a: float, p: Mixture, q: Mixture, reach: float = 13) -> float:
    """By quadrature, on the line or in the plane, there to `reach` standard deviations."""
    x, w = _line(a, p, q) if p.means.shape[1] == 1 else _plane(a, p, q, reach)
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    rough = logsumexp(a * log_p + (1 - a) * log_q, b=w)
    if abs(rough) > 0.5:
        return float(rough)
    # Near 1 digits are kept by the excess over 1, the integral of p^a q^b - a p - b q.
    t = log_p - log_q
    near = np.abs(t) < 1
    small, p_, q_ = np.where(near, t, 0), np.exp(log_p), np.exp(log_q)
    terms = [(a**n - a) * small**n / _factorial(n) for n in range(2, 30)]
    far = np.exp(a * log_p + (1 - a) * log_q) - a * p_ - (1 - a) * q_
    return float(np.log1p(w @ np.where(near, q_ * sum(terms), far)))


def _factorial(n: int) -> float:
    return float(np.prod(np.arange(1, n + 1, dtype=float)))


def _line(a: float, p: Mixture, q: Mixture) -> tuple[np.ndarray, np.ndarray]:
    """Panels that grow away from each component and from each product of powers of two."""
    centres = [*zip(p.means[:, 0], p.covariances[:, 0, 0], strict=True)]
    centres += zip(q.means[:, 0], q.covariances[:, 0, 0], strict=True)
    for k, j in itertools.product(range(len(p.means)), range(len(q.means))):
        both = gaussian(a, p.means[k], p.covariances[k], q.means[j], q.covariances[j])
        if both is not None:
            centres.append((both[1][0], 1 / both[2][0, 0]))
    mean, variance = np.array(centres).T
    breaks = np.unique((mean[:, None] + np.sqrt(variance)[:, None] * STEPS).ravel())
    x, w = on_panels(breaks, 16)
    return x[:, None], w


def _plane(a: float, p: Mixture, q: Mixture, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """The trapezoidal rule on a grid around all components and all products of powers."""
    means, covariances = [*p.means, *q.means], [*p.covariances, *q.covariances]
    for k, j in itertools.product(range(len(p.means)), range(len(q.means))):
        both = gaussian(a, p.means[k], p.covariances[k], q.means[j], q.covariances[j])
        if both is not None:
            means.append(both[1])
            covariances.append(np.linalg.inv(both[2]))
    reaches = reach * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    step = np.sqrt(np.linalg.eigvalsh(covariances).min()) / 3
    lows, highs = (np.array(means) - reaches).min(0), (np.array(means) + reaches).max(0)
    axes = [np.arange(low, high, step) for low, high in zip(lows, highs, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return points, np.full(len(points), step**2)


def expanded(a: int, p: Mixture, q: Mixture) -> float:
    """For one Gaussian q and a = 2, 3, ...: p^a is a sum of Gaussian terms."""
    precisions, other = np.linalg.inv(p.covariances), np.linalg.inv(q.covariances[0])
    log_peaks = np.log(p.weights) - 0.5 * np.linalg.slogdet(2 * np.pi * p.covariances)[1]
    other_peak = -0.5 * np.linalg.slogdet(2 * np.pi * q.covariances[0])[1]
    terms = []
    for chosen in itertools.product(range(len(p.means)), repeat=a):
        precision = precisions[[*chosen]].sum(0) + (1 - a) * other
        if np.linalg.eigvalsh(precision)[0] <= 0:
            return np.inf
        offsets = p.means[[*chosen]] - q.means[0]
        pulls = np.einsum("nij,nj->ni", precisions[[*chosen]], offsets)
        constant = log_peaks[[*chosen]].sum() + (1 - a) * other_peak - 0.5 * (pulls * offsets).sum()
        pull = pulls.sum(0)
        square = 0.5 * pull @ np.linalg.solve(precision, pull)
        terms.append(constant + square - 0.5 * np.linalg.slogdet(precision / (2 * np.pi))[1])
    return float(logsumexp(terms))


def line(weights, means, scales) -> Mixture:
    return mixture(weights, means, np.square(scales))


def marron_wand(number: int) -> Mixture:
    """Of Marron and Wand, Exact mean integrated squared error, Ann. Statist. 20 (1992), table 1."""
    n = np.arange(6)
    if number == 14:
        return line(2.0 ** (5 - n) / 63, (65 - 96 * 0.5**n) / 21, 32 / 63 / 2.0**n)
    if number == 15:
        means = np.concatenate([(12 * n[:3] - 15) / 7, 2 * np.array([8, 9, 10]) / 7])
        return line([2 / 7] * 3 + [1 / 21] * 3, means, [2 / 7] * 3 + [1 / 21] * 3)
    return line([0.5] + [0.1] * 5, [0, *(n[:5] / 2 - 1)], [1] + [0.1] * 5)  # the claw, number 10


def moved(p: Mixture, shift: float) -> Mixture:
    return Mixture(p.weights, p.means + shift, p.covariances)


def random(seed: int, k: int, d: int, spread: float, width: float = 1.0) -> Mixture:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = 0.5 * np.eye(d) + 0.5 * roots @ roots.transpose(0, 2, 1)
    means = spread * rng.normal(size=(k, d))
    return Mixture(rng.dirichlet(np.full(k, 5.0)), means, width * covariances)


def embedded(p: Mixture, d: int, mean: float, variance: float) -> Mixture:
    """The mixture times a Gaussian in the other directions, all of it rotated."""
    rotation = ortho_group.rvs(d, random_state=3)
    own = p.means.shape[1]
    means = np.hstack([p.means, np.full((len(p.means), d - own), mean)])
    rest = variance * np.eye(d - own)
    covariances = np.stack([block_diag(c, rest) for c in p.covariances])
    return Mixture(p.weights, means @ rotation.T, rotation @ covariances @ rotation.T)


BASE = line([0.35, 0.65], [-1, 1.25], [0.6, 0.9])
PLANE = mixture([0.3, 0.7], [[0, 0], [1.5, 1]], [[[1, 0.6], [0.6, 1]], [[0.5, -0.2], [-0.2, 0.8]]])
WIDE = mixture([0.6, 0.4], [[0.5, -0.5], [1, 2]], [[[1.2, 0], [0, 0.7]], [[0.9, 0.5], [0.5, 1.5]]])
TINY = 1e-5
LINE = {
    "overlapping": (BASE, line([0.55, 0.45], [-0.4, 2], [0.8, 1.05])),
    "nested": (line([0.2, 0.8], [0, 0.3], [0.2, 2]), line([0.6, 0.4], [0.1, -0.2], [1, 3])),
    "far": (line([0.5, 0.5], [-12, -9], [0.7, 1]), line([0.3, 0.7], [9, 14], [1, 1.4])),
    "unequal": (line([0.98, 0.02], [0, 6], [1, 0.3]), line([0.03, 0.97], [-4, 0.5], [0.45, 1.2])),
    "Marron-Wand 15 | 14": (marron_wand(15), marron_wand(14)),
    "Marron-Wand 14 | 15": (marron_wand(14), marron_wand(15)),
    "claw": (marron_wand(10), line([1.0], [0.2], [1.1])),
    "needle in p": (
        line([0.25, 0.5, 0.25], [0, 0.3, -0.5], [1, 1e-6, 1e-3]),
        line([0.5, 0.25, 0.25], [0, 1, -1], [1, 1, 2]),
    ),
    "needle in q": (
        line([0.5, 0.25, 0.25], [0, 1, -1], [1, 1, 1.5]),
        line([0.5, 0.25, 0.25], [0, 0.3, -0.5], [2, 1e-6, 1e-3]),
    ),
    "tiny weight in p": (
        line([1 - TINY, TINY], [0, 8], [1, 1]),
        line([0.5, 0.5], [0, 1], [1, 1.2]),
    ),
    "tiny weight in q": (
        line([0.5, 0.5], [0, 8], [1, 1]),
        line([1 - TINY, TINY], [0, 8], [1.1, 1]),
    ),
    "KL 41": (line([0.5, 0.5], [0, 1], [1, 1]), line([0.5, 0.5], [9.3, 10.3], [1, 1.1])),
    "KL 9801": (line([0.5, 0.5], [0, 1], [1, 1]), line([0.5, 0.5], [140.5, 141.5], [1, 1])),
    "tails of equal variance": (line([1.0], [0], [1]), line([0.5, 0.5], [-1, 1], [0.5**0.5] * 2)),
    "too narrow a q": (line([1.0], [0], [1]), line([1.0], [0], [0.5])),
    **{f"shifted by {s}": (BASE, moved(BASE, s)) for s in (1e-1, 1e-2, 1e-3, 1e-5)},
}
MANY = {"K = 50": (random(1, 50, 1, 3.0), random(2, 3, 1, 2.0, 2.0))}
PLANES = {
    "plane": (PLANE, WIDE),
    "plane far": (moved(PLANE, -7.0), WIDE),
    "K = 5 in the plane": (random(4, 5, 2, 2.0), random(5, 5, 2, 2.0, 1.5)),
    "plane shifted by 1e-2": (PLANE, moved(PLANE, 1e-2)),
}
SPACE = {
    "D = 6": (LINE["overlapping"], 6, (0.0, 1.0), (0.3, 1.2)),
    "D = 16": (LINE["unequal"], 16, (0.0, 1.0), (0.5, 1.3)),
}
ONE_Q = {"one q in D = 16": (random(6, 4, 16, 0.7), random(7, 1, 16, 0.0, 2.0))}


def pairs() -> dict[str, tuple[Mixture, Mixture]]:
    spaces = {
        name: (embedded(p, d, *in_p), embedded(q, d, *in_q))
        for name, ((p, q), d, in_p, in_q) in SPACE.items()
    }
    return {**LINE, **MANY, **PLANES, **spaces, **ONE_Q}


def is_infinite(name: str, a: float) -> bool:
    """Where along some direction p has heavier tails than the orders allow, by a scan of all."""
    if a <= 1 or name in ONE_Q:
        return False
    if name == "tails of equal variance":
        return a > 2
    p, q = pairs()[name]
    if name in SPACE:  # all directions beside the line are alike
        (p, q), _, in_p, in_q = SPACE[name]
        p, q = embedded(p, 2, *in_p), embedded(q, 2, *in_q)
    angles = np.linspace(0, np.pi, 20_000)
    v = np.ones((1, 1)) if p.means.shape[1] == 1 else np.stack([np.cos(angles), np.sin(angles)], 1)
    of_p, of_q = (np.einsum("na,kab,nb->kn", v, np.linalg.inv(m.covariances), v) for m in (p, q))
    return bool((a * of_p < (a - 1) * of_q.min(0)).any())


def truth(name: str, a: float) -> float | None:
    """The Renyi divergence of order a; None where no oracle knows it."""
    if is_infinite(name, a):
        return np.inf
    if name in ONE_Q:
        return expanded(int(a), *ONE_Q[name]) / (a - 1) if a in (2, 4) else None
    if name not in SPACE:
        return log_integral(a, *pairs()[name]) / (a - 1)
    (p, q), d, (mean, variance), (other_mean, other_variance) = SPACE[name]
    beside = gaussian(a, [mean], [[variance]], [other_mean], [[other_variance]])
    if beside is None:
        return np.inf
    return (log_integral(a, p, q) + (d - 1) * beside[0]) / (a - 1)
