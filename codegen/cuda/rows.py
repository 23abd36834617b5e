"""Rows in registers: each thread of a team keeps some elements of its row from the first of a kernel's loops to the last.

A warp has a part of a fold's block, two neighbours a lane at a time. So all of a row is asked for at once, by all warps, and
what is costly is computed by all of them. What the fold's tree has one after another is left: the block's 64 accumulators go from
its first warp to the next, each of which joins its part, and the last one joins them in halves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from tracejit._records import dataclass
from tracejit.codegen.cuda.builder import TYPES
from tracejit.codegen.cuda.folds import Folder, shared_type
from tracejit.codegen.cuda.frame import Frame, memory_type
from tracejit.codegen.cuda.registers import LANES, PAIR, ROW_WARPS, homes, is_direct, pairs_of
from tracejit.codegen.cuda.strips import Packs, bind, find_packs, pack_type
from tracejit.codegen.kernel.ir import Fold, For, Load, Operand, Stmt, Store, Tree, Var
from tracejit.codegen.llvm.flow import I64
from tracejit.codegen.llvm.types import Type
from tracejit.dtypes import bool_

AHEAD = 2
"""Pairs that a thread reads at once of each of several arrays."""
_INT, _BOOL = Type("i32"), Type("i1")

Element = Callable[[str, str], None]
"""`element(pair, inside)` writes what is done with one element; `inside`, if not empty, says whether it is one of the row."""


def bind_kept(frame: Frame) -> None:
    """The registers of what is kept, by the names of the kernel's scratch."""
    pairs = pairs_of(frame.kernel)
    for number, buffer in enumerate(frame.kernel.scratch):
        frame.pointers[buffer] = name = f"t{number}"
        frame.b.line(f"Pack<{memory_type(buffer.dtype)}, {LANES}> {name}[{pairs}];")
    frame.b.line(f"const int own = group * {pairs * PAIR} + {LANES} * lane;")


def write_row_loop(frame: Frame, loop: For, block: Callable[[Sequence[Stmt]], None]) -> None:
    """A vector loop along the row."""
    with frame.b.braces(), frame.guarded(""):
        stage = _Stage.of(frame, loop.body, loop.index, loop.extent)
        stage.write(lambda pair, inside: block(loop.body))


