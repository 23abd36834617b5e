"""The loop IR shared by the back ends: loops over lets. Every scalar is named, so an emitter is a table and one `match`.

A kernel is one function over pointer arguments (`Buffer`) and run-time sizes (`Size`). Its outermost loop is `PARALLEL`: the run
time gives each call a range of it. Nothing in a kernel depends on the number of threads.
"""

from __future__ import annotations

from enum import Enum

from tracejit._records import dataclass
from tracejit.codegen.kernel.fn import Fn
from tracejit.dtypes import DType, int64


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A pointer argument, or (with `scratch` set) memory of one task: that many elements, uninitialised."""

    dtype: DType
    name: str
    written: bool = False
    scratch: Size | int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Size:
    """A run-time int64: an extent or a stride, in elements."""

    name: str

    @property
    def dtype(self) -> DType:
        return int64


@dataclass(frozen=True, slots=True, eq=False)
class Var:
    """A scalar: a let, a load, a fold's result, what it carries, or a loop's index (int64)."""

    dtype: DType
    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """A literal."""

    dtype: DType
    value: bool | int | float


Operand = Var | Const | Size
Extent = Size | int


@dataclass(frozen=True, slots=True)
class Address:
    """An element of a buffer: the sum of index * stride, plus `offset`, in elements.

    An index is a loop's index or any int64 Var (a loaded one makes the access a gather).
    """

    terms: tuple[tuple[Var, Extent], ...] = ()
    offset: Extent = 0


@dataclass(frozen=True, slots=True, eq=False)
class Let:
    """`var = fn(*args)`"""

    var: Var
    fn: Fn
    args: tuple[Operand, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """`var = buffer[address]`, or `other` where `where` is false: memory there is not touched."""

    var: Var
    buffer: Buffer
    address: Address
    where: Operand | None = None
    other: Operand | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """`buffer[address] = value`, or `+= value` if `add`; not at all where `where` is false."""

    buffer: Buffer
    address: Address
    value: Operand
    where: Operand | None = None
    add: bool = False


class Kind(Enum):
    """How a loop runs. Iterations of PARALLEL and VECTOR loops are independent."""

    PARALLEL = "parallel"  # split over tasks; outermost
    SERIAL = "serial"
    VECTOR = "vector"  # innermost but for folds; the body is straight-line or holds ROWS and SERIAL folds (a fold of no
    # results is a plain loop over its body, which may store)


@dataclass(frozen=True, slots=True, eq=False)
class For:
    """`for index in range(extent): body`; the extent of an inner loop may be a Var, such as min(4096, n - first)."""

    index: Var
    extent: Operand
    kind: Kind
    body: tuple[Stmt, ...]


class Combine(Enum):
    """How a fold joins two values; the identity stands in for no value. MAX and MIN give NaN if either is NaN."""

    SUM = "sum"  # identity -0.0 for floats, so that x + identity is x, sign included
    PROD = "prod"
    MAX = "max"  # identity: the least value of the dtype (-inf for floats)
    MIN = "min"
    ANY = "any"
    ALL = "all"
    ARGMAX = "argmax"  # the index (int64) of the first largest; a NaN counts as largest
    ARGMIN = "argmin"


class Tree(Enum):
    """The fixed shape of a fold: in which order `extent` values v[0], v[1], ... are joined.

    LANES  Blocks of 4096 values. In a block, value i joins accumulator i mod 64, in ascending order; then the 64 accumulators are
           joined in halves: a[k] = join(a[k], a[k + 32]) for k < 32, then 16, 8, 4, 2, 1. An accumulator starts as the
           identity. Block results join a superblock's accumulator in ascending order, 64 blocks (262,144 values) a superblock;
           superblock results join the total in ascending order. Accumulators of both start as the identity.
    ROWS   The same with 1 accumulator: blocks of 64 values in ascending order, 64 blocks a superblock (4,096 values).
    SERIAL Ascending order, one accumulator.
    """

    LANES = "lanes"
    ROWS = "rows"
    SERIAL = "serial"

    @property
    def block(self) -> int:
        """Values in a block."""
        return {Tree.LANES: 4096, Tree.ROWS: 64, Tree.SERIAL: 1 << 62}[self]

    @property
    def superblock(self) -> int:
        """Values in a superblock: the unit in which one long fold is split over tasks."""
        return {Tree.LANES: 262_144, Tree.ROWS: 4096, Tree.SERIAL: 1 << 62}[self]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """`var` becomes all `value`s of a fold joined by `combine`. `value` is a Var of the fold's body or a Const."""

    var: Var
    combine: Combine
    value: Operand


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A scalar that each iteration of a fold hands on: `var` is `first`, and later what `next` was in the one before. After the
    fold `last` is what a further iteration would have been handed."""

    var: Var
    first: Operand
    next: Operand
    last: Var


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Joins the results' values over `index` in range(start, stop) by `tree`; `start` is a multiple of the superblock, or of the
    block if the range is within one. Only a SERIAL fold carries scalars.

    A LANES fold is vectorised along itself and may stand in PARALLEL and SERIAL loops only; its body may also store (a stage that
    keeps what it computes). ROWS and SERIAL folds may stand in a VECTOR loop, whose lanes they then keep apart.
    """

    index: Var
    start: Operand
    stop: Operand
    tree: Tree
    body: tuple[Stmt, ...]
    results: tuple[Result, ...]
    carried: tuple[Carried, ...] = ()


Stmt = Let | Load | Store | For | Fold


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A function. `buffers` are its pointer arguments and `sizes` its int64 arguments, in order; `body` is one PARALLEL loop."""

    buffers: tuple[Buffer, ...]
    sizes: tuple[Size, ...]
    scratch: tuple[Buffer, ...]
    body: tuple[For, ...]
    streamed: frozenset[Buffer] = frozenset()
    """Arguments that are written from a cache line's beginning on, in order, and not read soon: past the caches."""
