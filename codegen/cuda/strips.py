"""Several elements at a time: neighbours in memory are read and written by one access of up to 16 bytes.

Whether a run begins where such an access may is found out when the kernel runs; if not, elements are taken one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tracejit._records import dataclass, field
from tracejit.codegen.cuda.frame import Frame, memory_type
from tracejit.codegen.cuda.hazards import statements
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Fold,
    Let,
    Load,
    Stmt,
    Store,
    Var,
)

ACCESS = 16
"""Bytes of the widest access."""


@dataclass(slots=True)
class Packs:
    """The accesses of a loop's body that run along its index, each with its first element's pointer."""

    index: Var
    lanes: int = 0
    """Elements of a pack."""
    loads: dict[Load, str] = field(default_factory=dict)
    stores: dict[Store, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.loads or self.stores)


def find_packs(body: Sequence[Stmt], index: Var, lanes: int | None = None) -> Packs:
    """Of `lanes` elements, or as many of the largest as an access has room for.

    Loads may come before stores to other memory: iterations are independent, and a value is read before it is replaced."""
    packs = Packs(index)
    varying = {index, *defined(body)}
    stores = [stmt for stmt in statements(body) if isinstance(stmt, Store)]
    for place, stmt in enumerate(body):
        match stmt:
            case Load(buffer=buffer, where=None) if is_run(stmt.address, index, varying):
                if all(
                    store.buffer is not buffer
                    for store in statements(body[:place])
                    if isinstance(store, Store)
                ):
                    packs.loads[stmt] = ""
            case Store(buffer=buffer, where=None, add=False) if is_run(
                stmt.address, index, varying
            ):
                later = [other for other in statements(body[place:]) if isinstance(other, Load)]
                alone = [store for store in stores if store.buffer is buffer] == [stmt]
                if alone and all(load.buffer is not buffer for load in later):
                    packs.stores[stmt] = ""
    accesses: tuple[Load | Store, ...] = (*packs.loads, *packs.stores)
    packs.lanes = lanes or lanes_of(access.buffer for access in accesses)
    return packs


def lanes_of(buffers: Iterable[Buffer]) -> int:
    """Elements of a pack, so that the widest access is of 16 bytes; at most 8."""
    return min(8, ACCESS // max((buffer.dtype.itemsize for buffer in buffers), default=4))


def defined(body: Sequence[Stmt]) -> set[Var]:
    """The scalars that differ between the iterations of a loop, once what does not has been moved out of it."""
    found: set[Var] = set()
    for stmt in statements(body):
        match stmt:
            case Let(var=var) | Load(var=var):
                found.add(var)
            case Fold(index=index, results=results, carried=carried):
                found |= {index, *(result.var for result in results)}
                found |= {var for each in carried for var in (each.var, each.last)}
    return found


def is_run(address: Address, index: Var, varying: set[Var]) -> bool:
    """Whether iteration after iteration accesses the next element."""
    moving = [(var, stride) for var, stride in address.terms if var in varying]
    return moving == [(index, 1)]


def bind(frame: Frame, packs: Packs, first: str = "") -> str:
    """Names the pointers of the runs, at element `first`; a condition for accesses of several elements being allowed."""
    conditions = []
    for load in packs.loads:
        packs.loads[load] = _pointer(
            frame, packs, load, f"const {memory_type(load.buffer.dtype)}", first
        )
        conditions.append(_is_aligned(packs, load, packs.loads[load]))
    for store in packs.stores:
        packs.stores[store] = _pointer(frame, packs, store, memory_type(store.buffer.dtype), first)
        conditions.append(_is_aligned(packs, store, packs.stores[store]))
    return " && ".join(conditions)


def _pointer(frame: Frame, packs: Packs, access: Load | Store, c_type: str, first: str) -> str:
    name, base = frame.b.fresh("p"), frame.pointers[access.buffer]
    offset = frame.offset(access.address, without=packs.index) + first
    frame.b.line(f"{c_type} *const {name} = {base} + ({offset});")
    return name


def _is_aligned(packs: Packs, access: Load | Store, pointer: str) -> str:
    width = min(ACCESS, packs.lanes * access.buffer.dtype.itemsize)
    return f"(unsigned long long){pointer} % {width} == 0"


def pack_type(access: Load | Store, lanes: int) -> str:
    return f"Pack<{memory_type(access.buffer.dtype)}, {lanes}>"


Element = Callable[[str, str], None]
"""`element(place, lane)` writes what is done with one element."""


@dataclass(frozen=True, slots=True)
class Walk:
    """How threads walk along a run: each from its `own` element on, all `stride` elements at a time, below `limit`.

    Each is C; `stride` is that of all threads together, and `c_type` an integer that holds the places.
    """

    own: str
    stride: str
    limit: str
    c_type: str


def write_strips(frame: Frame, packs: Packs, strips: int, walk: Walk, element: Element) -> None:
    """All packs below the limit: `strips` at a time, and then as many as are left, all of whose loads come first too."""
    b, at = frame.b, frame.b.fresh("k")
    b.line(f"{walk.c_type} {at} = 0;")
    if strips == 1:
        b.line("#pragma unroll 1")
        with b.braces(f"for (; {at} + {walk.own} < {walk.limit}; {at} += {walk.stride})"):
            _write_packs(frame, packs, 1, at, walk, element)
        return
    step = f"{strips} * {walk.stride}"
    b.line("#pragma unroll 1")
    with b.braces(f"for (; {at} + {step} <= {walk.limit}; {at} += {step})"):
        _write_packs(frame, packs, strips, at, walk, element)
    with b.braces(f"if ({at} + {walk.own} < {walk.limit})"):
        _write_packs(frame, packs, strips, at, walk, element, is_tail=True)


def _write_packs(
    frame: Frame,
    packs: Packs,
    strips: int,
    at: str,
    walk: Walk,
    element: Element,
    *,
    is_tail: bool = False,
) -> None:
    """All loads first, to wait for them once. In the tail a pack beyond the limit is read from before it, and goes nowhere."""
    b, lanes = frame.b, packs.lanes
    loaded = {load: b.fresh("q") for load in packs.loads}
    place = f"{at} + {walk.own} + u * {walk.stride}"
    for load, name in loaded.items():
        b.line(f"{pack_type(load, lanes)} {name}[{strips}];")
    with b.unrolled(f"int u = 0; u < {strips}; ++u"):
        inside = f"least({place}, {walk.limit} - {lanes})" if is_tail else place
        for load, name in loaded.items():
            kind = pack_type(load, lanes)
            b.line(f"{name}[u] = {kind}::read({packs.loads[load]} + ({inside}));")
    condition = f"{place} < {walk.limit}" if is_tail else ""
    with b.unrolled(f"int u = 0; u < {strips}; ++u"), frame.when(condition):
        stored = {store: b.fresh("q") for store in packs.stores}
        for store, name in stored.items():
            b.line(f"{pack_type(store, lanes)} {name};")
        with b.unrolled(f"int l = 0; l < {lanes}; ++l"):
            frame.elements |= {load: f"{name}[u].at[l]" for load, name in loaded.items()}
            frame.elements |= {store: f"{name}.at[l]" for store, name in stored.items()}
            element(f"{place} + l", "l")
            frame.elements.clear()
        for store, name in stored.items():
            write = "write_global" if store.buffer.scratch is None else "write"
            b.line(f"{name}.{write}({packs.stores[store]} + ({place}));")
