"""Ways to break what is not averaged over points: closed forms, bounds, algebra, fitting, checks."""

from mutation import Mutation

PAIRS = [
    Mutation(
        "a half in the KL of Gaussians",
        "_pairs.py",
        "return 0.5 * (spread[:, None] +",
        "return (spread[:, None] +",
        "test_closed_form.py -k dense",
    ),
    Mutation(
        "Bhattacharyya's eighth",
        "_pairs.py",
        "log_ratio + mahalanobis / 8",
        "log_ratio + mahalanobis / 4",
        "test_closed_form.py -k dense",
    ),
    Mutation(
        "one log-determinant twice",
        "_pairs.py",
        "0.5 * (p.log_diag + q.log_diag).sum(-1)",
        "p.log_diag.sum(-1)",
        "test_closed_form.py -k dense",
    ),
    Mutation(
        "an L2 distance squared",
        "_closed_form.py",
        "jnp.where(positive, 0.5 * log_square",
        "jnp.where(positive, log_square",
        "test_closed_form.py",
    ),
    Mutation(
        "a norm left out of the cosine",
        "_closed_form.py",
        "0.5 * (log_pp + log_qq) - log_pq",
        "log_pp - log_pq",
        "test_closed_form.py",
    ),
    Mutation(
        "a kernel of another width",
        "_closed_form.py",
        "jnp.log(jnp.asarray(bandwidth)",
        "jnp.log(2 * jnp.asarray(bandwidth)",
        "test_closed_form.py",
    ),
    Mutation(
        "transport not rooted",
        "_transport.py",
        "jnp.sqrt(jnp.where(positive, square, 1))",
        "jnp.where(positive, square, 1)",
        "test_transport.py",
    ),
    Mutation("the prices of weights left out", "_transport.py", "sum(terms[1:], terms[0])", "terms[0]", "test_transport.py"),
    Mutation("matched to the worst", "_approximations.py", ".min(1)\n", ".max(1)\n", "test_bounds.py"),
    Mutation(
        "variance between components left out",
        "_approximations.py",
        "concatenate([within, between]",
        "concatenate([within, 0 * between]",
        "test_bounds.py",
    ),
    Mutation(
        "an entropy bound that is none", "_bounds.py", "-pairs.bhattacharyya)", "-1.5 * pairs.bhattacharyya)", "test_bounds.py"
    ),
    Mutation(
        "a variational bound that is none", "_bounds.py", " - log_omega[None] - log_psi", " - log_omega[None]", "test_bounds.py"
    ),
    Mutation(
        "an upper bound that is none",
        "_bounds.py",
        "mean_log_mixture(p, q, -across.kl)",
        "mean_log_mixture(p, q, -0.9 * across.kl)",
        "test_bounds.py",
    ),
]

FAMILY = [
    Mutation(
        "total variation of twice the log-ratio",
        "_f_divergence.py",
        "jnp.abs(jnp.tanh(t / 2))",
        "jnp.abs(jnp.tanh(t))",
        "test_f_divergence.py",
    ),
    Mutation(
        "a factor of Hellinger",
        "_f_divergence.py",
        "jnp.tanh(t / 2) * jnp.tanh(t / 4)",
        "jnp.tanh(t / 2) * jnp.tanh(t / 2)",
        "test_f_divergence.py",
    ),
    Mutation(
        "Renyi of the other order",
        "_f_divergence.py",
        "alpha / (1 - alpha) * _renyi",
        "(1 - alpha) / alpha * _renyi",
        "test_f_divergence.py",
    ),
    Mutation(
        "midpoint of p alone", "_f_divergence.py", "0.5 * a + 0.5 * b, from_p", "1.0 * a + 0 * b, from_p", "test_f_divergence.py"
    ),
    Mutation(
        "information without responsibilities",
        "_component_information.py",
        "(jnp.exp(log_weights[:, None] + gain) * jnp",
        "(jnp.exp(log_weights[:, None]) * jnp",
        "test_f_divergence.py",
    ),
    Mutation(
        "points deaf to the weights",
        "_sampling.py",
        "jax.jvp(in_batches, (gmm,), (tangents[2],))",
        "jax.jvp(lambda g: _moving(component, eps, g), (gmm,), (tangents[2],))",
        "test_sampling.py",
    ),
    Mutation(
        "responsibilities not updated",
        "_sampling.py",
        "return (log_weights - 0.5 * jnp.square(z) - log_scale[:, None], shift)",
        "return (log_weights, shift)",
        "test_sampling.py",
    ),
    Mutation(
        "condition without evidence",
        "_algebra.py",
        "jax.nn.log_softmax(gmm.logits) + log_evidence",
        "jax.nn.log_softmax(gmm.logits)",
        "test_algebra.py",
    ),
    Mutation(
        "product of unweighted pairs",
        "_algebra.py",
        "(_log_weights_of_pairs(p, q) + component",
        "(0 * _log_weights_of_pairs(p, q) + component",
        "test_algebra.py",
    ),
    Mutation(
        "convolution of pairs out of order",
        "_algebra.py",
        "logits = _log_weights_of_pairs(p, q).ravel()",
        "logits = _log_weights_of_pairs(p, q).T.ravel()",
        "test_algebra.py",
    ),
    Mutation(
        "covariance of the means left out", "_algebra.py", "return between + jnp.einsum", "return jnp.einsum", "test_algebra.py"
    ),
    Mutation(
        "padding with weight",
        "_mixing.py",
        "jnp.where(alive, padded.logits, -jnp.inf)",
        "padded.logits",
        "test_pairwise.py test_algebra.py",
    ),
    Mutation(
        "a matrix transposed",
        "_pairwise.py",
        "_at(rows, i), _at(columns, j)",
        "_at(columns, j), _at(rows, i)",
        "test_pairwise.py",
    ),
]

