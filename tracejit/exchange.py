"""Arrays of other libraries on GPUs: DLPack both ways over the same memory, and `__cuda_array_interface__`, in by copy.

On the CPU NumPy speaks these protocols for us.
"""

from __future__ import annotations

from typing import Any

from tracejit import dtypes
from tracejit._errors import AutogradError, at_user_line
from tracejit._gate import late
from tracejit.ir.aval import aval
from tracejit.ir.dim import plain
from tracejit.ops.arguments import copied
from tracejit.ops.op import Layout
from tracejit.storage import Storage, is_row_major, row_major
from tracejit.tensor import Tensor, make

CPU, CUDA, CUDA_MANAGED = 1, 2, 13
"""Kinds of devices, by DLPack's numbers."""


def place_of(device: str) -> tuple[int, int]:
    """Kind and number of a device, as DLPack counts."""
    kind, _, index = device.partition(":")
    return (CPU, 0) if kind == "cpu" else (CUDA, int(index))


def capsule(
    tensor: Tensor,
    *,
    stream: Any,
    max_version: tuple[int, int] | None,
    dl_device: tuple[int, int] | None,
    copy: bool | None,
) -> Any:
    """What DLPack hands over of a tensor on a GPU.

    Raises BufferError where it is wanted on a device to which it would have to be copied and may not, or there is no way.
    """
    if tensor.requires_grad:
        raise AutogradError(at_user_line("a tensor that requires grad: detach() it first"))
    place = place_of(tensor.aval.device)
    if dl_device is not None and tuple(dl_device) != place:
        if tuple(dl_device) != (CPU, 0) or copy is False:
            message = f"a tensor on {tensor.aval.device} becomes one on DLPack's device {dl_device} only by a copy of its own"
            raise BufferError(at_user_line(message))
        return tensor.cpu().__dlpack__(max_version=max_version)
    module = late("tracejit.runtime.cuda.dlpack")
    shown = copied(tensor) if copy else tensor
    layout = shown.layout
    buffer: Any = shown.storage.realize()
    module.let_wait(buffer.gpu, stream)
    shown.storage.expose()
    return module.capsule_of(
        buffer,
        shown.aval.dtype,
        plain(layout.shape),
        plain(layout.strides),
        plain(layout.offset),
        versioned=max_version is not None and max_version[0] >= 1,
        is_copy=bool(copy),
    )


def is_on_gpu(array: Any) -> bool:
    """Whether another library's array says by DLPack that it is on a GPU of NVIDIA's."""
    place = getattr(array, "__dlpack_device__", None)
    return place is not None and place()[0] in (CUDA, CUDA_MANAGED)


def taken(array: Any, *, copy: bool | None) -> Tensor:
    """A tensor over the memory of an array on a GPU; a copy where that is read-only. Raises BufferError."""
    found = late("tracejit.runtime.cuda.dlpack").taken(array, int(array.__dlpack_device__()[1]))
    if found.is_read_only and copy is False:
        raise BufferError(at_user_line("read-only memory becomes a tensor only by a copy"))
    made = _over(found, found.dtype)
    made.storage.escaped = True
    return copied(made) if copy or found.is_read_only else made


def received(array: Any) -> Tensor:
    """A copy of another library's array, on the same GPU."""
    found = late("tracejit.runtime.cuda.exchange").received(array.__cuda_array_interface__)
    made = _over(found, dtypes.from_numpy(found.dtype))
    return made if is_row_major(made.layout) else copied(made)


def _over(found: Any, dtype: dtypes.DType) -> Tensor:
    kind = aval(dtype, found.shape, found.buffer.gpu.label)
    layout = row_major(found.shape)
    if found.strides is not None and (found.strides, found.offset) != (layout.strides, 0):
        layout = Layout(found.shape, found.strides, found.offset)
    return make(Storage(dtype, found.buffer.nbytes // dtype.itemsize, found.buffer), layout, kind)


def interface(tensor: Tensor) -> dict[str, Any]:
    """What `__cuda_array_interface__` says of a tensor."""
    kind, layout = tensor.aval.dtype, tensor.layout
    if tensor.aval.device == "cpu" or kind is dtypes.bfloat16:
        raise AttributeError(at_user_line(f"{tensor.aval} has no __cuda_array_interface__"))
    if tensor.requires_grad:
        raise AutogradError(at_user_line("a tensor that requires grad: detach() it first"))
    buffer = tensor.storage.realize()
    tensor.storage.expose()
    exported = late("tracejit.runtime.cuda.exchange").exported
    parts = plain(layout.shape), plain(layout.strides), plain(layout.offset)
    shown: dict[str, Any] = exported(buffer, kind.numpy, *parts)
    return shown
