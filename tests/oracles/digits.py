"""Values with 30 and 60 digits, by mpmath."""

import mpmath
import numpy as np

from oracles.resolved import in_numpy


def log_prob(logits, loc, factors, x) -> float:
    """log p(x) at one point from Cholesky factors (K, D, D), with 60 digits."""
    with mpmath.workdps(60):
        total = mpmath.fsum(mpmath.exp(mpmath.mpf(float(a))) for a in logits)
        terms = []
        for a, mean, factor in zip(logits, loc, factors, strict=True):
            lower = mpmath.matrix([[mpmath.mpf(float(v)) for v in row] for row in factor])
            z = mpmath.lu_solve(
                lower,
                mpmath.matrix(
                    [
                        mpmath.mpf(float(u)) - mpmath.mpf(float(v))
                        for u, v in zip(x, mean, strict=True)
                    ]
                ),
            )
            log_det = mpmath.fsum(mpmath.log(lower[i, i]) for i in range(len(mean)))
            quadratic = mpmath.fsum(v**2 for v in z)
            terms.append(
                mpmath.mpf(float(a))
                - mpmath.log(total)
                - log_det
                - len(mean) * mpmath.log(2 * mpmath.pi) / 2
                - quadratic / 2
            )
        largest = max(terms)
        return float(largest + mpmath.log(mpmath.fsum(mpmath.exp(t - largest) for t in terms)))


def kl_and_js(p, q) -> tuple[float, float]:
    """KL(p || q) and JS(p, q) on the line, with 30 digits."""
    with mpmath.workdps(30):
        (log_p, parts_p), (log_q, parts_q) = map(_log_density, in_numpy(p, q))
        parts = parts_p + parts_q
        breaks = sorted(
            {
                mean + scale * step
                for mean, scale in parts
                for step in (-30, -10, -5, -2, 0, 2, 5, 10, 30)
            }
        )

        def js(x):
            a, b = log_p(x), log_q(x)
            log_m = mpmath.log((mpmath.exp(a) + mpmath.exp(b)) / 2)
            return (mpmath.exp(a) * (a - log_m) + mpmath.exp(b) * (b - log_m)) / 2

        kl = mpmath.quad(
            lambda x: mpmath.exp(log_p(x)) * (log_p(x) - log_q(x)), breaks, maxdegree=5
        )
        return float(kl), float(mpmath.quad(js, breaks, maxdegree=5))


def _log_density(mixture):
    alive = [i for i, logit in enumerate(mixture.logits) if logit > -np.inf]
    weights = [mpmath.exp(mixture.logits[i]) for i in alive]
    parts = [(mpmath.mpf(mixture.loc[i, 0]), mpmath.exp(mixture.log_diag[i, 0])) for i in alive]
    total = mpmath.fsum(weights) * mpmath.sqrt(2 * mpmath.pi)
    return (
        lambda x: mpmath.log(
            mpmath.fsum(
                w / s * mpmath.exp(-(((x - m) / s) ** 2) / 2)
                for w, (m, s) in zip(weights, parts, strict=True)
            )
            / total
        )
    ), parts


def gaussian_kl(p, q) -> float:
    """KL of two single Gaussians from their Cholesky factors, with 60 digits."""
    with mpmath.workdps(60):
        a, b = map(_factor, in_numpy(p, q))
        offset = mpmath.matrix(
            [
                mpmath.mpf(u) - mpmath.mpf(v)
                for u, v in zip(p.loc[0].tolist(), q.loc[0].tolist(), strict=True)
            ]
        )
        inverse = b**-1
        log_ratio = mpmath.fsum(mpmath.log(b[i, i] / a[i, i]) for i in range(a.rows))
        squares = mpmath.fsum(v**2 for v in inverse * a) + mpmath.fsum(
            v**2 for v in inverse * offset
        )
        return float((squares - a.rows) / 2 + log_ratio)


def _factor(gaussian):
    num_dims, packed = gaussian.loc.shape[1], iter(gaussian.off_diag[0].tolist())
    factor = mpmath.zeros(num_dims)
    for row in range(num_dims):
        for column in range(row):
            factor[row, column] = mpmath.mpf(next(packed))
        factor[row, row] = mpmath.exp(gaussian.log_diag[0, row])
    return factor
