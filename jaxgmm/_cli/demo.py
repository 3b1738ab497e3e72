"""An example that the command runs: divergences and a fit of two built-in mixtures."""

import jax
import optax

import jaxgmm
from jaxgmm import GMM, Estimate, Sobol

NUM_STEPS = 300
NEXT = """
With data of your own, two tables such as .csv, in the shell:
  jaxgmm compare A.csv B.csv        (python -m jaxgmm compare --help tells more)
and in Python:
  import jax, jaxgmm
  print(jaxgmm.two_sample_test(jax.random.key(0), x, y))"""


def example_mixtures() -> tuple[GMM, GMM]:
    means = [[0.0, 0.0], [3.0, 1.0], [-1.0, 3.0]]
    covariances = [[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 0.8]], [[1.5, 0.0], [0.0, 0.3]]]
    p = GMM.from_moments([0.5, 0.3, 0.2], means, covariances)
    means = [[0.5, 0.5], [2.0, 2.0]]
    covariances = [[[1.5, 0.3], [0.3, 1.5]], [[2.0, 0.0], [0.0, 1.0]]]
    return p, GMM.from_moments([0.6, 0.4], means, covariances)


def print_line(name: str, value: Estimate) -> None:
    print(f"  {name:12s}{value.value:9.5f} +- {value.standard_error:.5f} nats")


def demo(_: object) -> None:
    """Print divergences between two mixtures, a check against a closed form, and a fit."""
    p, q = example_mixtures()
    key = jax.random.key(0)
    print(f"jaxgmm {jaxgmm.__version__}, JAX {jax.__version__} on {jax.devices()[0].platform}\n")
    components = f"{p.num_components} and {q.num_components} components"
    print(f"Two mixtures of {components} in {p.num_dims} dimensions (+-: standard error)")
    print_line("KL(p || q)", jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q))
    print_line("KL(q || p)", jaxgmm.estimate(jaxgmm.kl_divergence, key, q, p))
    print_line("JS(p, q)", jaxgmm.estimate(jaxgmm.js_divergence, key, p, q))
    a = GMM.from_moments([1.0], [[0.0, 0.0]], [[1.0, 2.0]], "diag")
    b = GMM.from_moments([1.0], [[1.0, -1.0]], [[2.0, 1.5]], "diag")
    exact = float(jaxgmm.gaussian_kl(a, b)[0, 0])
    result = jaxgmm.estimate(jaxgmm.kl_divergence, key, a, b)
    print("\nOne Gaussian each, where a closed form exists")
    print_line("KL(a || b)", result)
    off = abs(result.value - exact) / result.standard_error
    print(f"  {'exact':12s}{exact:9.5f}    (off by {off:.1f} standard errors)")
    print_fit(key, p, q)
    print(NEXT)


def print_fit(key: jax.Array, p: GMM, q: GMM) -> None:
    loss = jaxgmm.forward_kl_loss(p, Sobol(1024))
    result = jaxgmm.fit(key, loss, q, optax.adam(3e-2), NUM_STEPS)
    print(f"\nFit q to p: {NUM_STEPS} steps of optax.adam on KL(p || q), weights included")
    for step in (0, 59, 119, 179, 239, 299):
        print(f"  step {step:4d}  KL {result.losses[step]:8.5f}")
    before, after = ([round(w, 3) for w in gmm.weights.tolist()] for gmm in (q, result.params))
    print(f"  weights of q: {before} -> {after}")
    print_line("KL(p || q)", jaxgmm.estimate(jaxgmm.kl_divergence, key, p, result.params))
