"""Keys that are missing, wrong or of the old style, and calls with too few arguments or too
many.
"""

import jax
import pytest

import jaxgmm
from support.mixtures import PAIRS, gmm, random_mixture

DIVERGENCES = [
    *(jaxgmm.kl_divergence, jaxgmm.js_divergence, jaxgmm.jeffreys_divergence),
    *(jaxgmm.cross_entropy, jaxgmm.entropy),
]


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_random_rule_needs_a_key(divergence):
    mixtures = [gmm(random_mixture(0, 2, 2))] * (1 if divergence is jaxgmm.entropy else 2)
    for rule in (jaxgmm.MonteCarlo(2**14), jaxgmm.Sobol(2**12)):
        with pytest.raises(ValueError, match=r"key is None, but .* draws at random"):
            divergence(None, *mixtures, rule)
    with pytest.raises(
        TypeError, match=r"key must be a JAX random key, got 0; write jax.random.key\(0\)"
    ):
        divergence(0, *mixtures)
    with pytest.raises(ValueError, match="key must be one key, got an array of keys"):
        divergence(jax.random.split(jax.random.key(0), 3), *mixtures)


@pytest.mark.smoke
def test_arguments_that_do_not_fit():
    """A key that was forgotten, or one too many: the error says what the function takes."""
    p, q = map(gmm, PAIRS["overlapping"])
    with pytest.raises(
        TypeError, match=r"^kl_divergence\(key, p, q, rule, .*\): missing a required argument: 'q'$"
    ):
        jaxgmm.kl_divergence(p, q)
    with pytest.raises(TypeError, match=r"^l2_distance\(p, q\): too many positional arguments$"):
        jaxgmm.l2_distance(jax.random.key(0), p, q)
    with pytest.raises(
        TypeError, match=r"^key must be a JAX random key, got GMM\(.{,40}\); write jax.random.key"
    ):
        jaxgmm.kl_divergence(p, p, q)


def test_old_style_keys_are_keys():
    p, q = map(gmm, PAIRS["overlapping"])
    assert jaxgmm.kl_divergence(jax.random.PRNGKey(0), p, q) == jaxgmm.kl_divergence(
        jax.random.key(0), p, q
    )
