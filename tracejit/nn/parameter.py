"""Parameter: a tensor that a module owns and an optimizer updates."""

from __future__ import annotations

from typing import Any

from tracejit.dtypes import DType
from tracejit.ops.arguments import moved
from tracejit.tensor import Tensor, from_data


class Parameter(Tensor):
    """A leaf tensor that requires gradients; assigned to an attribute of a module it becomes one of its parameters.

    `data` is copied.

    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        value = data.detach() if isinstance(data, Tensor) else data
        super().__init__(value, requires_grad=requires_grad)

    def __copy__(self) -> Parameter:
        return Parameter(self, self.requires_grad)

    def __reduce__(self) -> tuple[object, ...]:
        return Parameter, (self.detach(), self.requires_grad)


def become(tensor: Tensor, dtype: DType, device: str) -> None:
    """`tensor` itself is from now on its values in `dtype` and on `device`, in new memory; its gradient too."""
    if tensor.dtype is dtype and tensor.device == device:
        return
    gradient, requires_grad = tensor.grad, tensor.requires_grad
    value = from_data(tensor.detach(), dtype, device)
    tensor.storage, tensor.layout, tensor.aval = value.storage, value.layout, value.aval
    tensor.autograd = None
    tensor.requires_grad_(requires_grad)
    if gradient is not None:
        tensor.grad = moved(gradient.astype(dtype), device)
