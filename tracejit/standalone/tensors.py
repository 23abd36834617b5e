"""Tensors of an artifact's calls. Loaded when one is made or given: a call of arrays needs none of the library of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ops.op import Layout
from tracejit.runtime.buffer import Buffer
from tracejit.standalone.records import Memory
from tracejit.storage import Storage, as_array, is_row_major, row_major
from tracejit.tensor import Tensor, make


def tensor_of(
    buffer: Any, memory: Memory, storage: Storage | None = None, device: str = "cpu"
) -> Tensor:
    """A tensor over the memory; `storage` is what other tensors over it have."""
    dtype = dtypes.as_dtype(memory.dtype)
    if storage is None:
        storage = Storage(dtype, buffer.nbytes // dtype.itemsize, buffer)
    layout = Layout(memory.shape, memory.strides, memory.offset // dtype.itemsize)
    known = row_major(memory.shape)
    return make(storage, known if layout == known else layout, aval(dtype, memory.shape, device))


def memory_of(tensor: Tensor) -> tuple[Buffer, int] | None:
    """Its memory, and where in it its elements lie in order, in bytes; None if they do not."""
    if not is_row_major(tensor.layout):
        return None
    return tensor.storage.realize(), tensor.layout.offset * tensor.aval.dtype.itemsize


def array_of(tensor: Tensor) -> np.ndarray:
    """An array over its elements."""
    return as_array(tensor)


def note_write(tensor: Tensor) -> None:
    """Its memory has been written, which the tape is to know."""
    tensor.storage.note_write()
