"""Algebraic rules: each one equation, which is its docstring, and exact for NaN, infinities and signed zeros.

A rule gives the node that takes the place of the one it is given, of the same type, or None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from typing import Any, TypeGuard

from tracejit.dtypes import DType, can_cast
from tracejit.ir.graph import Apply, Constant, Graph, Node
from tracejit.ops import elementwise as e
from tracejit.ops import functions as f
from tracejit.ops.op import Layout, Op, Update, View
from tracejit.ops.registry import REGISTRY
from tracejit.passes.layouts import row_major

Rule = Callable[[Any], Node | None]

RULES: dict[Op | type, list[Rule]] = {}
"""Rules by the op, or by the kind of recipe, that they rewrite."""
FASTMATH: dict[Op | type, list[Rule]] = {}
"""Rules that change values, within what `fastmath=True` allows."""

astype = REGISTRY["astype"]
constant = REGISTRY["constant"]


def rewrites(*subjects: Op | type, fastmath: bool = False) -> Callable[[Rule], Rule]:
    """Enters a rule for ops, or for all ops of a recipe."""

    def enter(rule: Rule) -> Rule:
        for subject in subjects:
            (FASTMATH if fastmath else RULES).setdefault(subject, []).append(rule)
        return rule

    return enter


def simplify(graph: Graph, *, fastmath: bool = False) -> Graph:
    """No rule applies to a node; every output has the bits it had, unless `fastmath`."""
    tables = (RULES, FASTMATH) if fastmath else (RULES,)

    def rewrite(node: Node) -> Node | None:
        replaced = None
        while (better := _first(tables, node)) is not None:
            replaced = node = better
        return replaced

    return graph.rewrite(rewrite)


def _first(tables: tuple[dict[Op | type, list[Rule]], ...], node: Node) -> Node | None:
    if not isinstance(node, Apply):
        return None
    for table in tables:
        for rule in (*table.get(node.op, ()), *table.get(type(node.op.recipe), ())):
            better: Node | None = rule(node)
            if better is not None:
                assert better.aval is node.aval, (
                    f"{rule.__doc__}: {node.aval} becomes {better.aval}"
                )
                return better
    return None


def apply(op: Op, *inputs: Node, like: Apply, **params: Any) -> Apply:
    """An op in the place of `like`, which had its line."""
    aval = op.infer(*(node.aval for node in inputs), **params)
    return Apply(op, inputs, tuple(sorted(params.items())), aval, like.loc)


def known(node: Node) -> bool | int | float | None:
    """The number that all elements of `node` are, where the text says so."""
    while isinstance(node, Apply) and isinstance(node.op.recipe, View):
        node = node.inputs[0]
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Apply) and node.op is constant:
        value = node.kwargs["value"]
        return float(value) if node.aval.dtype.is_float else value
    return None


def is_splat(node: Node, number: float) -> bool:
    """Whether every element is `number`, the sign of a zero included where the dtype has one."""
    value = known(node)
    if value is None or value != number:
        return False
    return not node.aval.dtype.is_float or copysign(1, value) == copysign(1, number)


def same(node: Apply, source: Node) -> Node | None:
    """`source`, if it has the type of `node`: an operand that was broadcast does not."""
    return source if source.aval is node.aval else None


def applied(node: Node, op: Op) -> tuple[Node, ...] | None:
    """The inputs of `node` if it applies `op`."""
    return node.inputs if isinstance(node, Apply) and node.op is op else None


# arithmetic


@rewrites(e.multiply)
def multiply_by_one(node: Apply) -> Node | None:
    """x * 1 -> x, 1 * x -> x"""
    x, y = node.inputs
    if is_splat(y, 1):
        return same(node, x)
    return same(node, y) if is_splat(x, 1) else None


@rewrites(e.divide)
def divide_by_one(node: Apply) -> Node | None:
    """x / 1 -> x"""
    x, y = node.inputs
    return same(node, x) if is_splat(y, 1) else None


@rewrites(e.subtract)
def subtract_zero(node: Apply) -> Node | None:
    """x - 0 -> x; not x - (-0.0), which makes 0.0 of -0.0"""
    x, y = node.inputs
    return same(node, x) if is_splat(y, 0.0) else None


@rewrites(e.add)
def add_negative_zero(node: Apply) -> Node | None:
    """x + (-0.0) -> x, -0.0 + x -> x, and of integers x + 0 -> x; not x + 0.0, which makes 0.0 of -0.0"""
    x, y = node.inputs
    if is_splat(y, -0.0):
        return same(node, x)
    return same(node, y) if is_splat(x, -0.0) else None


@rewrites(e.negative)
def negative_twice(node: Apply) -> Node | None:
    """-(-x) -> x"""
    inner = applied(node.inputs[0], e.negative)
    return inner[0] if inner else None


@rewrites(e.positive)
def positive(node: Apply) -> Node | None:
    """+x -> x"""
    return node.inputs[0]


@rewrites(e.abs)
def abs_of_abs(node: Apply) -> Node | None:
    """||x|| -> |x|"""
    x = node.inputs[0]
    return x if applied(x, e.abs) else None


@rewrites(e.abs)
def abs_of_negative(node: Apply) -> Node | None:
    """|-x| -> |x|; not of unsigned numbers, which have their own absolute value"""
    inner = applied(node.inputs[0], e.negative)
    if inner is None or node.aval.dtype.kind == "u":
        return None
    return apply(e.abs, inner[0], like=node)


# logic and choice


@rewrites(e.logical_not)
def not_twice(node: Apply) -> Node | None:
    """not not x -> x"""
    inner = applied(node.inputs[0], e.logical_not)
    return inner[0] if inner else None


@rewrites(e.bitwise_invert)
def invert_twice(node: Apply) -> Node | None:
    """~~x -> x"""
    inner = applied(node.inputs[0], e.bitwise_invert)
    return inner[0] if inner else None


@rewrites(e.maximum, e.minimum, e.logical_and, e.logical_or, e.bitwise_and, e.bitwise_or)
def idempotent(node: Apply) -> Node | None:
    """op(x, x) -> x"""
    x, y = node.inputs
    return x if x is y else None


@rewrites(e.where)
def choice_of_equals(node: Apply) -> Node | None:
    """where(c, x, x) -> x"""
    _, x, y = node.inputs
    return same(node, x) if x is y else None


@rewrites(e.where)
def choice_by_negation(node: Apply) -> Node | None:
    """where(not c, x, y) -> where(c, y, x)"""
    condition, x, y = node.inputs
    inner = applied(condition, e.logical_not)
    return apply(e.where, inner[0], y, x, like=node) if inner else None


@rewrites(e.where)
def choice_by_number(node: Apply) -> Node | None:
    """where(true, x, y) -> x, where(false, x, y) -> y"""
    condition, x, y = node.inputs
    chosen = known(condition)
    return None if chosen is None else same(node, x if chosen else y)


# casts


@rewrites(astype)
def cast_to_itself(node: Apply) -> Node | None:
    """astype(x, dtype of x) -> x"""
    return same(node, node.inputs[0])


@rewrites(astype)
def cast_of_exact_cast(node: Apply) -> Node | None:
    """astype(astype(x, wide), dtype) -> astype(x, dtype), where wide holds every value of x"""
    inner = applied(node.inputs[0], astype)
    if inner is None:
        return None
    x, wide, target = inner[0], node.inputs[0].aval.dtype, node.aval.dtype
    if not _holds(wide, x.aval.dtype) or not _is_same_cast(x.aval.dtype, wide, target):
        return None
    return apply(astype, x, like=node, dtype=target)


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is one of `wide`: of 64-bit integers no float holds all, which is "safe" to NumPy."""
    is_rounded = wide.is_float and narrow.kind in "iu" and narrow.itemsize == 8
    return can_cast(narrow, wide) and not is_rounded


