r"""Divergences between Gaussian mixtures, with standard errors and right gradients.

How far apart are two mixtures p and q, or the two data sets that they are fitted to?

    import jax, jaxgmm
    key = jax.random.key(0)
    p = jaxgmm.GMM.from_moments(weights, means, covariances)    # or jaxgmm.from_sklearn(fitted)
    print(jaxgmm.estimate(jaxgmm.kl_divergence, key, p, q))     # 0.2694 +- 0.0001 (integration)
    print(jaxgmm.two_sample_test(key, x, y))                    # more than chance, or no more?

Mixtures     `GMM`, `sample`, `log_prob`, `marginal`, `mixture_of`, `from_sklearn`, `save`, `load`
Divergences  `kl_divergence`, `js_divergence`, `renyi_divergence`, ... of (key, p, q), in nats;
             `all_divergences` in one pass, `pairwise` for many mixtures, `kl_bounds`, `l2_distance`
Errors       `estimate` adds the standard error of the integration, or reaches a tolerance
Fits         `fit_em` and `select_components` for data, `fit` for any loss by optax, `reduce`
Data         `two_sample_test` and `drift`: whether samples differ by more than chance, and where
Pictures     `jaxgmm.plot`

Parameters are unconstrained arrays: `jax.grad`, `jax.jit` and optax work on mixtures as they are.
Programs compile at their first call.
Read on by `help(jaxgmm.GMM)` and so on, or compare two files of data by `jaxgmm compare A B`.
"""

from functools import cache as _cache

__version__ = "0.2.0"

# `jax.export` loads only types whose modules are imported, so that the first name imports these.
_EXPORTED = ("GMM", "Estimate", "Divergences", "ImportanceWeights", "EMResult", "FitResult")


@_cache
def _homes() -> dict[str, str]:
    """The module of each public name, as `__init__.pyi` lists them for type checkers."""
    import ast
    import pkgutil

    stub = ast.parse(pkgutil.get_data("jaxgmm", "__init__.pyi") or b"")
    lines = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(line.module) for line in lines for alias in line.names}


def __getattr__(name: str) -> object:
    # Imported with the package, all names together would take longer than many a computation.
    import importlib

    if name not in _homes():
        raise AttributeError(f"module 'jaxgmm' has no attribute {name!r}")
    home = _homes()[name]
    if home == "jaxgmm":
        return importlib.import_module(f"jaxgmm.{name}")
    for found in {name, *_EXPORTED} - set(globals()):
        globals()[found] = getattr(importlib.import_module(_homes()[found]), found)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
