"""Tensors of an artifact's calls. Loaded when one is made or given: a call of arrays needs none of the library of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from tracejit import dtypes
from tracejit._errors import AutogradError, at_user_line, user_location
from tracejit.autograd.node import Handle, Node
from tracejit.autograd.tape import edge_of, is_grad_enabled
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, aval
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


def tensor_over(buffer: Buffer, dtype: DType, size: int, layout: Layout, aval: Aval) -> Tensor:
    """A tensor over memory of its own."""
    return make(Storage(dtype, size, buffer), layout, aval)


def memory_of(tensor: Tensor) -> tuple[Buffer, int] | None:
    """Its memory, and where in it its elements lie in order, in bytes; None if they do not."""
    if not is_row_major(tensor.layout):
        return None
    return tensor.storage.realize(), tensor.layout.offset * tensor.aval.dtype.itemsize


def is_tied(tensor: Tensor) -> bool:
    """Whether a gradient of what is made of it now would go on to it."""
    return is_grad_enabled() and edge_of(tensor) is not None


def is_untied(tensor: Tensor) -> bool:
    return not is_tied(tensor)


def tie(result: Any, given: Sequence[Tensor], name: str) -> None:
    """Has whoever asks for a gradient through a call of an artifact be told that there is none."""
    edges = tuple(map(edge_of, given))
    for each in _tensors_in(result):
        if each.aval.dtype.is_float and not any(each is other for other in given):
            node = Node(f"artifact {name}", each.aval, edges, _refuse, (), user_location())
            each.autograd = Handle(node, each.storage.version)


def _tensors_in(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple | dict):
        for part in result.values() if isinstance(result, dict) else result:
            yield from _tensors_in(part)


def _refuse(node: Node, ct: Any) -> NoReturn:
    mend = "give it tensors that are detached, call it under tj.no_grad(), or export the step with its gradients"
    where = f" at {node.loc}" if node.loc else ""
    raise AutogradError(at_user_line(f"{node.name}, called{where}, has no gradient: {mend}"))


def array_of(tensor: Tensor) -> np.ndarray:
    """An array over its elements."""
    return as_array(tensor)


def note_write(tensor: Tensor) -> None:
    """Its memory has been written, which the tape is to know."""
    tensor.storage.note_write()
