"""These mutations break linear algebra, derivative rules and special functions."""

from mutation import Mutation

NUMERICS = [
    Mutation(
        "Bhattacharyya below 0",
        "not_negative",
        "value + jax.lax.stop_gradient(jnp.maximum(-value, 0))",
        "value",
        "test_hard_pairs.py -k everything",
    ),
    Mutation(
        "JS above log 2",
        "at_most",
        "value - jax.lax.stop_gradient(jnp.maximum(value - bound, 0))",
        "value",
        "test_hard_shapes.py -k beyond",
    ),
    Mutation(
        "a derivative of the inverse",
        "_inv_tril_jvp",
        "-matmul(matmul(inverse, tangents[0]), inverse)",
        "matmul(matmul(inverse, tangents[0]), inverse)",
        "test_linalg.py",
    ),
    Mutation(
        "off by one in the blocks",
        "inv_tril",
        "(num_dims - 1).bit_length()",
        "(num_dims - 1).bit_length() - 1",
        "test_linalg.py",
    ),
    Mutation(
        "a derivative of the triangle",
        "_tril_of_jvp",
        "half + half.mT",
        "half",
        "test_linalg.py",
    ),
    Mutation(
        "log 2 outside of one half",
        "log_mean_with_one",
        "math.log(2)",
        "0.6",
        "test_divergence.py",
    ),
    Mutation(
        "digits of nearly equal scales cancel",
        "expm1_less_linear",
        "jnp.where(near, 0.5 * small * small * series, jnp.expm1(x) - x)",
        "jnp.expm1(x) - x",
        "test_hard_shapes.py -k coincide",
    ),
    Mutation(
        "second derivatives of softplus forgotten",
        "log_mean_with_one",
        "jnp.where(near, jnp.log1p(jnp.expm1(small) / 2), jax.nn.softplus(t) - math.log(2))",
        "jax.nn.softplus(t) - math.log(2) + 0 * small",
        "test_hard_shapes.py -k agree",
    ),
    Mutation(
        "rows of a root in their own units",
        "tril_of",
        "power_of_two(jnp.abs(roots).max(2, keepdims=True))",
        "jnp.ones_like(roots[:, :, :1])",
        "test_units.py -k dense",
    ),
]
