"""Layers that convolve."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from tracejit._errors import at_user_line
from tracejit.nn import functional as F
from tracejit.nn import init
from tracejit.nn.module import Module
from tracejit.nn.parameter import Parameter
from tracejit.nn.sliding import Padding, Size, each_axis
from tracejit.tensor import Tensor


class _Convolution(Module):
    """What the layers share; they differ in the number of spatial axes."""

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            message = f"{name}: {in_channels} and {out_channels} channels do not divide into {groups} groups"
            raise ValueError(at_user_line(message))
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each_axis(name, "kernel_size", kernel_size, self.axes)
        self.stride = each_axis(name, "stride", stride, self.axes)
        self.padding = (
            padding
            if isinstance(padding, str)
            else each_axis(name, "padding", padding, self.axes, least=0)
        )
        self.dilation = each_axis(name, "dilation", dilation, self.axes)
        self.weight = Parameter(init.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = Parameter(init.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=sqrt(5))
        if self.bias is not None:
            fan_in, _ = init.fans(self.weight)
            bound = 1 / sqrt(fan_in) if fan_in else 0.0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        plain = {"padding": (0,) * self.axes, "dilation": (1,) * self.axes, "groups": 1}
        for name, default in plain.items():
            if (given := getattr(self, name)) != default:
                shown += f", {name}={given}"
        return shown if self.bias is not None else f"{shown}, bias=False"


class Conv1d(_Convolution):
    """Cross-correlation of x (N, in_channels, L) with a weight of shape (out_channels, in_channels / groups, K).

    Weight and bias start uniform in +-1 / sqrt(in_channels / groups * K).

    >>> import tracejit as tj
    >>> Conv1d(4, 6, 3, stride=2)(tj.ones((2, 4, 9))).shape
    (2, 6, 4)
    """

    axes = 1

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv2d(_Convolution):
    """Cross-correlation of x (N, in_channels, H, W) with a weight of shape (out_channels, in_channels / groups, K, L).

    Weight and bias start uniform in +-1 / sqrt(in_channels / groups * K * L).

    >>> Conv2d(1, 32, 3, padding=1)
    Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    axes = 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