def write_row_fold(frame: Frame, fold: Fold, block: Callable[[Sequence[Stmt]], None]) -> None:
    """A fold along the row."""
    with frame.guarded(""):
        _RowFolder(frame, fold, lambda: block(fold.body)).row()


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """One loop along a row.

    kept    accesses of what is kept in registers
    packs   those of global memory that run along the row, by pairs
    homes   of these the reads whose values are kept as they are, and where
    left    C for how many elements of the row come from the thread's first one on
    wide    C for whether these may be read and written as pairs
    is_all  whether there are no other accesses: what lies beyond the row can then be computed as well, with no branches
    pairs   that a thread has
    """

    frame: Frame
    index: Var
    kept: tuple[Load | Store, ...]
    packs: Packs
    homes: Mapping[Load, str]
    left: str
    wide: str
    is_all: bool
    pairs: int

    @staticmethod
    def of(frame: Frame, body: Sequence[Stmt], index: Var, extent: Operand) -> _Stage:
        packs = find_packs(body, index, LANES)
        accesses: tuple[Load | Store, ...] = (*packs.loads, *packs.stores)
        kept = tuple(access for access in accesses if access.buffer.scratch is not None)
        packs.loads = {load: "" for load in packs.loads if load.buffer.scratch is None}
        packs.stores = {store: "" for store in packs.stores if store.buffer.scratch is None}
        count = frame.b.emit(f"(int){frame.operand(extent).text}", _INT).text
        wide = ""
        if packs:
            wide = frame.b.emit(f"{bind(frame, packs)} && {count} % {LANES} == 0", _BOOL).text
        kept_as = {load: frame.pointers[buffer] for load, buffer in homes(body).items()}
        left = frame.b.emit(f"{count} - own", _INT).text
        is_all = len(accesses) == sum(isinstance(stmt, Load | Store) for stmt in body)
        pairs = pairs_of(frame.kernel)
        return _Stage(frame, index, kept, packs, kept_as, left, wide, is_all, pairs)

    def write(self, element: Element) -> None:
        """All elements of a thread. A single array is read before anything is done with it, of several some at a time."""
        if len(self.packs.loads) <= 1:
            self.compute(self.read("0", self.pairs), "0", self.pairs, element)
            return
        first = self.frame.b.fresh("c")
        head = f"int {first} = 0; {first} < {self.pairs}; {first} += {AHEAD}"
        with self.frame.b.unrolled(head):
            self.compute(self.read(first, AHEAD), first, AHEAD, element)

    def read(self, first: str, count: int) -> dict[Load, str]:
        """Reads so many pairs of all arrays; by array what then has pair `first + u`. One beyond the row is its first."""
        b = self.frame.b
        loaded = {}
        for load in self.packs.loads:
            loaded[load] = f"{self.homes.get(load)}[{first} + u]"
            if load not in self.homes:
                name = b.fresh("q")
                b.line(f"{pack_type(load, LANES)} {name}[{count}];")
                loaded[load] = f"{name}[u]"
        if not loaded:
            return loaded
        ahead = f"({first} + u) * {PAIR}"
        with b.braces(f"if ({self.wide})"), b.unrolled(f"int u = 0; u < {count}; ++u"):
            place = f"({ahead} < {self.left} ? own + {ahead} : 0)"
            for load, name in loaded.items():
                source = f"{self.packs.loads[load]} + {place}"
                b.line(f"{name} = {pack_type(load, LANES)}::read({source});")
        with b.braces("else"), b.unrolled(f"int u = 0; u < {count}; ++u"), self.both_lanes():
            place = f"{ahead} + l < {self.left} ? own + {ahead} + l : 0"
            for load, name in loaded.items():
                b.line(f"{name}.at[l] = {self.packs.loads[load]}[{place}];")
        return loaded

    def compute(self, loaded: dict[Load, str], first: str, count: int, element: Element) -> None:
        """Does something with each element of so many pairs."""
        frame, b = self.frame, self.frame.b
        pair = f"{first} + u"
        ahead = f"({pair}) * {PAIR}"
        with b.unrolled(f"int u = 0; u < {count}; ++u"):
            stored = {store: b.fresh("q") for store in self.packs.stores}
            for store, name in stored.items():
                b.line(f"{pack_type(store, LANES)} {name};")
            inside = f"{ahead} + l < {self.left}"
            with self.both_lanes(), frame.when("" if self.is_all else inside):
                frame.elements |= {load: f"{name}.at[l]" for load, name in loaded.items()}
                frame.elements |= {store: f"{name}.at[l]" for store, name in stored.items()}
                frame.elements |= {
                    access: f"{frame.pointers[access.buffer]}[{pair}].at[l]" for access in self.kept
                }
                frame.define(self.index, b.emit(f"own + {ahead} + l", I64))
                element(pair, inside if self.is_all else "")
                frame.elements.clear()
            for store, name in stored.items():
                self.store(self.packs.stores[store], name, ahead)

    def store(self, pointer: str, name: str, ahead: str) -> None:
        b = self.frame.b
        with b.braces(f"if ({self.wide})"):
            b.line(f"if ({ahead} < {self.left}) {name}.write_global({pointer} + own + {ahead});")
        with b.braces("else"), self.both_lanes():
            b.line(f"if ({ahead} + l < {self.left}) {pointer}[own + {ahead} + l] = {name}.at[l];")

    def both_lanes(self) -> AbstractContextManager[None]:
        return self.frame.b.unrolled(f"int l = 0; l < {LANES}; ++l")


