"""These mutations break the checks of arguments, and what functions and rules declare."""

from mutation import Mutation

VALIDATION = [
    Mutation(
        "a relation that is not run",
        "_decorated",
        "arguments if relation is None else relation(arguments)",
        "arguments",
        "test_validated_jit.py",
    ),
    Mutation(
        "what a relation returns is dropped",
        "_decorated",
        "arguments if relation is None else relation(arguments)",
        "arguments if relation is None or relation(arguments) else None",
        "test_validated_jit.py -k ones_own",
    ),
    Mutation(
        "arguments that are not checked",
        "validated_jit._checked",
        "value if check is None else check(name, value)",
        "value",
        "test_validated_jit.py -k name",
    ),
    Mutation(
        "no argument of jax.jit is static",
        "_decorated",
        "[name for name, check in checks.items() if check is not None and check.static]",
        "[]",
        "test_validated_jit.py",
    ),
    Mutation(
        "a static argument let through that is traced",
        "check_static",
        "_is_traced(value)",
        "False",
        "test_validated_jit.py -k traced",
    ),
    Mutation(
        "a member of a union that is not checked",
        "_check_of",
        "None if check is None else dataclasses.replace(check, function=_or_none(check.function))",
        "None",
        "test_validated_jit.py -k ones_own",
    ),
    Mutation(
        "checks shown by help",
        "_decorated",
        "_as_shown(signature)",
        "signature",
        "test_validated_jit.py -k help",
    ),
    Mutation(
        "keys taken for one key",
        "check_key",
        "typed and key.ndim == 0",
        "typed",
        "test_keys.py",
    ),
    Mutation(
        "every divergence taken for symmetric",
        "declared_by",
        "(function, Declared())",
        "(function, Declared(symmetric=True))",
        "test_pairwise.py",
    ),
    Mutation(
        "no divergence taken for symmetric",
        "validated_jit",
        "Declared(symmetric, finiteness, scaling, bound)",
        "Declared(False, finiteness, scaling, bound)",
        "test_validated_jit.py -k symmetry",
    ),
    Mutation(
        "a batch of another type let through",
        "checked_batch",
        "not isinstance(batch, Batch)",
        "False",
        "test_own_rules.py -k another_type",
    ),
    Mutation(
        "rules that are no static pytree nodes",
        "Rule.__init_subclass__",
        "jax.tree_util.register_static(cls)",
        "",
        "test_own_rules.py -k pass_through_jit",
    ),
    Mutation(
        "what a rule of another class has forgotten",
        "checked_rule",
        "getattr(rule, name, getattr(Rule, name))",
        "getattr(Rule, name)",
        "test_own_rules.py -k grow",
    ),
]
