"""Ways to break what only hard pairs of mixtures show."""

from mutation import Mutation

ROUNDING = [
    Mutation(
        "digits of nearly equal scales cancel",
        "_pairs.py",
        "jnp.where(near, 0.5 * small * small * series, jnp.expm1(x) - x)",
        "jnp.expm1(x) - x",
        "test_hard_shapes.py -k coincide",
    ),
    Mutation(
        "digits of nearly equal factors cancel",
        "_pairs.py",
        "jnp.tril(p.factor - q.factor, -1) + diagonal_matrices(widened)",
        "p.factor",
        "test_hard_shapes.py -k coincide",
    ),
    Mutation(
        "Bhattacharyya below 0",
        "_pairs.py",
        "return value + jax.lax.stop_gradient(jnp.maximum(-value, 0))",
        "return value",
        "test_hard_pairs.py -k everything",
    ),
    Mutation(
        "JS above log 2",
        "_expectation.py",
        "return value - jax.lax.stop_gradient(jnp.maximum(value - bound, 0))",
        "return value",
        "test_hard_shapes.py -k beyond",
    ),
    Mutation(
        "second derivatives of softplus forgotten",
        "_divergence.py",
        "jnp.where(near, jnp.log1p(jnp.expm1(small) / 2), jax.nn.softplus(t) - math.log(2))",
        "jax.nn.softplus(t) - math.log(2) + 0 * small",
        "test_hard_shapes.py -k agree",
    ),
    Mutation(
        "mixtures not moved to the origin",
        "_gmm.py",
        "return translate(p, -centre), translate(q, -centre)",
        "return p, q",
        "test_hard_pairs.py -k values",
    ),
]

OVERFLOW = [
    Mutation(
        "an infinite sum turned into NaN",
        "_expectation.py",
        "jnp.where(jnp.isinf(new), jnp.zeros_like(new), (new - old) - term)",
        "(new - old) - term",
        "test_hard_shapes.py -k range",
    ),
    Mutation(
        "an infinite KL in the variational bound",
        "_bounds.py",
        "jnp.minimum(kl, 1e30)",
        "kl",
        "test_hard_shapes.py -k range",
    ),
    Mutation(
        "0 times infinity in a mean of logarithms",
        "_approximations.py",
        "jnp.where(p.weights > 0, log_means, 0)",
        "log_means",
        "test_hard_shapes.py -k range",
    ),
    Mutation(
        "0 times infinity in the information",
        "_component_information.py",
        "jnp.where(gain == -jnp.inf, jnp.zeros_like(gain), gain)",
        "gain",
        "test_hard_shapes.py -k range",
    ),
    Mutation(
        "Renyi from an infinite level",
        "_f_divergence.py",
        "jnp.where(jnp.isinf(level), jnp.zeros_like(level), level)",
        "level",
        "test_hard_shapes.py -k range",
    ),
    Mutation(
        "an overlap of infinities",
        "_f_divergence.py",
        "2 * jnp.exp(-beta * jax.nn.softplus(log_ratio) - alpha * jax.nn.softplus(-log_ratio))",
        "2 * jnp.exp(alpha * log_ratio - jax.nn.softplus(log_ratio))",
        "test_hard_shapes.py -k range",
    ),
]

WEIGHTS = [
    Mutation(
        "the dead not left out of a reduction",
        "_reduce.py",
        "return jax.tree.map(lambda leaf: leaf if len(leaf) == 1 else leaf[alive], gmm)",
        "return gmm",
        "test_reduce.py -k dead",
    ),
    Mutation(
        "logarithms of weights that underflow",
        "_control.py",
        "log_components, log_weights = component_log_densities(q), jax.nn.log_softmax(q.logits)",
        "log_components, log_weights = component_log_densities(q), jnp.log(jax.nn.softmax(q.logits) + 1e-200)",
        "test_hard_pairs.py -k values",
    ),
]

OF_HARD_PAIRS = ROUNDING + OVERFLOW + WEIGHTS
