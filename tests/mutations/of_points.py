"""Ways to break what is averaged over points: densities, rules, the loop, the divergences."""

from mutation import Mutation

DENSITY = [
    Mutation("forget a log-determinant", "_density.py", "log_peak = -log_det(gmm) - 0.5", "log_peak = -0.5", "test_density.py"),
    Mutation("a constant of the normal", "_density.py", "math.log(2 * math.pi)", "math.log(math.pi)", "test_density.py"),
    Mutation(
        "squares not halved", "_density.py", "[:, None] - 0.5 * mahalanobis(x)", "[:, None] - mahalanobis(x)", "test_density.py"
    ),
    Mutation("the mean left out of whitening", "_density.py", "inverse, -offset]", "inverse, 0 * offset]", "test_density.py"),
    Mutation(
        "transpose L", "_gmm.py", "num_dims), shape)", "num_dims).swapaxes(1, 2), shape)", "test_gmm.py test_expectation.py"
    ),
    Mutation(
        "move only one of two mixtures",
        "_gmm.py",
        "-centre), translate(q, -centre)",
        "-centre), q",
        "test_divergence.py -k values",
    ),
    Mutation(
        "weights accepted that sum to 1.05", "_moments.py", "weights.sum() - 1) > 1e-6", "weights.sum() - 1) > 0.1", "test_gmm.py"
    ),
    Mutation(
        "diagonal and root diagonal",
        "_moments.py",
        "np.linalg.cholesky(0.5 * (covariances + ",
        "np.sqrt(0.5 * (covariances + ",
        "test_gmm.py",
    ),
    Mutation(
        "a derivative of the inverse",
        "_linalg.py",
        "return inverse, -_product(inverse, tangents",
        "return inverse, _product(inverse, tangents",
        "test_linalg.py",
    ),
    Mutation(
        "off by one in the blocks",
        "_linalg.py",
        "(num_dims - 1).bit_length()",
        "(num_dims - 1).bit_length() - 1",
        "test_linalg.py",
    ),
    Mutation("a derivative of the triangle", "_linalg.py", "half + half.mT, -1)", "half, -1)", "test_linalg.py"),
]

SAMPLED = [
    Mutation(
        "drop the weight gradient",
        "_expectation.py",
        "weights, place = gmm.weights, placement(gmm)",
        "weights, place = jax.lax.stop_gradient(gmm.weights), placement(gmm)",
        "test_divergence.py -k gradients",
    ),
    Mutation(
        "drop the weight gradient of any expectation",
        "_expectation.py",
        "weights = gmm.weights\n",
        "weights = jax.lax.stop_gradient(gmm.weights)\n",
        "test_expectation.py",
    ),
    Mutation(
        "drop the gradient of L",
        "_expectation.py",
        "of_slots = scale[component]",
        "of_slots = jax.lax.stop_gradient(scale)[component]",
        "test_expectation.py -k gradients",
    ),
    Mutation(
        "lose the rounding errors",
        "_expectation.py",
        "(new - old) - term)",
        "0 * term)",
        "test_expectation.py -k million",
    ),
    Mutation(
        "keep all of the points",
        "_expectation.py",
        "jax.checkpoint(contribution, prevent_cse=False)",
        "contribution",
        "test_expectation.py -k memory",
    ),
    Mutation(
        "count the last batch twice on a mesh",
        "_expectation.py",
        "jnp.where(index < num_batches, v, jnp.zeros_like(v))",
        "v",
        "test_mesh.py",
    ),
    Mutation(
        "one gradient in place of another",
        "_expectation.py",
        "jnp.vdot(g, tangents[i]",
        "jnp.vdot(gradient[0] if g.shape == gradient[0].shape else g, tangents[i]",
        "test_divergence.py -k gradients",
    ),
    Mutation("swap p and q", "_divergence.py", "log_p - log_q, rule", "log_q - log_p, rule", "test_divergence.py -k values"),
    Mutation(
        "forget the half in JS",
        "_divergence.py",
        "0.5 * from_p + 0.5 * from_q",
        "from_p + from_q",
        "test_divergence.py -k values",
    ),
    Mutation("JS from p alone", "_divergence.py", "0.5 * from_p + 0.5 * from_q", "from_p", "test_divergence.py -k values"),
    Mutation(
        "log 2 outside of one half",
        "_divergence.py",
        "jax.nn.softplus(t) - math.log(2)",
        "jax.nn.softplus(t) - 0.6",
        "test_divergence.py",
    ),
    Mutation("Jeffreys, one way twice", "_divergence.py", "kl(key_q, q, p)", "kl(key_q, p, q)", "test_divergence.py -k values"),
    Mutation(
        "stop too much of the gradient",
        "_divergence.py",
        "_held(p) if path_gradient else p",
        "_held(p)",
        "test_divergence.py -k hessian",
    ),
    Mutation(
        "no path gradient",
        "_divergence.py",
        "_held(p) if path_gradient else p",
        "p",
        "test_divergence.py -k path",
    ),
    Mutation(
        "the sign of an entropy",
        "_divergence.py",
        "return -controlled_expectation",
        "return controlled_expectation",
        "test_divergence.py -k entrop",
    ),
    Mutation(
        "biased control variate",
        "_control.py",
        "(coefficients * means).sum(1)",
        "1.01 * (coefficients * means).sum(1)",
        "test_control.py",
    ),
    Mutation(
        "control of the wrong component",
        "_control.py",
        "self.coefficients[component], by",
        "self.coefficients[component * 0], by",
        "test_control.py",
    ),
    Mutation("control that is not trusted", "_control.py", "rest.var(1) < 0.1", "rest.var(1) < -1", "test_control.py"),
    Mutation(
        "turned normals that are not orthogonal",
        "_rotation.py",
        "orthogonal - 2 * turned",
        "orthogonal - 1.9 * turned",
        "test_rotation.py",
    ),
    Mutation("normals turned away", "_rotation.py", ".sum(1).argmax(1)", ".sum(1).argmin(1)", "test_rotation.py"),
    Mutation(
        "a standard error of one run", "_estimate.py", " / math.sqrt(num_replicates), values", ", values", "test_estimate.py"
    ),
    Mutation("a simplex off its centre", "_control.py", "corner == row, -apex", "corner == row, apex", "test_control.py"),
    Mutation("no variance reduction at all", "_estimate.py", "replace(later, n", "replace(rule, n", "test_estimate.py"),
    Mutation(
        "variance reduction although it is not wanted",
        "_expectation.py",
        'getattr(rule, "variance_reduction", True)',
        "True",
        "test_control.py",
    ),
    Mutation("a tolerance ten times too wide", "_estimate.py", "if excess <= 1:", "if excess <= 10:", "test_estimate.py"),
    Mutation(
        "one key for all replicates",
        "_estimate.py",
        "keys = jax.random.split(key, num_replicates)",
        "keys = jnp.stack([key] * num_replicates)",
        "test_estimate.py",
    ),
    Mutation(
        "NaN as an answer",
        "_estimate.py",
        "if not isinstance(leaf, Tracer) and not np",
        "if False and not np",
        "test_estimate.py",
    ),
]

