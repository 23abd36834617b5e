"""Writes the LLVM text of the run time's own kernels: functions, loops with carried values, vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tracejit.runtime.cpu.target import Level


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

    def frozen(self, value: str, kind: str = "i64") -> str:
        """The same, but LLVM no longer knows how it was made."""
        return self.let(f"freeze {kind} {value}")

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def at(self, pointer: str, *offsets: str) -> str:
        """`pointer` moved by bytes."""
        for offset in offsets:
            pointer = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
        return pointer

    @contextmanager
    def function(
        self, name: str, parameters: Sequence[str], *, internal: bool = True
    ) -> Iterator[None]:
        """A function of `parameters`, each a type and a name."""
        linkage = "internal " if internal else ""
        self.lines.append(f"define {linkage}void @{name}({', '.join(parameters)}) #0 {{\nentry:")
        self._block = "entry"
        yield
        self.lines.append("  ret void\n}\n")

    def call(self, name: str, parameters: Sequence[str], changes: Mapping[str, str]) -> None:
        """Calls a function with the caller's own parameters of the same names, but for `changes`."""
        arguments = []
        for parameter in parameters:
            kind, own = parameter.split()
            arguments.append(f"{kind} {changes.get(own, own)}")
        self.do(f"call void @{name}({', '.join(arguments)})")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        then, after = self.fresh("then"), self.fresh("after")
        self.do(f"br i1 {condition}, label %{then}, label %{after}")
        self.enter(then)
        yield
        self.do(f"br label %{after}")
        self.enter(after)

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
        # Frozen, so that LLVM's strength reduction sees no induction variable: it takes long, and gains nothing here.
        moved = self.let(f"add i64 {index}, {step}")
        self.do(f"{following} = freeze i64 {moved}")
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


class VectorWriter(Writer):
    """Writes operations on vectors of one dtype, as long as the level has them. Pointers are aligned to an element."""

    def __init__(self, dtype: str, level: Level) -> None:
        super().__init__()
        self.element, self.size, suffix = (
            ("float", 4, "f32") if dtype == "float32" else ("double", 8, "f64")
        )
        self.lanes = level.vector_bytes // self.size
        self.vector = f"<{self.lanes} x {self.element}>"
        self.suffix = f"v{self.lanes}{suffix}"
        self.has_fma = level.has_fma
        width = f'"prefer-vector-width"="{8 * level.vector_bytes}"'
        self.attributes = f"nounwind {width} {width.replace('prefer', 'min-legal')}"

    @property
    def declarations(self) -> str:
        v, s, n = self.vector, self.suffix, self.lanes
        return f"""\
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare {v} @llvm.fma.{s}({v}, {v}, {v})
declare {v} @llvm.masked.load.{s}.p0(ptr, <{n} x i1>, {v})
declare void @llvm.masked.store.{s}.p0({v}, ptr, <{n} x i1>)
"""

    def bytes_of(self, vectors: int) -> str:
        return str(vectors * self.lanes * self.size)

    def scaled(self, index: str) -> str:
        """Elements as bytes."""
        return self.let(f"mul i64 {index}, {self.size}")

    def smaller(self, x: str, y: str) -> str:
        return self.let(f"call i64 @llvm.smin.i64(i64 {x}, i64 {y})")

    def moved(self, pointer: str, *steps: tuple[str, str]) -> str:
        """`pointer` moved by index * stride for each step."""
        return self.at(
            pointer, *[self.let(f"mul i64 {index}, {stride}") for index, stride in steps]
        )

    def load(self, pointer: str) -> str:
        return self.let(f"load {self.vector}, ptr {pointer}, align {self.size}")

    def load_pieces(self, pointers: Sequence[str]) -> str:
        """A vector whose parts, all of one size, lie at the pointers."""
        count = self.lanes // len(pointers)
        parts = [
            self.let(f"load <{count} x {self.element}>, ptr {pointer}, align {self.size}")
            for pointer in pointers
        ]
        while len(parts) > 1:
            kind = f"<{count} x {self.element}>"
            count *= 2
            lanes = ", ".join(f"i32 {lane}" for lane in range(count))
            parts = [
                self.let(f"shufflevector {kind} {x}, {kind} {y}, <{count} x i32> <{lanes}>")
                for x, y in zip(parts[::2], parts[1::2])
            ]
        return parts[0]

    def load_where(self, mask: str, pointer: str) -> str:
        """Zero, and no access to memory, in the lanes where `mask` is not set."""
        v, n = self.vector, self.lanes
        return self.let(
            f"call {v} @llvm.masked.load.{self.suffix}.p0(ptr align {self.size} {pointer}, "
            f"<{n} x i1> {mask}, {v} zeroinitializer)"
        )

    def put(self, pointer: str, value: str) -> None:
        self.do(f"store {self.vector} {value}, ptr {pointer}, align {self.size}")

    def put_where(self, mask: str, pointer: str, value: str) -> None:
        """No access to memory in the lanes where `mask` is not set."""
        self.do(
            f"call void @llvm.masked.store.{self.suffix}.p0({self.vector} {value}, "
            f"ptr align {self.size} {pointer}, <{self.lanes} x i1> {mask})"
        )

    def prefetch_for_writing(self, pointer: str) -> None:
        self.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 1, i32 3, i32 1)")

    def splat(self, pointer: str) -> str:
        value = self.let(f"load {self.element}, ptr {pointer}, align {self.size}")
        single = self.let(f"insertelement {self.vector} poison, {self.element} {value}, i64 0")
        return self.let(
            f"shufflevector {self.vector} {single}, {self.vector} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def multiply_add(self, x: str, y: str, z: str) -> str:
        v = self.vector
        if self.has_fma:
            return self.let(f"call {v} @llvm.fma.{self.suffix}({v} {x}, {v} {y}, {v} {z})")
        return self.let(f"fadd {v} {self.let(f'fmul {v} {x}, {y}')}, {z}")

    def shuffle(self, x: str, y: str, lanes: Sequence[int]) -> str:
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.let(
            f"shufflevector {self.vector} {x}, {self.vector} {y}, <{self.lanes} x i32> <{mask}>"
        )

    def mask(self, columns: str) -> str:
        """The lanes below `columns`."""
        n = self.lanes
        single = self.let(f"insertelement <{n} x i64> poison, i64 {columns}, i64 0")
        limit = self.let(
            f"shufflevector <{n} x i64> {single}, <{n} x i64> poison, <{n} x i32> zeroinitializer"
        )
        lanes = ", ".join(f"i64 {lane}" for lane in range(n))
        return self.let(f"icmp slt <{n} x i64> <{lanes}>, {limit}")
