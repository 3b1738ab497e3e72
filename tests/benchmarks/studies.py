"""How cost grows; what a step of `fit` costs and a reduction brings; the length of a batch; each
variance reduction.
"""

import functools
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import optax
from pairs import PAIRS, related
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from timing import medians
from work import value_and_error

import jaxgmm
from jaxgmm import GMM
from jaxgmm._expectation import expectation, variance_reduction


def growth() -> None:
    """Time and peak memory of KL as n, K and D grow, each in a process of its own."""
    print(f"\n{'n':>10s}{'K':>6s}{'D':>6s}{'value s':>10s}{'gradient s':>12s}{'peak MB':>10s}")
    sizes = [(n, 10, 16) for n in (10**4, 10**5, 10**6, 10**7)]
    sizes += [(10**5, k, 16) for k in (1, 64, 256)] + [(10**5, 10, d) for d in (1, 64, 256)]
    program = str(pathlib.Path(__file__).with_name("__main__.py"))
    for size in sizes:
        command = [sys.executable, program, "--size", *map(str, size)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        print(
            f"{size[0]:10d}{size[1]:6d}{size[2]:6d}{float(out[0]):10.3f}{float(out[1]):12.3f}{float(out[2]):10.0f}",
            flush=True,
        )


def one_size(n: int, k: int, d: int) -> None:
    p, q = related(k, d, 2.0)()
    rule, key = jaxgmm.Sobol(n), jax.random.key(0)
    gradient = jax.jit(
        jax.value_and_grad(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, rule), argnums=(1, 2))
    )
    times = medians(
        {"v": lambda: jaxgmm.kl_divergence(key, p, q, rule), "g": lambda: gradient(key, p, q)}, 3
    )
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(
        int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")
    )
    print(times["v"], times["g"], peak)


def batch_lengths(n: int, rounds: int) -> None:
    """The milliseconds of value and gradient by the length of a batch; * marks the length that is
    used.
    """
    lengths = [128, 256, 512, 1024, 2048, 4096, 8192]
    print(f"\n{'batch length':22s}" + "".join(f"{length:>16d}" for length in lengths))
    for name, build in PAIRS.items():
        p, q = build()
        cells = [times_with_batches_of(length, p, q, n, rounds) for length in lengths]
        used = expectation.batch_length(p)
        marks = ["*" if length == used else " " for length in lengths]
        print(
            f"{name:22s}" + "".join(cell + mark for cell, mark in zip(cells, marks, strict=True)),
            flush=True,
        )


def times_with_batches_of(length: int, p: GMM, q: GMM, n: int, rounds: int) -> str:
    chosen, key = expectation.batch_length, jax.random.key(0)
    expectation.batch_length = lambda gmm: length
    jax.clear_caches()
    value = jax.jit(lambda key, p, q: jaxgmm.kl_divergence(key, p, q, jaxgmm.Sobol(n)))
    gradient = jax.jit(jax.grad(value, argnums=(1, 2)))
    times = medians(
        {"value": lambda: value(key, p, q), "gradient": lambda: gradient(key, p, q)}, rounds
    )
    expectation.batch_length = chosen
    return f"{1e3 * times['value']:7.1f}{1e3 * times['gradient']:8.1f}"


def reductions(n: int, rounds: int) -> None:
    """Standard error and milliseconds of KL with each variance reduction left out, over those with
    all of them.
    """
    print(f"\n{'left out':22s}{'control: error':>16s}{'time':>8s}{'turn: error':>16s}{'time':>8s}")
    for name, build in PAIRS.items():
        p, q = build()
        errors, calls = {}, {}
        for switch in ("", "_control_is_worth_it", "_rotation_is_worth_it"):
            errors[switch], calls[switch] = without(switch, p, q, n)
        times = medians(calls, 3 * rounds)
        cells = [
            f"{errors[switch] / errors['']:16.3g}{times[switch] / times['']:8.2f}"
            for switch in calls
            if switch
        ]
        print(f"{name:22s}" + "".join(cells), flush=True)


def without(switch: str, p: GMM, q: GMM, n: int) -> tuple[float, Callable[[], jax.Array]]:
    """The standard error of KL, and the compiled function, with that switch of the engine off."""
    if switch:
        chosen = getattr(variance_reduction, switch)
        setattr(variance_reduction, switch, lambda *_: False)
    jax.clear_caches()
    kl = jax.jit(lambda key: jaxgmm.kl_divergence(key, p, q, jaxgmm.Sobol(n)))
    call = functools.partial(kl, jax.random.key(0))
    call().block_until_ready()  # which compiles it as it is now
    _, error = value_and_error(p, q, jaxgmm.Sobol(n), num_replicates=48)
    if switch:
        setattr(variance_reduction, switch, chosen)
    return error, call


def losses(*arguments) -> jax.Array:
    """Those of a fit."""
    return jaxgmm.fit(*arguments).losses


def fitting(rounds: int) -> None:
    """A step of `fit` over the value and gradient in it; and reduction on real data, refined,
    against EM on a sample.
    """
    print(f"\n{'one step of fit':22s}{'ms':>10s}{'over its gradient':>20s}")
    steps, key = 200, jax.random.key(0)
    for name in ("D=2 K=5", "D=16 K=10 separated", "D=64 K=32 separated"):
        p, q = PAIRS[name]()
        loss, optimizer = jaxgmm.forward_kl_loss(p), optax.adam(1e-3)
        gradient = jax.jit(jax.value_and_grad(loss, argnums=1))
        calls = {
            "fit": functools.partial(losses, key, loss, q, optimizer, steps),
            "gradient": functools.partial(gradient, key, q),
        }
        times = medians(calls, rounds)
        print(
            f"{name:22s}{1e3 * times['fit'] / steps:10.2f}"
            f"{times['fit'] / steps / times['gradient']:20.2f}",
            flush=True,
        )

    print(f"\n{'digits, reduced':22s}{'KL':>10s}{'error':>10s}{'seconds':>10s}")
    for family, d, k, fewer in (("full", 16, 64, 10), ("diag", 32, 200, 20)):
        for name, q, kl, seconds in reduced_digits(family, d, k, fewer):
            print(
                f"{f'{family} {k} to {q}: {name}':22s}"
                f"{kl.value:10.4f}{kl.standard_error:10.4f}{seconds:10.1f}",
                flush=True,
            )


def reduced_digits(family: str, d: int, k: int, fewer: int):
    """For each way to reduce a mixture of the digits: its name, the components left, the forward KL
    and the seconds it took.
    """
    x = PCA(d, random_state=0).fit_transform(load_digits().data)
    fitted = GaussianMixture(k, covariance_type=family, reg_covar=1e-2, random_state=0).fit(
        x / x.std(0)
    )
    p, key = jaxgmm.from_sklearn(fitted), jax.random.key(0)
    ways = {
        "refined": lambda: jaxgmm.reduce(p, fewer, refine=jaxgmm.cross_entropy_loss, key=key),
        "merged": lambda: jaxgmm.reduce(p, fewer),
        "EM": lambda: jaxgmm.from_sklearn(
            GaussianMixture(fewer, covariance_type=family, random_state=0).fit(
                fitted.sample(100_000)[0]
            )
        ),
    }
    for name, way in ways.items():
        start = time.perf_counter()
        q = way()
        seconds = time.perf_counter() - start
        kl = jaxgmm.estimate(
            jaxgmm.kl_divergence, jax.random.key(1), p, q, rule=jaxgmm.Sobol(2**16)
        )
        yield name, q.num_components, kl, seconds