class _RowFolder(Folder):
    """Writes one fold along a row that is kept."""

    def row(self) -> None:
        b = self.b
        stage = _Stage.of(self.frame, self.fold.body, self.fold.index, self.fold.stop)
        self.parts = Tree.LANES.block // (stage.pairs * PAIR)
        self.begin_accumulators()
        join = self.as_it_is_read(stage) if is_direct(self.fold) else self.as_computed(stage)
        turns = self.exchange(f"[{max(ROW_WARPS // self.parts, 1)}][{PAIR}]")
        head = f"int c = 0; c < {self.parts} && c < groups; ++c"
        with b.braces(f"for ({head})"):
            with b.braces(f"if (group % {self.parts} == c)"):
                mine = f"[group / {self.parts}][{LANES} * lane + l]"
                with b.braces("if (c > 0)"), stage.both_lanes():
                    for (name, _), turn in zip(self.accumulators, turns):
                        b.line(f"{name}[l] = {turn}{mine};")
                join()
                with b.braces(f"if (c + 1 < {self.parts} && c + 1 < groups)"), stage.both_lanes():
                    for (name, _), turn in zip(self.accumulators, turns):
                        b.line(f"{turn}{mine} = {name}[l];")
            b.line("if (groups > 1) __syncthreads();")
        self.finish()

    def as_it_is_read(self, stage: _Stage) -> Callable[[], None]:
        """Joins elements as they are computed; they have been read before."""
        loaded = stage.read("0", stage.pairs)

        def element(pair: str, inside: str) -> None:
            self.body()
            values = self.values()
            with self.frame.when(inside):
                self.join(self.at("l"), values)

        return lambda: stage.compute(loaded, "0", stage.pairs, element)

    def as_computed(self, stage: _Stage) -> Callable[[], None]:
        """Joins what all warps have computed before."""
        b = self.b
        kept = {
            store.value: f"{self.frame.pointers[store.buffer]}[u].at[l]"
            for store in stage.kept
            if isinstance(store, Store) and store.buffer.dtype is not bool_
        }
        operands = [each.value for each in self.fold.results]
        made = [kept.get(operand, "") or f"{b.fresh('m')}[u][l]" for operand in operands]
        for name, (_, type), operand in zip(made, self.accumulators, operands):
            if operand not in kept:
                array = name.replace("[u][l]", f"[{stage.pairs}][{LANES}]")
                b.line(f"{TYPES[type.element]} {array};")

        def element(pair: str, inside: str) -> None:
            self.body()
            for name, operand, value in zip(made, operands, self.values(), strict=True):
                if operand not in kept:
                    b.line(f"{name.replace('[u]', f'[{pair}]')} = {value.text};")

        stage.write(element)

        def join() -> None:
            with (
                b.unrolled(f"int u = 0; u < {stage.pairs}; ++u"),
                stage.both_lanes(),
                b.braces(f"if (u * {PAIR} + l < {stage.left})"),
            ):
                values = [b.value(name, type) for name, (_, type) in zip(made, self.accumulators)]
                self.join(self.at("l"), tuple(values))

        return join

    def finish(self) -> None:
        """The blocks' accumulators are joined in halves, and the blocks in ascending order, by all threads alike."""
        b, block = self.b, Tree.LANES.block
        self.total = self.variables()
        results = self.exchange(f"[{max(ROW_WARPS // self.parts, 1)}]")
        with b.braces(f"if (group % {self.parts} == {self.parts} - 1 || group == groups - 1)"):
            joined = self.halves()
            with b.braces("if (groups == 1)"):
                for variable, value in zip(self.total, joined):
                    b.set(variable, self.shuffle("__shfl_sync", value, "0"))
            with b.braces("else if (lane == 0)"):
                for name, value in zip(results, joined):
                    b.line(f"{name}[group / {self.parts}] = {value.text};")
        with b.braces("if (groups > 1)"):
            b.line("__syncthreads();")
            with b.braces(f"for (int g = 0; g * {block}ll < {self.stop}; ++g)"):
                parts = tuple(
                    b.emit(f"{name}[g]", type)
                    for name, (_, type) in zip(results, self.accumulators)
                )
                self.join(self.total, parts)
        self.define(self.total)

    def exchange(self, extent: str) -> list[str]:
        """Shared memory through which the warps of a team hand states on."""
        names = [self.b.fresh("shared") for _ in self.accumulators]
        for name, (_, type) in zip(names, self.accumulators):
            self.b.line(f"__shared__ {shared_type(type)} {name}{extent};")
        return names
