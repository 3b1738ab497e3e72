"""These mutations break fits and reductions."""

from mutation import Mutation

FIT = [
    Mutation(
        "a resumed run that starts anew",
        "_start",
        "dataclasses.replace(params, converged=no, diverged=no)",
        "_start(key, loss, params.params, optimizer)",
        "test_fit.py",
    ),
    Mutation(
        "one key for all steps",
        "run_steps",
        "jax.random.clone(key) if fixed_key else jax.random.fold_in(key, index)",
        "key",
        "test_fit.py test_fit_targets.py test_fit_priors.py",
    ),
    Mutation(
        "a diverged step kept",
        "_step",
        "functools.partial(jnp.where, finite)",
        "functools.partial(jnp.where, True)",
        "test_fit.py",
    ),
    Mutation(
        "no plateau is seen",
        "_plateau",
        "ends & (state.last_mean - mean <= jnp.asarray(tol, value.dtype))",
        "~ends & ends & (state.last_mean - mean <= jnp.asarray(tol, value.dtype))",
        "test_fit.py test_fit_targets.py",
    ),
    Mutation(
        "reverse for forward",
        "_reverse_kl",
        "kl_divergence(key, q, p, rule, path_gradient=path_gradient)",
        "kl_divergence(key, p, q, rule, path_gradient=path_gradient)",
        "test_fit.py test_fit_targets.py",
    ),
    Mutation(
        "the gradient of entropy for that of cross-entropy",
        "cross_entropy_loss",
        "Objective(cross_entropy, p, (rule,))",
        "Objective(lambda key, p, q, rule: cross_entropy(key, q, p, rule), p, (rule,))",
        "test_fit_targets.py -k cross_entropy",
    ),
    Mutation(
        "the spread of merged means left out",
        "_Components.merged",
        "share * (1 - share)",
        "0",
        "test_reduce.py",
    ),
    Mutation(
        "the nearest merged, whatever the weights",
        "_Components.cost_of_merging",
        "0.5 * (weight * self.log_det(covariance) - of_i - of_j)",
        "(step := self.means[i] - self.means[j]).__pow__(2).sum(-1) + 0 * of_i",
        "test_reduce.py",
    ),
    Mutation(
        "the dead not left out of a reduction",
        "_merged",
        "jax.tree.map(lambda leaf: leaf if len(leaf) == 1 else leaf[alive], gmm)",
        "gmm",
        "test_reduce.py -k dead",
    ),
    Mutation(
        "a floor that is a ceiling",
        "scale_floor",
        "jnp.maximum(update.log_diag, lowest - params.log_diag)",
        "jnp.minimum(update.log_diag, lowest - params.log_diag)",
        "test_fit.py test_fit_targets.py",
    ),
]
