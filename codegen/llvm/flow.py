"""Structured control flow over the builder's blocks: loops that carry values, and conditionals that choose them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.types import Type

I64 = Type("i64")

Values = tuple[Value, ...]


def loop(
    b: Builder,
    start: Value,
    stop: Value,
    step: int,
    carried: Sequence[Value],
    body: Callable[[Value, Values], Sequence[Value]],
) -> Values:
    """`for index in range(start, stop, step): carried = body(index, carried)`; what is carried at the end."""
    before, head, latch, done = b.block, b.fresh("loop"), b.fresh("latch"), b.fresh("done")
    b.branch(start < stop, head, done)
    b.start(head)
    phis_at = len(b.lines)
    index = b.value(f"%{b.fresh()}", I64)
    inside = tuple(b.value(f"%{b.fresh()}", value.type) for value in carried)
    after = tuple(body(index, inside))
    b.jump(latch)
    b.start(latch)
    # Frozen, so that LLVM's strength reduction sees no induction variable: it takes half of the time of a compilation, and an
    # index is what these loops address memory by.
    following = b.emit(f"freeze {b.emit(f'add nsw {index}, {step}', I64)}", I64)
    b.branch(following < stop, head, done)
    # The phis name what the body defines, so they are written last.
    phis = [
        f"  {phi.text} = phi {phi.type} [ {first.text}, %{before} ], [ {again.text}, %{latch} ]"
        for phi, first, again in zip(
            (index, *inside), (start, *carried), (following, *after), strict=True
        )
    ]
    b.lines[phis_at:phis_at] = phis
    b.start(done)
    return tuple(
        b.phi(first.type, (first, before), (last, latch))
        for first, last in zip(carried, after, strict=True)
    )


def when(
    b: Builder,
    condition: Value,
    otherwise: Sequence[Value],
    body: Callable[[], Sequence[Value]],
    *,
    unlikely: bool = False,
) -> Values:
    """`body()` if `condition` else `otherwise`"""
    before, then, done = b.block, b.fresh("then"), b.fresh("done")
    b.branch(condition, then, done, unlikely=unlikely)
    b.start(then)
    values = tuple(body())
    last = b.block
    b.jump(done)
    b.start(done)
    return tuple(
        b.phi(value.type, (value, last), (other, before))
        for value, other in zip(values, otherwise, strict=True)
    )