FITTING = [
    Mutation(
        "one key for all steps",
        "_fit.py",
        "jax.random.clone(key) if fixed_key else jax.random.fold_in(key, index)",
        "key",
        "test_fit.py test_fit_targets.py test_fit_priors.py",
    ),
    Mutation(
        "a diverged step kept",
        "_fit.py",
        "functools.partial(jnp.where, finite), (there, here)",
        "functools.partial(jnp.where, True), (there, here)",
        "test_fit.py",
    ),
    Mutation(
        "no plateau is seen", "_fit.py", "converged = ends &", "converged = ~ends & ends &", "test_fit.py test_fit_targets.py"
    ),
    Mutation(
        "a resumed run that starts anew",
        "_fit.py",
        "_going_on(params) if isinstance(params, FitResult) else",
        "_beginning(key, loss, params.params, optimizer) if isinstance(params, FitResult) else",
        "test_fit.py",
    ),
    Mutation(
        "reverse for forward",
        "_objectives.py",
        "kl_divergence(key, q, p, rule, path",
        "kl_divergence(key, p, q, rule, path",
        "test_fit.py test_fit_targets.py",
    ),
    Mutation(
        "the gradient of entropy for that of cross-entropy",
        "_objectives.py",
        "Objective(cross_entropy, p",
        "Objective(lambda key, p, q, rule: cross_entropy(key, q, p, rule), p",
        "test_fit_targets.py -k cross_entropy",
    ),
    Mutation(
        "a floor that is a ceiling",
        "_objectives.py",
        "jnp.maximum(update.log_diag",
        "jnp.minimum(update.log_diag",
        "test_fit.py test_fit_targets.py",
    ),
    Mutation(
        "the spread of merged means left out",
        "_reduce.py",
        "+ share * (1 - share) * self.outer(step)",
        "+ 0 * self.outer(step)",
        "test_reduce.py",
    ),
    Mutation(
        "the nearest merged, whatever the weights",
        "_reduce.py",
        "0.5 * (weight * self.log_det(covariance) - ours - theirs)",
        "(step := self.means[i] - self.means[j]).__pow__(2).sum(-1) + 0 * ours",
        "test_reduce.py",
    ),
    Mutation(
        "centres that forget the first",
        "_start.py",
        "jnp.minimum(distances, squared_distances(x, centre))",
        "squared_distances(x, centre)",
        "test_start.py",
    ),
    Mutation(
        "a mixture of NaN accepted",
        "_door.py",
        "if not np.isfinite(values).all():",
        "if False:",
        "test_gmm.py test_divergence.py test_density.py",
    ),
    Mutation("mixtures of two spaces accepted", "_door.py", "if len(different) > 1:", "if False:", "test_gmm.py"),
    Mutation(
        "scikit-learn's factor transposed",
        "interop.py",
        "np.linalg.inv(factors).swapaxes(-1, -2)",
        "np.linalg.inv(factors)",
        "test_interop.py -k to_sklearn",
    ),
]

OF_FORMS = PAIRS + FAMILY + FITTING
