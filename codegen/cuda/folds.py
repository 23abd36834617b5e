"""Folds by their trees. Which threads compute what is free; what is joined with what, and in which order, is not.

LANES  A warp does a block of 4096 values, two accumulators a thread; the warps of a team do neighbouring blocks at once.
ROWS   A thread does a block of 64 rows of its column; the rows of threads of a team do neighbouring blocks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracejit.codegen.cuda.builder import TYPES
from tracejit.codegen.cuda.frame import Frame
from tracejit.codegen.cuda.hazards import is_independent, statements
from tracejit.codegen.cuda.registers import LANES, WARP
from tracejit.codegen.cuda.schedule import MOST_GROUPS, Variant, row_strips_of
from tracejit.codegen.cuda.strips import Packs, Walk, bind, find_packs, write_strips
from tracejit.codegen.kernel.ir import Fold, Store, Tree
from tracejit.codegen.llvm.builder import Value
from tracejit.codegen.llvm.flow import I64, Values
from tracejit.codegen.llvm.joins import Joins
from tracejit.codegen.llvm.schedule import is_light
from tracejit.codegen.llvm.types import Type

ALL = "0xffffffffu"

Body = Callable[[], None]


class Folder:
    """Writes one fold."""

    def __init__(self, frame: Frame, fold: Fold, body: Body) -> None:
        self.frame = frame
        self.b = frame.b
        self.fold = fold
        self.body = body
        self.joins = Joins.of(frame.b, fold.results)
        self.start, self.stop = frame.operand(fold.start).text, frame.operand(fold.stop).text

    # states

    def variables(self) -> Values:
        """The states of no values."""
        return tuple(self.b.variable(value) for value in self.joins.nothing(0))

    def join(self, into: Values, values: Values) -> None:
        for variable, value in zip(into, self.joins.join(into, values), strict=True):
            self.b.set(variable, value)

    def values(self) -> Values:
        """What the iteration being written contributes."""
        return tuple(
            self.frame.operand(operand) for operand in self.joins.operands(self.fold.index)
        )

    def define(self, total: Values) -> None:
        for result, value in zip(self.fold.results, self.joins.outcomes(total), strict=True):
            self.frame.define(result.var, value)

    def iterate(
        self, head: str, index: str, into: Values, pragma: str = "", carried: Values = ()
    ) -> None:
        """A loop in ascending order."""
        if pragma:
            self.b.line(pragma)
        with self.b.braces(f"for ({head})"):
            self.frame.define(self.fold.index, self.frame.integer(index))
            self.body()
            self.join(into, self.values())
            self.hand_on(carried)

    def hand_on(self, carried: Values) -> None:
        """What the next iteration gets, all at once: one scalar may become what another was."""
        following = [self.frame.operand(each.next) for each in self.fold.carried]
        if len(carried) > 1:
            following = [self.b.emit(value.text, value.type) for value in following]
        for variable, value in zip(carried, following):
            self.b.set(variable, value)

    # trees

    def serial(self) -> None:
        total = self.variables()
        carried = tuple(
            self.b.variable(self.frame.operand(each.first)) for each in self.fold.carried
        )
        for each, variable in zip(self.fold.carried, carried):
            self.frame.define(each.var, variable)
        k = self.b.fresh("k")
        head = f"long long {k} = {self.start}; {k} < {self.stop}; ++{k}"
        unroll = 1 if self.waits else 16 if is_light(self.fold.body) else 4
        self.iterate(head, k, total, f"#pragma unroll {unroll}", carried)
        self.define(total)
        for each, variable in zip(self.fold.carried, carried):
            self.frame.define(each.last, variable)

    @property
    def waits(self) -> bool:
        """Whether an iteration's loads have to wait for the stores of the one before, so that no two are under way at once."""
        inside = statements(self.fold.body)
        return any(isinstance(stmt, Store) and stmt.buffer.scratch is None for stmt in inside)

    def spread(self) -> None:
        """A loop whose iterations are independent, shared among the rows of threads."""
        k = self.b.fresh("k")
        head = f"long long {k} = {self.start} + group; {k} < {self.stop}; {k} += groups"
        self.iterate(head, k, ())

    def rows(self, *, shared: bool) -> None:
        """`shared` among the rows of threads of a team, else each thread for itself."""
        with self.by_blocks("groups" if shared else "1") as (superblock, first):
            begin = f"{first} + group * {Tree.ROWS.block}ll" if shared else first
            begin = self.b.emit(begin, I64).text
            block = self.variables()
            k = self.b.fresh("k")
            last = self.b.emit(f"least({begin} + {Tree.ROWS.block}, {self.stop})", I64).text
            head = f"long long {k} = {begin}; {k} < {last}; ++{k}"
            self.iterate(head, k, block, "#pragma unroll 8")
            if shared:
                self.join_groups(superblock, block, first, "[lane]", "[32]")
            else:
                self.join(superblock, block)

    def lanes(self) -> None:
        if self.frame.variant is Variant.SHORT:
            # A single block, by a single warp: joined with no values it stays what it is.
            self.total = self.block_of_lanes(self.start, f"{self.stop} - {self.start}")
            self.define(self.total)
        else:
            with self.by_blocks("groups") as (superblock, first):
                begin = self.b.emit(f"{first} + group * {Tree.LANES.block}ll", I64).text
                left = f"least({self.stop} - {begin}, {Tree.LANES.block}ll)"
                block = self.block_of_lanes(begin, left)
                self.join_groups(superblock, block, first, writer="lane == 0")
        for variable in self.total:
            self.b.set(variable, self.shuffle("__shfl_sync", variable, "0"))

    @contextmanager
    def by_blocks(self, groups: str) -> Iterator[tuple[Values, str]]:
        """Blocks, as many at a time as there are groups (a power of two), joined into the states of a superblock; where those are
        full they are joined into the total, which is defined. The superblock's states, and the first of the blocks' elements.
        """
        b, tree = self.b, self.fold.tree
        superblock, self.total = self.variables(), self.variables()
        first, step = b.fresh("k"), f"{tree.block}ll * {groups}"
        head = f"long long {first} = {self.start}; {first} < {self.stop}; {first} += {step}"
        with b.braces(f"for ({head})"):
            yield superblock, first
            with b.braces(f"if (({first} + {step}) % {tree.superblock} == 0)"):
                self.join(self.total, superblock)
                for variable, nothing in zip(superblock, self.joins.nothing(0)):
                    b.set(variable, nothing)
        self.join(self.total, superblock)
        self.define(self.total)

    def join_groups(
        self,
        superblock: Values,
        block: Values,
        first: str,
        place: str = "",
        extent: str = "",
        writer: str = "",
    ) -> None:
        """The groups' blocks joined in ascending order, by all threads alike."""
        b = self.b
        with b.braces("if (groups == 1)"):
            self.join(superblock, block)
        with b.braces("else"):
            arrays = [b.fresh("shared") for _ in block]
            for name, value in zip(arrays, block):
                b.line(f"__shared__ {shared_type(value.type)} {name}[{MOST_GROUPS}]{extent};")
            with self.frame.when(writer):
                for name, value in zip(arrays, block):
                    b.line(f"{name}[group]{place} = {value.text};")
            b.line("__syncthreads();")
            end = f"{first} + g * {self.fold.tree.block}ll < {self.stop}"
            with b.braces(f"for (int g = 0; g < groups && {end}; ++g)"):
                parts = tuple(
                    b.emit(f"{name}[g]{place}", value.type) for name, value in zip(arrays, block)
                )
                self.join(superblock, parts)
            b.line("__syncthreads();")

    # a block of lanes

    def block_of_lanes(self, begin: str, length: str) -> Values:
        """The joined accumulators of the warp's block of `length` values, if that is any: lane 0 has them."""
        b = self.b
        count = b.emit(f"(int)most({length}, 0)", _INT).text
        self.begin_accumulators()
        packs = find_packs(self.fold.body, self.fold.index, LANES)
        full = self.packed(packs, begin, count) if packs else "0"
        self.one_by_one(begin, count, full)
        return self.halves()

    def begin_accumulators(self) -> None:
        """Those of a thread, of no values."""
        b = self.b
        states = [(b.fresh("s"), value) for value in self.joins.nothing(0)]
        for name, value in states:
            identities = ", ".join([value.text] * LANES)
            b.line(f"{TYPES[value.type.element]} {name}[{LANES}] = {{{identities}}};")
        self.accumulators = [(name, value.type) for name, value in states]

    def at(self, lane: str) -> Values:
        return tuple(self.b.value(f"{name}[{lane}]", type) for name, type in self.accumulators)

    def element(self, begin: str) -> Callable[[str, str], None]:
        def write(place: str, lane: str) -> None:
            index = self.b.emit(f"{begin} + {place}", I64)
            self.frame.define(self.fold.index, index)
            self.body()
            self.join(self.at(lane), self.values())

        return write

    def packed(self, packs: Packs, begin: str, count: str) -> str:
        """All pairs, where memory allows; how many elements that were."""
        b = self.b
        condition = bind(self.frame, packs, f" + {begin}")
        full = b.emit(f"{condition} ? {count} & -{LANES} : 0", _INT).text
        read = sum(LANES * load.buffer.dtype.itemsize for load in packs.loads)
        strips = row_strips_of(self.fold.body, read, self.frame.variant)
        walk = Walk(f"{LANES} * lane", str(LANES * WARP), full, "int")
        write_strips(self.frame, packs, strips, walk, self.element(begin))
        return full

    def one_by_one(self, begin: str, count: str, full: str) -> None:
        b = self.b
        k = b.fresh("k")
        b.line("#pragma unroll 1")
        with (
            b.braces(f"for (int {k} = ({full} & -64) + {LANES} * lane; {k} < {count}; {k} += 64)"),
            b.unrolled(f"int l = 0; l < {LANES}; ++l"),
            b.braces(f"if ({k} + l >= {full} && {k} + l < {count})"),
        ):
            self.element(begin)(f"{k} + l", "l")

    def halves(self) -> Values:
        """a[k] = join(a[k], a[k + 32]), then 16, 8, 4, 2 by shuffles, and the two of a thread."""
        b = self.b
        with b.unrolled("int d = 16; d > 0; d /= 2"), b.unrolled(f"int l = 0; l < {LANES}; ++l"):
            mine = self.at("l")
            self.join(mine, tuple(self.shuffle("__shfl_down_sync", state, "d") for state in mine))
        first, second = self.at("0"), self.at("1")
        self.join(first, second)
        return first

    def shuffle(self, how: str, value: Value, place: str) -> Value:
        wide = shared_type(value.type)
        text = f"({TYPES[value.type.element]}){how}({ALL}, ({wide}){value.text}, {place})"
        return self.b.emit(text, value.type)


_INT = Type("i32")


def shared_type(type: Type) -> str:
    """The C type of what threads exchange: at least an int, which is what shuffles take."""
    return "int" if type.element in ("i1", "i8", "i16") else TYPES[type.element]


def write_fold(frame: Frame, fold: Fold, body: Body, *, in_columns: bool) -> None:
    """`in_columns`: the fold stands in a vector loop that is done by rows of threads."""
    folder = Folder(frame, fold, body)
    if fold.tree is Tree.LANES:
        with frame.guarded(""):
            folder.lanes()
    elif in_columns and (fold.tree is Tree.ROWS and fold.results):
        with frame.guarded("is_column"):
            folder.rows(shared=True)
    elif in_columns and is_independent(fold):
        with frame.guarded("is_column"):
            folder.spread()
    elif fold.tree is Tree.ROWS and fold.results:
        folder.rows(shared=False)
    else:
        folder.serial()