def _is_same_cast(narrow: DType, wide: DType, target: DType) -> bool:
    """Whether both convert alike also what `target` cannot hold: integers wrap, and floats do not."""
    if target is narrow:
        return True
    return target.is_float if wide.is_float and narrow.is_float else not wide.is_float


# views


@rewrites(View)
def view_of_everything(node: Apply) -> Node | None:
    """view(x) -> x, where each element keeps its place"""
    x = node.inputs[0]
    return same(node, x) if part_of(node) == plain(row_major(x.aval.sizes)) else None


@rewrites(REGISTRY["reshape"])
def reshape_twice(node: Apply) -> Node | None:
    """reshape(reshape(x)) -> reshape(x)"""
    inner = applied(node.inputs[0], node.op)
    return apply(node.op, inner[0], like=node, **node.kwargs) if inner else None


@rewrites(REGISTRY["permute"])
def permute_twice(node: Apply) -> Node | None:
    """permute(permute(x, p), q) -> permute(x, p[q])"""
    inner = node.inputs[0]
    if not isinstance(inner, Apply) or inner.op is not node.op:
        return None
    axes = tuple(inner.kwargs["axes"][axis] for axis in node.kwargs["axes"])
    return apply(node.op, inner.inputs[0], like=node, axes=axes)


# updates


