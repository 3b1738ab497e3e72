"""The evidence lower bound of a mixture against an unnormalised log-density."""

from collections.abc import Callable

from jax import Array

from jaxgmm._divergence.entropies import held
from jaxgmm._expectation.expectation import FunctionOfPoints, checked_at_points, expectation
from jaxgmm._mixture.density import log_density
from jaxgmm._mixture.validation import Mixture
from jaxgmm._quadrature.rule import RuleArg
from jaxgmm._quadrature.sobol import DEFAULT_RULE
from jaxgmm._validation.arguments import Devices, Flag, Key
from jaxgmm._validation.validated_jit import validated


@validated()
def elbo(
    key: Key,
    q: Mixture,
    target: FunctionOfPoints[Array],
    rule: RuleArg = DEFAULT_RULE,
    *,
    path_gradient: Flag = True,
    mesh: Devices = None,
) -> Array:
    r"""An estimate of the evidence lower bound (ELBO) of a mixture for any target.

    .. math:: \mathrm{ELBO}(q) = E_q[\log f(x) - \log q(x)] = \log Z - KL(q \| f / Z)

    The density f need not be normalised, with Z its integral. Variational inference maximises the
    ELBO: the best q is nearest to f / Z. `reverse_kl_loss` of the target is its negative, for
    `fit`. This function is not jitted, so jit its caller.

    Args:
      key: a random key; None with a rule that draws nothing.
      q: the mixture that approximates.
      target: log f, a function from points (n, D) to (n,), such as the sum of a log-prior and a
        log-likelihood. Wrap a function of one point in `jax.vmap`.
      rule: the points under q.
      path_gradient: whether to take the gradient through the points alone. It is unbiased, and
        where q is f / Z it is exactly 0. It is not the gradient of the value, which line searches
        and second derivatives need.
      mesh: devices to spread the points over; see `expectation`.

    Returns:
      A scalar, in nats. `estimate` adds its standard error if ``target=...`` is passed by name.

    Raises:
      TypeError: an argument has the wrong type, or target does not map (n, D) to (n,).
      ValueError: a parameter of q is not finite, or key is None and the rule draws at random.

    Example:
      >>> import jax, jaxgmm
      >>> q = jaxgmm.GMM.from_moments([1.0], [[0.0]], [1.0], "spherical")
      >>> value = elbo(jax.random.key(0), q, lambda x: -0.5 * (x[:, 0] - 1) ** 2)
      >>> print(f"{value:.3f}")  # log sqrt(2 pi) - 1/2
      0.419

    References:
      Blei, Kucukelbir and McAuliffe, Variational inference, JASA 112 (2017), eq. 13.
      Roeder, Wu and Duvenaud, Sticking the landing, NeurIPS (2017), for the path gradient.
    """
    log_f, log_q = of_points(target), log_density(held(q) if path_gradient else q)
    return expectation(key, q, lambda x: log_f(x) - log_q(x), rule, mesh=mesh)


def of_points(target: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The target, with an error if it does not map points (n, D) to (n,)."""
    return checked_at_points("target", target)
