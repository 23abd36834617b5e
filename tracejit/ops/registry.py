"""Every op by its name, and which of their rules are still missing."""

from __future__ import annotations

import copyreg

from tracejit.ops.op import Op

REGISTRY: dict[str, Op] = {}
NOT_DIFFERENTIABLE: dict[str, str] = {}
"""Ops with a floating-point result and no gradient, and the reason."""

RULES = ("vjp", "jvp", "vmap")


def register(op: Op, *, not_differentiable: str | None = None) -> Op:
    """Enters `op` under its name, which must be new; a reason says that it has no gradient on purpose."""
    if op.name in REGISTRY:
        raise ValueError(f"there are two ops named {op.name}")
    REGISTRY[op.name] = op
    if not_differentiable is not None:
        NOT_DIFFERENTIABLE[op.name] = not_differentiable
    return op


def named(name: str) -> Op:
    """The op of this name."""
    return REGISTRY[name]


# There is one of each op, known by what it is: a model that holds one is copied and pickled with its name.
copyreg.pickle(Op, lambda op: (named, (op.name,)))


def missing_rules() -> dict[str, tuple[str, ...]]:
    """The rules that each op still lacks; an op with a reason to have no gradient lacks no vjp and no jvp."""
    missing = {
        name: tuple(rule for rule in RULES if getattr(op, rule) is None)
        for name, op in REGISTRY.items()
    }
    for name in NOT_DIFFERENTIABLE:
        missing[name] = tuple(rule for rule in missing[name] if rule == "vmap")
    return {name: rules for name, rules in missing.items() if rules}