@rewrites(View)
def view_of_updated_part(node: Apply) -> Node | None:
    """view(update(x, value)) -> value, where they have the same part"""
    x = node.inputs[0]
    if not is_update(x) or part_of(node) is None or part_of(node) != part_of(x):
        return None
    return same(node, x.inputs[1])


@rewrites(Update)
def update_of_everything(node: Apply) -> Node | None:
    """update(x, value) -> value, where the part is the whole"""
    return (
        same(node, node.inputs[1]) if part_of(node) == plain(row_major(node.aval.sizes)) else None
    )


@rewrites(Update)
def update_by_itself(node: Apply) -> Node | None:
    """update(x, view(x)) -> x, where they have the same part"""
    x, value = node.inputs
    if (
        not isinstance(value, Apply)
        or not isinstance(value.op.recipe, View)
        or value.inputs[0] is not x
    ):
        return None
    return x if part_of(value) is not None and part_of(value) == part_of(node) else None


def is_update(node: Node) -> TypeGuard[Apply]:
    return isinstance(node, Apply) and isinstance(node.op.recipe, Update)


def part_of(node: Node) -> Layout | None:
    """The elements of its first input that a view gives or an update replaces."""
    assert isinstance(node, Apply)
    recipe = node.op.recipe
    assert isinstance(recipe, View | Update)
    part = recipe.layout(row_major(node.inputs[0].aval.sizes), **node.kwargs)
    return None if part is None else plain(part)


def plain(layout: Layout) -> Layout:
    """The layout with stride 0 where a dimension has one element, so that equal parts have equal layouts."""
    strides = (stride if extent > 1 else 0 for stride, extent in zip(layout.strides, layout.shape))
    return Layout(layout.shape, tuple(strides), layout.offset)


# rules that change values


@rewrites(f.log, fastmath=True)
def log_of_one_plus(node: Apply) -> Node | None:
    """log(1 + x) -> log1p(x)"""
    inner = applied(node.inputs[0], e.add)
    if inner is None:
        return None
    one, x = inner if is_splat(inner[0], 1) else reversed(inner)
    return apply(f.log1p, x, like=node) if is_splat(one, 1) and x.aval is node.aval else None


@rewrites(e.subtract, fastmath=True)
def exp_less_one(node: Apply) -> Node | None:
    """exp(x) - 1 -> expm1(x)"""
    x, one = node.inputs
    inner = applied(x, f.exp)
    return (
        apply(f.expm1, inner[0], like=node)
        if inner and is_splat(one, 1) and x.aval is node.aval
        else None
    )


@rewrites(e.multiply, fastmath=True)
def product_of_numbers(node: Apply) -> Node | None:
    """(x * a) * b -> x * (a * b), for numbers a and b"""
    product, b = node.inputs
    inner = applied(product, e.multiply)
    if inner is None or known(b) is None or known(inner[1]) is None or inner[1].aval is not b.aval:
        return None
    return apply(e.multiply, inner[0], apply(e.multiply, inner[1], b, like=node), like=node)


@rewrites(e.divide, fastmath=True)
def division_by_number(node: Apply) -> Node | None:
    """x / a -> x * (1 / a), for a number a"""
    x, a = node.inputs
    if not known(a):
        return None
    return apply(e.multiply, x, apply(e.reciprocal, a, like=node), like=node)
