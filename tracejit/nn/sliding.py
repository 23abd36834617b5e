"""Functions of sliding windows: convolution and pooling, with PyTorch's names and arguments.

Where a window has several axes, an int means the same along each. The batch axis of `x` may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index as as_index
from typing import Any

from tracejit._errors import ShapeError, at_user_line
from tracejit.ops import convolution
from tracejit.ops.arguments import value
from tracejit.tensor import Tensor

Size = int | Sequence[int]
Padding = Size | str
_AXES = {1: "L", 2: "H, W"}


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of x (N, C, L) with weight (O, C / groups, K), plus bias (O): (N, O, L_out).

    L_out is (L + 2 padding - dilation (K - 1) - 1) // stride + 1. ShapeError where the sizes do not fit.

    >>> import tracejit as tj
    >>> conv1d(tj.tensor([[[1.0, 2.0, 3.0, 4.0]]]), tj.tensor([[[1.0, -1.0]]]))
    tensor([[[-1., -1., -1.]]])
    """
    return _convolved(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of x (N, C, H, W) with weight (O, C / groups, K, L), plus bias (O): (N, O, H_out, W_out).

    `padding` is a number of zeros on both sides, "valid" for none, or "same" for as many as keep the size, at stride 1.

    >>> import tracejit as tj
    >>> conv2d(tj.ones((8, 3, 32, 32)), tj.ones((16, 3, 3, 3)), padding="same").shape
    (8, 16, 32, 32)
    """
    return _convolved(2, x, weight, bias, stride, padding, dilation, groups)


def _convolved(
    ndim: int,
    x: Any,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
) -> Tensor:
    name = f"conv{ndim}d"
    weight = value(weight)
    if weight.ndim != ndim + 2:
        message = f"{name}: weight {weight.aval}: needs {ndim + 2} dimensions"
        raise ShapeError(at_user_line(message))
    steps, apart = (
        each_axis(name, "stride", stride, ndim),
        each_axis(name, "dilation", dilation, ndim),
    )
    widths = _widths(name, padding, weight.shape[2:], steps, apart)
    return _batched(
        name, ndim, x,
        lambda x: convolution.convolve(
            x, weight, bias, stride=steps, padding=widths, dilation=apart, groups=groups
        ),
    )  # fmt: skip


def _widths(
    name: str,
    padding: Padding,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(size)
    if padding == "same":
        if any(step != 1 for step in stride):
            message = f"{name}: padding='same' needs a stride of 1, got {stride}"
            raise ValueError(at_user_line(message))
        both = [by * (n - 1) for n, by in zip(size, dilation, strict=True)]
        return [(width // 2, width - width // 2) for width in both]
    if isinstance(padding, str):
        message = f"{name}: padding is a number, 'same' or 'valid', got {padding!r}"
        raise ValueError(at_user_line(message))
    return [(width, width) for width in each_axis(name, "padding", padding, len(size), least=0)]


def max_pool1d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of each window of x (N, C, L), which begin `stride` (by default `kernel_size`) apart.

    >>> import tracejit as tj
    >>> max_pool1d(tj.tensor([[[1.0, 5.0, 2.0, 3.0]]]), 2)
    tensor([[[5., 3.]]])
    """
    return _max_pooled(1, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of each window of x (N, C, H, W); the first of those that tie has the gradient.

    `ceil_mode` keeps windows that reach beyond the padded input, if they begin inside it.

    >>> import tracejit as tj
    >>> max_pool2d(tj.reshape(tj.arange(16.0), (1, 1, 4, 4)), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    return _max_pooled(2, x, kernel_size, stride, padding, dilation, ceil_mode)


def _max_pooled(
    ndim: int,
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> Tensor:
    name = f"max_pool{ndim}d"
    size, steps, widths = _pool_arguments(name, ndim, kernel_size, stride, padding)
    apart = each_axis(name, "dilation", dilation, ndim)
    return _batched(
        name, ndim, x,
        lambda x: convolution.max_pool(
            x, size, stride=steps, padding=widths, dilation=apart, ceil_mode=ceil_mode
        ),
    )  # fmt: skip


def avg_pool1d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of x (N, C, L), which begin `stride` (by default `kernel_size`) apart.

    >>> import tracejit as tj
    >>> avg_pool1d(tj.tensor([[[1.0, 5.0, 2.0, 4.0]]]), 2)
    tensor([[[3., 3.]]])
    """
    return _average_pooled(
        1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor=None
    )


def avg_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of x (N, C, H, W), over the zeros of the padding too unless `count_include_pad` is false.

    The sum is divided by `divisor_override` where that is given.

    >>> import tracejit as tj
    >>> avg_pool2d(tj.ones((1, 1, 2, 2)), 2, padding=1)
    tensor([[[[0.25, 0.25],
              [0.25, 0.25]]]])
    """
    return _average_pooled(
        2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _average_pooled(
    ndim: int,
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    name = f"avg_pool{ndim}d"
    size, steps, widths = _pool_arguments(name, ndim, kernel_size, stride, padding)
    return _batched(
        name, ndim, x,
        lambda x: convolution.average_pool(
            x, size, stride=steps, padding=widths, ceil_mode=ceil_mode,
            count_include_pad=count_include_pad, divisor=divisor,
        ),
    )  # fmt: skip


def adaptive_avg_pool2d(x: Tensor, output_size: Size) -> Tensor:
    """The means of `output_size` parts of x (N, C, H, W), as even as can be.

    >>> import tracejit as tj
    >>> adaptive_avg_pool2d(tj.ones((2, 3, 7, 5)), (3, 2)).shape
    (2, 3, 3, 2)
    """
    name = "adaptive_avg_pool2d"
    counts = each_axis(name, "output_size", output_size, 2)
    return _batched(name, 2, x, lambda x: convolution.adaptive_average_pool(x, counts))


def _pool_arguments(
    name: str, ndim: int, kernel_size: Size, stride: Size | None, padding: Size
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    size = each_axis(name, "kernel_size", kernel_size, ndim)
    steps = size if stride is None else each_axis(name, "stride", stride, ndim)
    return size, steps, each_axis(name, "padding", padding, ndim, least=0)


def _batched(name: str, ndim: int, x: Any, function: Callable[[Any], Any]) -> Any:
    """`function` of x with a batch axis, which is taken away again where x has none."""
    x = value(x)
    if x.ndim == ndim + 2:
        return function(x)
    if x.ndim != ndim + 1:
        message = f"{name}: {x.aval}: expected (N, C, {_AXES[ndim]}) or the same without N"
        raise ShapeError(at_user_line(message))
    result = function(x.reshape((1, *x.shape)))
    return result.reshape(result.shape[1:])


def each_axis(name: str, what: str, given: Size, ndim: int, *, least: int = 1) -> tuple[int, ...]:
    """An int or a sequence as one int for each axis."""
    found = tuple(map(as_index, given)) if isinstance(given, Sequence) else (as_index(given),)
    found = found * ndim if len(found) == 1 else found
    if len(found) != ndim or min(found) < least:
        message = (
            f"{name}: {what} is {ndim} numbers of {least} or more, or one for all, got {given!r}"
        )
        raise ValueError(at_user_line(message))
    return found
