"""The memory behind tensors: shared by a tensor and its views."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tracejit._errors import Location, user_location
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, Shape, sizes_in
from tracejit.ir.dim import Sizes, plain, surely_equal
from tracejit.ops.op import Layout

if TYPE_CHECKING:
    from tracejit.runtime.buffer import Buffer
    from tracejit.tensor import Tensor


class Recorder(Protocol):
    """Holds values that have not been computed yet."""

    def realize(self, storage: Storage) -> None:
        """Gives `storage` its memory, and clears its `pending`."""
        ...


class Storage:
    """Elements of one dtype, in memory or still to be computed.

    buffer    the memory; None until the first value has been computed
    pending   (recorder, graph node) of the value to come, which supersedes what `buffer` holds
    version   how many writes there have been
    written   the user's line that made the last one
    escaped   others can read and write the memory without notice: `numpy()`, DLPack, a wrapped array
    """

    __slots__ = (
        "__weakref__", "buffer", "dtype", "escaped", "pending", "size", "version", "written",
    )  # fmt: skip

    def __init__(
        self,
        dtype: DType,
        size: int,
        buffer: Buffer | None = None,
        pending: tuple[Recorder, Any] | None = None,
    ) -> None:
        self.dtype = dtype
        self.size = size
        self.buffer = buffer
        self.pending = pending
        self.version = 0
        self.written: Location | None = None
        self.escaped = False

    def realize(self) -> Buffer:
        """The memory, computed first where a recorder still holds the value."""
        if self.pending is not None:
            self.pending[0].realize(self)
        assert self.buffer is not None, "a storage has memory or a pending value"
        return self.buffer

    def expose(self) -> None:
        """Lets the memory escape, after everything that is waiting to read it as it was."""
        for finish in before_exposure:
            finish(self)
        self.escaped = True

    def note_write(self) -> None:
        """Tells the tape, which compares versions, that the content is another."""
        self.version += 1
        self.written = user_location()


before_look: list[Callable[[Tensor], None]] = []
"""What is called with a tensor whose elements are about to be looked at."""
before_exposure: list[Callable[[Storage], None]] = []
"""What is called with a storage whose memory is about to escape."""


@lru_cache(maxsize=65536)
def row_major(shape: Shape) -> Layout:
    """The layout of a storage of its own."""
    strides = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return Layout(shape, tuple(reversed(strides)))  # type: ignore[arg-type]


def is_row_major(layout: Layout) -> bool:
    """Whether the elements lie in row-major order without gaps; the strides of axes of one element do not count."""
    own = row_major(layout.shape).strides
    return layout.strides == own or all(
        extent == 1 or stride == step
        for extent, stride, step in zip(layout.shape, layout.strides, own)
    )


def is_surely_row_major(layout: Layout) -> bool:
    """Whether they do for all values of open sizes, of which none is asked."""
    own = row_major(layout.shape).strides
    return all(
        surely_equal(stride, step) or surely_equal(extent, 1)
        for extent, stride, step in zip(layout.shape, layout.strides, own)
    )


def is_broadcast(layout: Layout) -> bool:
    """Whether several elements lie at one place."""
    if 0 not in layout.strides or 0 in layout.shape:
        return False
    return any(stride == 0 and extent > 1 for stride, extent in zip(layout.strides, layout.shape))


def open_sizes(aval: Aval, layout: Layout) -> Sizes | None:
    """What the open sizes of a tensor, or of where its elements lie, belong to; None if there are none."""
    return aval.open or sizes_in(layout.strides) or sizes_in((layout.offset,))


def as_array(tensor: Tensor) -> np.ndarray:
    """NumPy's view of the memory, for use at once: unlike `numpy()` it does not let the memory escape."""
    for ask in before_look:
        ask(tensor)
    layout = tensor.layout
    if open_sizes(tensor.aval, layout) is not None:
        # Whoever looks asks for elements, not for sizes.
        layout = Layout(plain(layout.shape), plain(layout.strides), plain(layout.offset))
    dtype = tensor.aval.dtype.numpy
    buffer = tensor.storage.realize()
    return buffer.array(dtype, layout.shape, layout.strides, layout.offset * dtype.itemsize)
