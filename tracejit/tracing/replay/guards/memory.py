"""Guards of tensors and arrays, and of whose memory is whose."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.autograd.tape import base_of, edge_of
from tracejit.ir.aval import Aval, Shape
from tracejit.ops.op import Layout
from tracejit.runtime.buffer import Buffer, ForeignBuffer
from tracejit.storage import row_major
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards.guard import Guard
from tracejit.tracing.replay.memory import Window
from tracejit.tracing.replay.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class TensorIs(Guard):
    """A tensor of this dtype, shape, layout and standing on the tape; its memory becomes slot `slot`.

    grad       "none", "leaf", "made": what is no view, by its own gradient; "view": a view that has none; "part": a view of what
               never had one
    window     of a view, the slot of its memory from its first element on: it may begin anywhere in its base
    openings   axes of any size: the axis, the slot of the size, and whether that is where the slot gets its value
    """

    source: Source
    kind: type
    aval: Aval
    layout: Layout
    grad: str
    slot: int
    window: int | None = None
    openings: tuple[tuple[int, int, bool], ...] = ()

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"type({found}) is {pool.name(self.kind)}"
        if self.openings:
            yield f"{found}.aval.dtype is {pool.name(self.aval.dtype)}"
            yield f"{found}.aval.device == {self.aval.device!r}"
            shape = writer.variable(f"{found}.aval.shape")
            yield from _sizes(writer, shape, self.aval.shape, self.openings)
            yield f"{found}.layout.strides == {pool.name(in_order)}({shape}, 1)"
            if self.window is None:
                yield f"{found}.layout.offset == {self.layout.offset}"
        else:
            yield f"{found}.aval is {pool.name(self.aval)}"
            layout = pool.name(self.layout)
            if self.window is None:
                yield f"{found}.layout is {layout} or {found}.layout == {layout}"
            else:
                yield f"{found}.layout.strides == {self.layout.strides!r}"
        yield from self._tape(writer, found)
        storage = writer.read(self.source.attribute("storage"))
        yield f"{storage}.pending is None"
        buffer = writer.read(_buffer(self.source))
        writer.add(f"E[{self.slot}] = {buffer}")
        if self.window is not None:
            offset = f"{found}.layout.offset * {self.aval.dtype.itemsize}"
            writer.add(f"E[{self.window}] = {pool.name(Window)}({buffer}, {offset})")

    def _tape(self, writer: Writer, found: str) -> Iterator[str]:
        if self.grad == "view":
            yield f"{found}.origin is not None"
            yield f"{writer.pool.name(edge_of)}({found}) is None"
            return
        if self.grad == "part":
            yield f"{found}.origin is not None"
            yield f"{writer.pool.name(base_of)}({found}).autograd is None"
            return
        yield f"{found}.origin is None"
        handle = writer.read(self.source.attribute("autograd"))
        match self.grad:
            case "none":
                yield f"{handle} is None or ({handle}.node is None and not {handle}.requires_grad)"
            case "leaf":
                yield f"{handle} is not None and {handle}.node is None and {handle}.requires_grad"
                yield f"not {handle}.hooks"
            case "made":
                yield f"{handle} is not None and {handle}.node is not None"

    def __str__(self) -> str:
        how = {
            "none": "",
            "leaf": ", a leaf",
            "made": ", on the tape",
            "view": ", a view",
            "part": ", a view",
        }
        return f"{self.source} is {self.aval.name}{how[self.grad]}"


def _sizes(
    writer: Writer, found: str, shape: Shape, openings: tuple[tuple[int, int, bool], ...]
) -> Iterator[str]:
    """The conditions of a shape, some of whose sizes are open."""
    yield f"len({found}) == {len(shape)}"
    opened = {axis: (slot, is_first) for axis, slot, is_first in openings}
    for axis, extent in enumerate(shape):
        if axis not in opened:
            yield f"{found}[{axis}] == {extent}"
            continue
        slot, is_first = opened[axis]
        if is_first:
            writer.add(f"E[{slot}] = {found}[{axis}]")
        else:
            yield f"{found}[{axis}] == E[{slot}]"


@dataclass(frozen=True, slots=True, eq=False)
class ViewIs(Guard):
    """A tensor is this view of such a base."""

    source: Source
    path: tuple[Any, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"{pool.name(view_path)}({found}) == {pool.name(self.path)}"

    def __str__(self) -> str:
        return f"{self.source} is the same part of its base"


def view_path(tensor: Any) -> tuple[Any, ...]:
    """How a view is made from its base: the ops with their parameters, and what the base is."""
    path: list[Any] = []
    while tensor.origin is not None:
        tensor, op, params = tensor.origin
        path.append((op, tuple(params.items())))
    return (*path, tensor.aval, tensor.layout, type(tensor))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayIs(Guard):
    """A NumPy array of this dtype, shape and strides that can be written; its memory becomes slot `slot`."""

    source: Source
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    slot: int
    openings: tuple[tuple[int, int, bool], ...] = ()

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"type({found}) is {pool.name(np.ndarray)}"
        yield f"{found}.dtype == {pool.name(self.dtype)}"
        if self.openings:
            shape = writer.variable(f"{found}.shape")
            yield from _sizes(writer, shape, self.shape, self.openings)
            yield f"{found}.strides == {pool.name(in_order)}({shape}, {self.dtype.itemsize})"
        else:
            yield f"{found}.shape == {self.shape!r} and {found}.strides == {self.strides!r}"
        yield f"{found}.flags.num & {ALIGNED_AND_WRITEABLE} == {ALIGNED_AND_WRITEABLE}"
        writer.add(f"E[{self.slot}] = {pool.name(Buffer.wrap)}({found})")

    def __str__(self) -> str:
        opened = {axis for axis, _, _ in self.openings}
        shape = ["any" if axis in opened else n for axis, n in enumerate(self.shape)]
        return f"{self.source} is an array of {self.dtype}[{', '.join(map(str, shape))}]"


@lru_cache(maxsize=65536)
def in_order(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of what lies in row-major order: in bytes, or, with an `itemsize` of 1, in elements."""
    return tuple(stride * itemsize for stride in row_major(shape).strides)


