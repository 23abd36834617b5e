"""Folds by their trees. Which threads compute what is free; what is joined with what, and in which order, is not.

LANES  A warp does a block of 4096 values, two accumulators a thread; the warps of a team do neighbouring blocks at once.
ROWS   A thread does a block of 64 rows of its column; the rows of threads of a team do neighbouring blocks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracejit.codegen.cuda.builder import TYPES
from tracejit.codegen.cuda.frame import Frame
from tracejit.codegen.cuda.hazards import is_independent
from tracejit.codegen.cuda.schedule import MOST_GROUPS, row_strips_of
from tracejit.codegen.cuda.strips import Packs, bind, find_packs, write_packs
from tracejit.codegen.kernel.ir import Fold, Tree
from tracejit.codegen.llvm.builder import Value
from tracejit.codegen.llvm.flow import I64, Values
from tracejit.codegen.llvm.joins import Joins
from tracejit.codegen.llvm.types import Type

LANES = 2
"""Accumulators of a thread: 64 of a block are a warp's."""
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

    def iterate(self, head: str, index: str, into: Values, pragma: str = "") -> None:
        """A loop in ascending order."""
        if pragma:
            self.b.line(pragma)
        with self.b.braces(f"for ({head})"):
            self.frame.define(self.fold.index, self.frame.integer(index))
            self.body()
            self.join(into, self.values())

    # trees

    def serial(self) -> None:
        total = self.variables()
        k = self.b.fresh("k")
        self.iterate(f"long long {k} = {self.start}; {k} < {self.stop}; ++{k}", k, total)
        self.define(total)

    def spread(self) -> None:
        """A loop whose iterations are independent, shared among the rows of threads."""
        k = self.b.fresh("k")
        head = f"long long {k} = {self.start} + group; {k} < {self.stop}; {k} += groups"
        self.iterate(head, k, ())

    def rows(self, *, shared: bool) -> None:
        """`shared` among the rows of threads of a team, else each thread for itself."""
        groups, group = ("groups", "group") if shared else ("1", "0")
        with self.by_superblocks(groups) as (superblock, first, end):
            block = self.variables()
            k = self.b.fresh("k")
            begin = f"{first} + {group} * {Tree.ROWS.block}ll" if shared else first
            last = self.b.emit(f"least({begin} + {Tree.ROWS.block}, {end})", I64)
            head = f"long long {k} = {begin}; {k} < {last.text}; ++{k}"
            self.iterate(head, k, block, "#pragma unroll 8")
            if shared:
                self.join_groups(superblock, block, first, end, "group", "[lane]", "[32]")
            else:
                self.join(superblock, block)

    def lanes(self) -> None:
        with self.by_superblocks("groups") as (superblock, first, end):
            block = self.block_of_lanes(first, end)
            self.join_groups(superblock, block, first, end, "group", "", "", "lane == 0")
        for variable in self.total:
            self.b.set(variable, self.shuffle("__shfl_sync", variable, "0"))

    @contextmanager
    def by_superblocks(self, groups: str) -> Iterator[tuple[Values, str, str]]:
        """Blocks, as many at a time as there are groups, joined into superblocks, and those into the total, which is defined.

        The states of a superblock, the first element of the first of the blocks, and the superblock's end.
        """
        b, tree = self.b, self.fold.tree
        self.total = self.variables()
        outer, inner = b.fresh("k"), b.fresh("k")
        head = (
            f"long long {outer} = {self.start}; {outer} < {self.stop}; {outer} += {tree.superblock}"
        )
        with b.braces(f"for ({head})"):
            superblock = self.variables()
            end = b.emit(f"least({outer} + {tree.superblock}, {self.stop})", I64).text
            step = f"{tree.block}ll * {groups}"
            with b.braces(f"for (long long {inner} = {outer}; {inner} < {end}; {inner} += {step})"):
                yield superblock, inner, end
            self.join(self.total, superblock)
        self.define(self.total)

    def join_groups(
        self,
        superblock: Values,
        block: Values,
        first: str,
        end: str,
        group: str,
        place: str,
        extent: str,
        writer: str = "",
    ) -> None:
        """The groups' blocks joined in ascending order, by all threads alike."""
        b = self.b
        with b.braces("if (groups == 1)"):
            self.join(superblock, block)
        with b.braces("else"):
            arrays = [b.fresh("shared") for _ in block]
            for name, value in zip(arrays, block):
                b.line(f"__shared__ {_shared_type(value)} {name}[{MOST_GROUPS}]{extent};")
            with self.frame.when(writer):
                for name, value in zip(arrays, block):
                    b.line(f"{name}[{group}]{place} = {value.text};")
            b.line("__syncthreads();")
            step = self.fold.tree.block
            with b.braces(f"for (int g = 0; g < groups && {first} + g * {step}ll < {end}; ++g)"):
                parts = tuple(
                    b.emit(f"{name}[g]{place}", value.type) for name, value in zip(arrays, block)
                )
                self.join(superblock, parts)
            b.line("__syncthreads();")

    # a block of lanes

    def block_of_lanes(self, first: str, end: str) -> Values:
        """The joined accumulators of the warp's block: lane 0 has them."""
        b, size = self.b, Tree.LANES.block
        begin = b.emit(f"{first} + group * {size}ll", I64).text
        count = b.emit(f"(int)most(least({begin} + {size}, {end}) - {begin}, 0)", _INT).text
        states = [(b.fresh("s"), value) for value in self.joins.nothing(0)]
        for name, value in states:
            identities = ", ".join([value.text] * LANES)
            b.line(f"{TYPES[value.type.element]} {name}[{LANES}] = {{{identities}}};")
        self.accumulators = [(name, value.type) for name, value in states]
        packs = find_packs(self.fold.body, self.fold.index, LANES)
        full = self.packed(packs, begin, count) if packs else "0"
        self.one_by_one(begin, count, full)
        return self.halves()

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
        strips = row_strips_of(self.fold.body, read)
        k = b.fresh("k")
        with b.braces(f"for (int {k} = {LANES} * lane; {k} < {full}; {k} += {strips * 64})"):
            write_packs(self.frame, packs, strips, k, "64", full, self.element(begin))
        return full

    def one_by_one(self, begin: str, count: str, full: str) -> None:
        b = self.b
        k = b.fresh("k")
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
        wide = _shared_type(value)
        text = f"({TYPES[value.type.element]}){how}({ALL}, ({wide}){value.text}, {place})"
        return self.b.emit(text, value.type)


_INT = Type("i32")


def _shared_type(value: Value) -> str:
    """The C type of what threads exchange: at least an int, which is what shuffles take."""
    return "int" if value.type.element in ("i1", "i8", "i16") else TYPES[value.type.element]


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
