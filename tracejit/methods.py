"""Operators and methods that need nothing but `bind`: shared by tensors and by the abstract values of function transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit._errors import at_user_line
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval
from tracejit.ops import composite, contract, elementwise, functions, index, reduce, slicing
from tracejit.ops import shape as shapes

Method = Callable[..., Any]


def _operand(value: object) -> bool:
    """Whether an operator takes `value`; others are left to their own operators."""
    return hasattr(value, "aval") or isinstance(
        value, (bool, int, float, np.ndarray, np.generic, list, tuple)
    )


def _binary(function: Method) -> Method:
    def operator(self: Any, other: Any) -> Any:
        return function(self, other) if _operand(other) else NotImplemented

    return operator


def _reflected(function: Method) -> Method:
    def operator(self: Any, other: Any) -> Any:
        return function(other, self) if _operand(other) else NotImplemented

    return operator


def _method(function: Method) -> Method:
    """`function` with the value as its first argument; an Op, unlike a function, would not become a method by itself."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__doc__ = getattr(function, "doc", None) or function.__doc__
    return method


def _fold(function: Method) -> Method:
    """A reduction, whose axis may be given by place: `t.sum(0)`."""

    def method(self: Any, axis: Any = None, **options: Any) -> Any:
        return function(self, axis=axis, **options)

    method.__doc__ = function.__doc__
    return method


def _of_sizes(function: Method) -> Method:
    """A method of a shape or axes, given as one sequence or one by one: `t.reshape(2, 3)`."""

    def method(self: Any, *sizes: Any) -> Any:
        one_sequence = len(sizes) == 1 and isinstance(sizes[0], (tuple, list))
        return function(self, sizes[0] if one_sequence else sizes)

    method.__doc__ = function.__doc__
    return method


def _transpose(self: Any, *axes: Any) -> Any:
    """The axes in another order, by default reversed; a view."""
    return _of_sizes(shapes.transpose)(self, *axes) if axes else shapes.transpose(self)


class Operators:
    """What a value with an `aval` can do."""

    __slots__ = ()
    __hash__ = object.__hash__
    aval: Aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape  # type: ignore[return-value]  # known where a user asks

    @property
    def dtype(self) -> DType:
        return self.aval.dtype

    @property
    def device(self) -> str:
        return self.aval.device

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.aval.size

    @property
    def itemsize(self) -> int:
        return self.aval.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.aval.nbytes

    def __len__(self) -> int:
        if not self.aval.shape:
            raise TypeError(at_user_line("a 0-d tensor has no length"))
        return self.shape[0]

    __add__ = _binary(elementwise.add)
    __radd__ = _reflected(elementwise.add)
    __sub__ = _binary(elementwise.subtract)
    __rsub__ = _reflected(elementwise.subtract)
    __mul__ = _binary(elementwise.multiply)
    __rmul__ = _reflected(elementwise.multiply)
    __truediv__ = _binary(elementwise.divide)
    __rtruediv__ = _reflected(elementwise.divide)
    __floordiv__ = _binary(elementwise.floor_divide)
    __rfloordiv__ = _reflected(elementwise.floor_divide)
    __mod__ = _binary(elementwise.remainder)
    __rmod__ = _reflected(elementwise.remainder)
    __pow__ = _binary(functions.pow)
    __rpow__ = _reflected(functions.pow)
    __and__ = _binary(elementwise.bitwise_and)
    __rand__ = _reflected(elementwise.bitwise_and)
    __or__ = _binary(elementwise.bitwise_or)
    __ror__ = _reflected(elementwise.bitwise_or)
    __xor__ = _binary(elementwise.bitwise_xor)
    __rxor__ = _reflected(elementwise.bitwise_xor)
    __lshift__ = _binary(elementwise.bitwise_left_shift)
    __rlshift__ = _reflected(elementwise.bitwise_left_shift)
    __rshift__ = _binary(elementwise.bitwise_right_shift)
    __rrshift__ = _reflected(elementwise.bitwise_right_shift)
    __eq__ = _binary(elementwise.equal)
    __ne__ = _binary(elementwise.not_equal)
    __lt__ = _binary(elementwise.less)
    __le__ = _binary(elementwise.less_equal)
    __gt__ = _binary(elementwise.greater)
    __ge__ = _binary(elementwise.greater_equal)
    __matmul__ = _binary(contract.matmul)
    __rmatmul__ = _reflected(contract.matmul)
    __neg__ = _method(elementwise.negative)
    __pos__ = _method(elementwise.positive)
    __abs__ = _method(elementwise.abs)
    __invert__ = _method(elementwise.bitwise_invert)

    # Elements

    astype = elementwise.astype
    clip = elementwise.clip
    abs = _method(elementwise.abs)
    ceil = _method(elementwise.ceil)
    cos = _method(functions.cos)
    erf = _method(functions.erf)
    exp = _method(functions.exp)
    expm1 = _method(functions.expm1)
    floor = _method(elementwise.floor)
    isfinite = _method(elementwise.isfinite)
    isinf = _method(elementwise.isinf)
    isnan = _method(elementwise.isnan)
    log = _method(functions.log)
    log1p = _method(functions.log1p)
    log2 = _method(functions.log2)
    log10 = _method(functions.log10)
    pow = functions.pow
    reciprocal = _method(elementwise.reciprocal)
    relu = _method(functions.relu)
    round = _method(elementwise.round)
    sigmoid = _method(functions.sigmoid)
    sign = _method(elementwise.sign)
    sin = _method(functions.sin)
    sqrt = _method(elementwise.sqrt)
    square = _method(elementwise.square)
    tan = _method(functions.tan)
    tanh = _method(functions.tanh)
    trunc = _method(elementwise.trunc)

    # Folds

    all = _fold(reduce.all)
    any = _fold(reduce.any)
    argmax = _fold(reduce.argmax)
    argmin = _fold(reduce.argmin)
    cumprod = _fold(reduce.cumulative_prod)
    cumsum = _fold(reduce.cumulative_sum)
    max = _fold(reduce.max)
    mean = _fold(reduce.mean)
    min = _fold(reduce.min)
    prod = _fold(reduce.prod)
    std = _fold(reduce.std)
    sum = _fold(reduce.sum)
    var = _fold(reduce.var)

    log_softmax = composite.log_softmax
    logsumexp = _fold(composite.logsumexp)
    softmax = composite.softmax

    # Products

    dot = contract.dot
    matmul = contract.matmul
    outer = contract.outer
    trace = contract.trace

    # Arrangement

    diagonal = index.diagonal
    take = index.take
    broadcast_to = _of_sizes(shapes.broadcast_to)
    expand_dims = shapes.expand_dims
    flatten = shapes.flatten
    flip = slicing.flip
    moveaxis = shapes.moveaxis
    permute = _of_sizes(shapes.permute_dims)
    repeat = slicing.repeat
    reshape = _of_sizes(shapes.reshape)
    roll = slicing.roll
    split = slicing.split
    squeeze = shapes.squeeze
    tile = slicing.tile
    swapaxes = shapes.swapaxes
    transpose = _transpose
    unstack = slicing.unstack

    @property
    def T(self) -> Any:
        """The axes in reverse order; a view."""
        return shapes.transpose(self)

    @property
    def mT(self) -> Any:
        """The last two axes exchanged; a view."""
        return shapes.matrix_transpose(self)
