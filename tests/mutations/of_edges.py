"""Ways to break what leads to other libraries, to files and to the command line."""

from mutation import Mutation

DISTRIBUTIONS = [
    Mutation(
        "signs of a factor's diagonal kept",
        "_distributions.py",
        'if form == "root" else _with_positive_diagonal(rows)',
        'if form == "root" else rows',
        "test_interop_distributions.py -k sign",
    ),
    Mutation(
        "any matrix taken for a lower triangle",
        "_distributions.py",
        '"tril" if lower else "root"',
        '"tril"',
        "test_interop_distributions.py -k upper",
    ),
    Mutation(
        "the logarithm of a weight of 0 differentiated",
        "_distributions.py",
        "jnp.log(jnp.where(dead, 1, probs))",
        "jnp.log(probs)",
        "test_interop_distributions.py -k dead",
    ),
    Mutation(
        "negative probabilities clipped",
        "_distributions.py",
        '"CategoricalProbs" in _names(categorical)',
        "False",
        "test_interop_libraries.py -k negative",
    ),
    Mutation(
        "batches accepted",
        "_distributions.py",
        "if len(weights) != 1 or batch not in ((), (1,), weights):",
        "if False:",
        "test_interop_libraries.py -k no_mixture",
    ),
    Mutation(
        "the factor of an indefinite matrix accepted",
        "_distributions.py",
        "    _check_finite(gmm)\n",
        "",
        "test_interop_libraries.py -k no_mixture",
    ),
    Mutation(
        "events of two dimensions taken for one",
        "_distributions.py",
        'form == "scalar" and int(distribution.reinterpreted_batch_ndims) == 1',
        'form == "scalar"',
        "test_interop_libraries.py -k no_mixture",
    ),
]

INTEROP = [
    Mutation(
        "a logit of -inf given to NumPyro",
        "interop.py",
        "jnp.maximum(gmm.logits, jnp.finfo(gmm.logits.dtype).min)",
        "gmm.logits",
        "test_interop_distributions.py -k 'dead and numpyro'",
    ),
    Mutation(
        "variances given to NumPyro for scales",
        "interop.py",
        "dist.Normal(gmm.loc, jnp.exp(gmm.log_diag))",
        "dist.Normal(gmm.loc, jnp.exp(2 * gmm.log_diag))",
        "test_interop_distributions.py -k 'there_and_back and numpyro'",
    ),
    Mutation(
        "OTT's last logit taken for 1",
        "interop.py",
        "jnp.zeros_like(logits, shape=1)",
        "jnp.ones_like(logits, shape=1)",
        "test_interop_libraries.py -k from_ott",
    ),
    Mutation(
        "scikit-learn imported at once",
        "interop.py",
        "import jax\nimport jax.numpy as jnp\n",
        "import jax\nimport jax.numpy as jnp\nimport sklearn\n",
        "test_layout.py",
    ),
]

FILES = [
    Mutation(
        "a file written in its place",
        "io.py",
        'with open(temporary, "xb") as file:',
        'with open(path, "wb") as file:',
        "test_io.py -k 'crash or disk'",
    ),
    Mutation("litter", "io.py", "os.unlink(temporary)", "pass", "test_io.py -k 'crash or disk'"),
    Mutation("permissions lost", "io.py", "shutil.copymode(path, temporary)", "pass", "test_io.py -k permissions"),
    Mutation("a pipe replaced", "io.py", "and not os.path.isfile(path)", "and os.path.isdir(path)", "test_io.py -k pipe"),
    Mutation("bombs let in", "io.py", "member.compress_type != zipfile.ZIP_STORED or", "False and", "test_io_damage.py -k bad"),
    Mutation("objects let in", "io.py", "if dtype.hasobject or", "if", "test_io_damage.py -k bad"),
    Mutation("newer files read", "io.py", 'self["version"] > VERSION', "False", "test_io_damage.py -k bad"),
    Mutation("another structure read", "io.py", "if structure != expected:", "if False:", "test_io.py -k not_like"),
    Mutation(
        "an empty axis taken at its word", "io.py", "expected not in (0, got)", "expected != got", "test_io_runs.py -k goes_on"
    ),
    Mutation(
        "both ways the same way", "_cli.py", "dict(reversed(mixtures.items()))", "mixtures", "test_cli.py -k saved_mixtures"
    ),
    Mutation(
        "an interrupted fit taken for done",
        "_cli.py",
        'filterwarnings("error", "fit',
        'filterwarnings("ignore", "fit',
        "test_cli.py",
    ),
    Mutation("a first line of numbers lost", "_table.py", "not any(_is_number", "not all(_is_number", "test_cli_input.py"),
]

OF_EDGES = DISTRIBUTIONS + INTEROP + FILES
