"""The kernel of a scatter-add: each task adds its columns of every update, in ascending order, so that sums have one order.

Where more tasks are wanted than there are columns, each does some rows alone: those whose number leaves a remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from math import prod

from tracejit.codegen.kernel.access import Place
from tracejit.codegen.kernel.builder import ScalarBuilder, constant
from tracejit.codegen.kernel.cost import widened
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.grain import CORES, Grain
from tracejit.codegen.kernel.ir import Address, Buffer, Extent, Kernel, Kind, Size, Var
from tracejit.codegen.kernel.nest import Lowered, clamped, decoded, only_loop, variable
from tracejit.dtypes import bool_, int64
from tracejit.ir.graph import Apply

Terms = Callable[[list[Var], tuple[int, ...]], tuple[tuple[Var, Extent], ...]]


def lower_scatter(node: Apply, place: Place, grain: Grain = CORES) -> Lowered:
    """Adds the updates to the node's memory, which holds the base. An index outside is clamped into the array."""
    _, indices, updates = node.inputs
    axis = node.kwargs["axis"]
    shape = node.aval.sizes
    before, after = shape[:axis], shape[axis + 1 :]
    count = prod(indices.aval.sizes)
    *outer, inner = (*before, *after) if after else (*before, 1)
    chunks = -(-inner // grain.scattered)
    parts = max(1, min(grain.scatters // max(prod(outer) * chunks, 1), shape[axis], count))
    s = ScalarBuilder()
    sizes: list[tuple[Size, int]] = []

    def size(value: int) -> Size:
        sizes.append((Size("n"), value))
        return sizes[-1][0]

    def digits(number: Var, extents: list[int]) -> list[Var]:
        """A row-major number's digits, the first running slowest."""
        lengths = [size(extent) for extent in extents[1:]]
        return decoded(s, number, lengths) if extents else []

    def terms(variables: list[Var], strides: tuple[int, ...]) -> tuple[tuple[Var, Extent], ...]:
        pairs = zip(variables, strides, strict=True)
        return tuple((var, 1 if stride == 1 else size(stride)) for var, stride in pairs if stride)

    owners = [place(indices), place(updates), place(node)]
    index_buffer = Buffer(indices.aval.dtype, "a")
    update_buffer = Buffer(updates.aval.dtype, "a")
    target = Buffer(node.aval.dtype, "a", written=True)
    (_, index_layout), (_, update_layout), (_, layout) = owners
    tasks = prod(outer) * chunks * parts
    part: Var | None = None
    with s.block() as body, s.loop(size(tasks), Kind.PARALLEL, "p") as task:
        *places, chunk = digits(task, [*outer, chunks, parts] if parts > 1 else [*outer, chunks])
        if parts > 1:
            part, chunk = chunk, places.pop()
        first = variable(s.let(Fn.MUL, int64, chunk, constant(grain.scattered, int64)))
        left = s.let(Fn.SUB, int64, size(inner), first)
        width = s.let(Fn.MIN, int64, left.operand, constant(grain.scattered, int64)).operand
        with s.loop(size(count), Kind.SERIAL, "k") as number:
            rows = digits(number, list(indices.aval.sizes))
            index = s.load(index_buffer, Address(terms(rows, index_layout.strides)))
            row = clamped(s, s.cast(index, int64), size(shape[axis]))
            own = nullcontext() if part is None else _only(s, row, part, size(parts))
            with own, s.loop(width, Kind.VECTOR, "v") as lane:
                column = [first, lane]
                lead, trail = places[: len(before)], places[len(before) :]
                source = _address(
                    lead, rows, trail, column, update_layout.strides, bool(after), terms
                )
                destination = _address(
                    lead, [row], trail, column, layout.strides, bool(after), terms
                )
                old = s.load(target, destination)
                dtype = widened(old.dtype)
                new = s.cast(old, dtype) + s.cast(s.load(update_buffer, source), dtype)
                s.store(target, destination, s.cast(new, old.dtype))
    kernel = Kernel(
        (index_buffer, update_buffer, target), tuple(size for size, _ in sizes), (), only_loop(body)
    )
    arguments = tuple((root, layout.offset) for root, layout in owners)
    return Lowered(kernel, arguments, tuple(value for _, value in sizes), tasks, grain=1)


@contextmanager
def _only(s: ScalarBuilder, row: Var, part: Var, parts: Size) -> Iterator[None]:
    """Of the rows that are the task's."""
    remainder = s.let(Fn.FLOORMOD, int64, row, parts)
    is_own = s.let(Fn.EQ, bool_, remainder.operand, part)
    with s.loop(s.cast(is_own, int64).operand, Kind.SERIAL, "o"):
        yield


def _address(
    lead: list[Var],
    middle: list[Var],
    trail: list[Var],
    column: list[Var],
    strides: tuple[int, ...],
    has_columns: bool,
    terms: Terms,
) -> Address:
    """Of an element: its dimensions before the axis, along it, after it, and the column as the sum of two."""
    variables = [*lead, *middle, *trail]
    if not has_columns:
        return Address(terms(variables, strides))
    whole = terms(variables, strides[:-1])
    return Address((*whole, *terms(column, (strides[-1],) * 2)))