ALIGNED_AND_WRITEABLE = 0x500


def _buffer(source: Source) -> Source:
    return source.attribute("storage").attribute("buffer")


@dataclass(frozen=True, slots=True, eq=False)
class MemoryApart(Guard):
    """Memory that is written, of the first sources, belongs to nothing else that is used.

    places   the source of a tensor or an array, and which it is
    """

    places: tuple[tuple[Source, bool], ...]
    written: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        # Not from slots, which may hold copies by now.
        wrap = writer.pool.name(Buffer.wrap)
        buffers = [
            writer.variable(f"{wrap}({writer.read(source)})")
            if is_array
            else writer.read(_buffer(source))
            for source, is_array in self.places
        ]
        listed = ", ".join(buffers)
        yield f"len({{{listed}}}) == {len(buffers)}"
        own = " and ".join(f"not {buffer}.foreign" for buffer in buffers)
        yield f"({own}) or {writer.pool.name(lie_apart)}(({listed}), {self.written})"

    def __str__(self) -> str:
        names = ", ".join(str(source) for source, _ in self.places[: min(self.written, 4)])
        return f"{names}: the memory, which is written, belongs to nothing else"


def lie_apart(buffers: tuple[Buffer, ...], written: int) -> bool:
    """Whether the first `written` of the buffers share no memory with any other; some are of memory of others."""
    first = {*buffers[:written]}
    extents = sorted((*extent(buffer), buffer in first) for buffer in buffers)
    return not any(
        second[0] < first[1] and (first[2] or second[2])
        for place, first in enumerate(extents)
        for second in extents[place + 1 :]
    )


def extent(buffer: Buffer) -> tuple[int, int]:
    """The stretch of memory that a buffer may reach."""
    if isinstance(buffer, ForeignBuffer):
        low, high = np.lib.array_utils.byte_bounds(buffer.owner)
        return int(low), int(high)
    return buffer.address, buffer.address + buffer.nbytes