RULES = [
    Mutation("infinity at an end", "_sobol.py", " + (2.0**-kept - 1)", " - 1", "test_rules.py"),
    Mutation(
        "off by one in the bits of Sobol'",
        "_sobol.py",
        "(indices[None] >> places)",
        "(indices[None] >> (places + np.uint32(1)))",
        "test_rules.py",
    ),
    Mutation(
        "a scrambling that is not invertible",
        "_sobol.py",
        "[:, None, None]) | top[:, None, None]",
        "[:, None, None])",
        "test_rules.py",
    ),
    Mutation("no random shift", "_sobol.py", "_xor(terms, 1), random[-1]", "_xor(terms, 1), 0 * random[-1]", "test_rules.py"),
    Mutation(
        "one scrambling for all components",
        "_sobol.py",
        "_xor(terms, 1), random[-1]",
        "_xor(terms, 1)[:, :1] + 0 * _xor(terms, 1), random[-1] * 0 + random[-1][:1]",
        "test_rules.py",
    ),
    Mutation(
        "off by one in the recurrence",
        "_sobol.py",
        "np.maximum(degree[unknown] - k, 0)",
        "np.maximum(degree[unknown] - k - 1, 0)",
        "test_rules.py",
    ),
    Mutation("shares by the weights alone", "_deal.py", "0.27 + 0.73 *", "0.001 + 0.999 *", "test_rules.py"),
    Mutation("even shares", "_deal.py", "0.27 + 0.73 *", "1 + 0 *", "test_rules.py"),
    Mutation("mirror images that are copies", "_rules.py", "[nodes, -nodes]", "[nodes, nodes]", "test_rules.py"),
    Mutation(
        "the same normals in each batch",
        "_rules.py",
        "jax.random.fold_in(root, index)",
        "jax.random.fold_in(root, 0 * index)",
        "test_rules.py",
    ),
    Mutation(
        "a digit of Gauss-Hermite", "_rules.py", "% np.uint32(self.order)", "% np.uint32(max(self.order - 1, 1))", "test_rules.py"
    ),
    Mutation("sigma points too near", "_rules.py", "math.sqrt(num_dims) * sign", "sign", "test_rules.py"),
]

OF_POINTS = DENSITY + SAMPLED + RULES
