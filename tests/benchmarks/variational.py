"""Variational inference by mixtures, on targets of known evidence, beside NumPyro.

The gap is log Z - ELBO, the divergence that is left. The evidence is by importance weights, of
points of which a fifth comes from a wide Gaussian. NumPyro has the seconds that one component took,
compilation included.
"""

import os
import time
import warnings
from typing import NamedTuple

import jax
import numpy as np
import optax
from variational_targets import TARGETS, Target

import jaxgmm
from jaxgmm import GMM

KEY = jax.random.key(0)
COMPONENTS = (1, 2, 4, 8)
NUM_STEPS = 3000


class Row(NamedTuple):
    """What a fit has come to."""

    gap: float
    error: float  # of the gap
    seconds: float
    log_evidence_errors: float  # how many standard errors the log-evidence is off
    pareto_k: float | None


def fitted(target: Target, num_components: int, num_steps: int = NUM_STEPS) -> GMM:
    """The fit of the ELBO from a random start, by the path gradient."""
    start = GMM.random(KEY, num_components, target.num_dims, spread=target.spread)
    start = start.replace(log_diag=start.log_diag + np.log(target.spread))
    start = start.replace(off_diag=start.off_diag * target.spread)
    loss = jaxgmm.reverse_kl_loss(target.log_f, jaxgmm.Sobol(64 * num_components))
    adam = optax.adam(optax.cosine_decay_schedule(0.03, num_steps), b2=0.9)
    return jaxgmm.fit(KEY, loss, start, adam, num_steps).params


def gap(target: Target, q: GMM, log_z: float) -> tuple[float, float]:
    value = jaxgmm.estimate(jaxgmm.elbo, KEY, q, target=target.log_f, rule=jaxgmm.Sobol(2**13))
    return log_z - float(value), float(value.standard_error)


def wider(q: GMM, factor: float = 3.0) -> GMM:
    """The Gaussian of the mean of q and of its covariance times the square of a factor."""
    covariance = factor**2 * np.asarray(jaxgmm.mixture_covariance(q), float)
    return GMM.from_moments([1.0], jaxgmm.mixture_mean(q)[None], covariance[None], dtype=np.float32)


def row(target: Target, num_components: int, log_z: float, num_steps: int = NUM_STEPS) -> Row:
    begin = time.perf_counter()
    q = jax.block_until_ready(fitted(target, num_components, num_steps))
    seconds = time.perf_counter() - begin
    proposal = jaxgmm.mixture_of([q, wider(q)], [0.8, 0.2])
    weights = jaxgmm.importance_weights(KEY, proposal, target.log_f, 100_000)
    off = float((weights.log_evidence - log_z) / weights.standard_error)
    return Row(*gap(target, q, log_z), seconds, off, weights.pareto_k)


def by_numpyro(target: Target, seconds: float, learning_rate: float = 0.01) -> GMM:
    """The best Gaussian of NumPyro after so many seconds, its compilation included."""
    import numpyro
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoMultivariateNormal

    def model() -> None:
        support = numpyro.distributions.constraints.real_vector
        prior = numpyro.distributions.ImproperUniform(support, (), (target.num_dims,))
        numpyro.factor("f", target.log_f(numpyro.sample("x", prior)[None])[0])

    begin = time.perf_counter()
    guide = AutoMultivariateNormal(model)
    svi = SVI(model, guide, optax.adam(learning_rate), Trace_ELBO(num_particles=16))
    state = svi.init(KEY)
    chunk = jax.jit(lambda state: jax.lax.scan(lambda s, _: svi.update(s), state, length=100)[0])
    while time.perf_counter() - begin < seconds:
        state = jax.block_until_ready(chunk(state))
    normal = guide.get_posterior(svi.get_params(state))
    covariance = np.asarray(normal.covariance_matrix, float)[None]
    return GMM.from_moments([1.0], normal.mean[None], covariance, dtype=np.float32)


def table(name: str) -> None:
    target = TARGETS[name]
    log_z = target.log_z()
    print(f"{name}: log Z = {log_z:.3f} by {target.known_by}", flush=True)
    for k in COMPONENTS:
        found = row(target, k, log_z)
        tail = "unknown" if found.pareto_k is None else f"{found.pareto_k:.2f}"
        print(
            f"  K = {k}: gap {found.gap:7.3f} +- {found.error:.0e}, {found.seconds:5.1f} s; "
            f"evidence off by {found.log_evidence_errors:5.1f} errors, Pareto k {tail}",
            flush=True,
        )
        if k == 1:
            theirs, _ = gap(target, by_numpyro(target, found.seconds), log_z)
            print(f"  NumPyro, one Gaussian, as many seconds: gap {theirs:7.3f}", flush=True)


def variational(only: str) -> None:
    warnings.simplefilter("ignore")
    print(f"float32, {NUM_STEPS} steps; load {os.getloadavg()[0]:.1f}")
    for name in TARGETS:
        if only in name:
            table(name)
