"""Writes the LLVM text of the run time's own kernels: fresh names, and loops with carried values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Writer:
    """Text of one function at a time: fresh names, and loops with carried values."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0
        self._block = "entry"

    def let(self, expression: str) -> str:
        name = self.fresh("%v")
        self.lines.append(f"  {name} = {expression}")
        return name

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def at(self, pointer: str, *offsets: str) -> str:
        """`pointer` moved by bytes."""
        for offset in offsets:
            pointer = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
        return pointer

    @contextmanager
    def function(self, signature: str) -> Iterator[None]:
        self.lines.append(f"define {signature} {{\nentry:")
        self._block = "entry"
        yield
        self.lines.append("  ret void\n}\n")

    @contextmanager
    def finish_when(self, condition: str) -> Iterator[None]:
        """What is in the block is all that the function does where `condition` holds."""
        then, after = self.fresh("then"), self.fresh("after")
        self.do(f"br i1 {condition}, label %{then}, label %{after}")
        self.enter(then)
        yield
        self.do("ret void")
        self.enter(after)

    @contextmanager
    def loop(self, start: str, stop: str, step: str) -> Iterator[str]:
        """`for index in range(start, stop, step)`"""
        with self.carrying(start, stop, step, ()) as (index, _, _):
            yield index

    @contextmanager
    def carrying(
        self, start: str, stop: str, step: str, initial: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """A loop with carried values of (type, initial value): yields the index, the values, and the list of the next ones.

        After the loop `values` still name what was carried last.
        """
        head, body, latch, done = (self.fresh(name) for name in ("head", "body", "latch", "done"))
        before = self._block
        index, following = self.fresh("%i"), self.fresh("%n")
        values = [self.fresh("%c") for _ in initial]
        nexts: list[str] = []
        self.do(f"br label %{head}")
        self.enter(head)
        self.do(f"{index} = phi i64 [ {start}, %{before} ], [ {following}, %{latch} ]")
        at_phis = len(self.lines)
        inside = self.let(f"icmp slt i64 {index}, {stop}")
        self.do(f"br i1 {inside}, label %{body}, label %{done}")
        self.enter(body)
        yield index, values, nexts
        self.do(f"br label %{latch}")
        self.enter(latch)
        self.do(f"{following} = add i64 {index}, {step}")
        self.do(f"br label %{head}")
        self.lines[at_phis:at_phis] = [
            f"  {value} = phi {kind} [ {first}, %{before} ], [ {after}, %{latch} ]"
            for value, (kind, first), after in zip(values, initial, nexts, strict=True)
        ]
        self.enter(done)

    def enter(self, block: str) -> None:
        self.lines.append(f"{block}:")
        self._block = block

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"
