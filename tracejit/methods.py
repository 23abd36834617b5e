"""Operators and methods that need nothing but `bind`: shared by tensors and by the abstract values of function transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit import ops
from tracejit._errors import at_user_line
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval
from tracejit.namesakes import Namesakes

Method = Callable[..., Any]


def _operand(value: object) -> bool:
    """Whether an operator takes `value`; others are left to their own operators."""
    return (
        type(value) is float
        or hasattr(value, "aval")
        or isinstance(value, (bool, int, float, np.ndarray, np.generic, list, tuple))
    )


def _like(function: Method, method: Method) -> Method:
    """`method` under the name, and with the documentation, of the function or Op that it calls."""
    method.__name__ = getattr(function, "name", None) or function.__name__
    method.__qualname__ = f"Tensor.{method.__name__}"
    method.__doc__ = getattr(function, "doc", None) or function.__doc__
    return method


def _binary(function: Method) -> Method:
    def operator(self: Any, other: Any) -> Any:
        return function(self, other) if _operand(other) else NotImplemented

    return _like(function, operator)


def _reflected(function: Method) -> Method:
    def operator(self: Any, other: Any) -> Any:
        return function(other, self) if _operand(other) else NotImplemented

    return _like(function, operator)


def _method(function: Method) -> Method:
    """`function` with the value as its first argument; an Op, unlike a function, would not become a method by itself."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return _like(function, method)


def _fold(function: Method) -> Method:
    """A reduction, whose axis may be given by place: `t.sum(0)`."""

    def method(self: Any, axis: Any = None, **options: Any) -> Any:
        return function(self, axis=axis, **options)

    return _like(function, method)


def _fold_as_in_torch(function: Method) -> Method:
    """A reduction that means the same by PyTorch's names: `t.sum(dim=0, keepdim=True)`.

    `max`, `min`, `var` and `std` do not: theirs give indices, too, or divide by one less.
    """
    by_axis = _fold(function)

    def method(self: Any, axis: Any = None, **options: Any) -> Any:
        for theirs, ours in (("dim", "axis"), ("keepdim", "keepdims")):
            if theirs in options:
                options[ours] = options.pop(theirs)
        return by_axis(self, **{"axis": axis, **options})

    return _like(function, method)


def _softmax(function: Method) -> Method:
    by_axis = _fold_as_in_torch(function)

    def method(self: Any, axis: Any = -1, **options: Any) -> Any:
        return by_axis(self, axis, **options)

    return _like(function, method)


def _of_sizes(function: Method) -> Method:
    """A method of a shape or axes, given as one sequence or one by one: `t.reshape(2, 3)`."""

    def method(self: Any, *sizes: Any) -> Any:
        one_sequence = len(sizes) == 1 and isinstance(sizes[0], (tuple, list))
        return function(self, sizes[0] if one_sequence else sizes)

    return _like(function, method)


_by_axes = _of_sizes(ops.transpose)


def _transpose(self: Any, *axes: Any) -> Any:
    """The axes in another order, by default reversed; a view."""
    return _by_axes(self, *axes) if axes else ops.transpose(self)


def _argsort(self: Any, axis: int = -1, *, descending: bool = False, stable: bool = False) -> Any:
    """The indices (int64) that sort along `axis`; equal elements keep their order if `stable`."""
    return ops.argsort(self, axis=axis, descending=descending, stable=stable)


def _polygamma(self: Any, n: int) -> Any:
    """The n-th derivative of digamma."""
    return ops.polygamma(n, self)


class Operators(Namesakes):
    """What a value with an `aval` can do."""

    __slots__ = ()
    __hash__ = object.__hash__
    _is_value = True
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

    __add__ = _binary(ops.add)
    __radd__ = _reflected(ops.add)
    __sub__ = _binary(ops.subtract)
    __rsub__ = _reflected(ops.subtract)
    __mul__ = _binary(ops.multiply)
    __rmul__ = _reflected(ops.multiply)
    __truediv__ = _binary(ops.divide)
    __rtruediv__ = _reflected(ops.divide)
    __floordiv__ = _binary(ops.floor_divide)
    __rfloordiv__ = _reflected(ops.floor_divide)
    __mod__ = _binary(ops.remainder)
    __rmod__ = _reflected(ops.remainder)
    __pow__ = _binary(ops.pow)
    __rpow__ = _reflected(ops.pow)
    __and__ = _binary(ops.bitwise_and)
    __rand__ = _reflected(ops.bitwise_and)
    __or__ = _binary(ops.bitwise_or)
    __ror__ = _reflected(ops.bitwise_or)
    __xor__ = _binary(ops.bitwise_xor)
    __rxor__ = _reflected(ops.bitwise_xor)
    __lshift__ = _binary(ops.bitwise_left_shift)
    __rlshift__ = _reflected(ops.bitwise_left_shift)
    __rshift__ = _binary(ops.bitwise_right_shift)
    __rrshift__ = _reflected(ops.bitwise_right_shift)
    __eq__ = _binary(ops.equal)
    __ne__ = _binary(ops.not_equal)
    __lt__ = _binary(ops.less)
    __le__ = _binary(ops.less_equal)
    __gt__ = _binary(ops.greater)
    __ge__ = _binary(ops.greater_equal)
    __matmul__ = _binary(ops.matmul)
    __rmatmul__ = _reflected(ops.matmul)
    __neg__ = _method(ops.negative)
    __pos__ = _method(ops.positive)
    __abs__ = _method(ops.abs)
    __invert__ = _method(ops.bitwise_invert)

    # Elements

    astype = ops.astype
    clip = ops.clip
    abs = _method(ops.abs)
    addcdiv = ops.addcdiv
    ceil = _method(ops.ceil)
    cos = _method(ops.cos)
    digamma = _method(ops.digamma)
    erf = _method(ops.erf)
    erfc = _method(ops.erfc)
    erfinv = _method(ops.erfinv)
    exp = _method(ops.exp)
    expm1 = _method(ops.expm1)
    floor = _method(ops.floor)
    isfinite = _method(ops.isfinite)
    isinf = _method(ops.isinf)
    isnan = _method(ops.isnan)
    lerp = _method(ops.lerp)
    lgamma = _method(ops.lgamma)
    log = _method(ops.log)
    log1p = _method(ops.log1p)
    log2 = _method(ops.log2)
    log10 = _method(ops.log10)
    logit = ops.logit
    polygamma = _polygamma
    pow = ops.pow
    reciprocal = _method(ops.reciprocal)
    relu = _method(ops.relu)
    round = _method(ops.round)
    sigmoid = _method(ops.sigmoid)
    sign = _method(ops.sign)
    sin = _method(ops.sin)
    sqrt = _method(ops.sqrt)
    square = _method(ops.square)
    tan = _method(ops.tan)
    tanh = _method(ops.tanh)
    trunc = _method(ops.trunc)
    xlogy = _method(ops.xlogy)

    # Folds

    all = _fold_as_in_torch(ops.all)
    any = _fold_as_in_torch(ops.any)
    argmax = _fold_as_in_torch(ops.argmax)
    argmin = _fold_as_in_torch(ops.argmin)
    cumprod = _fold_as_in_torch(ops.cumulative_prod)
    cumsum = _fold_as_in_torch(ops.cumulative_sum)
    max = _fold(ops.max)
    mean = _fold_as_in_torch(ops.mean)
    min = _fold(ops.min)
    prod = _fold_as_in_torch(ops.prod)
    std = _fold(ops.std)
    sum = _fold_as_in_torch(ops.sum)
    var = _fold(ops.var)

    log_softmax = _softmax(ops.log_softmax)
    logsumexp = _fold_as_in_torch(ops.logsumexp)
    softmax = _softmax(ops.softmax)

    # Products

    dot = ops.dot
    matmul = ops.matmul
    outer = ops.outer
    trace = ops.trace

    # Arrangement

    diagonal = ops.diagonal
    argsort = _argsort
    take = ops.take
    broadcast_to = _of_sizes(ops.broadcast_to)
    expand_dims = ops.expand_dims
    flatten = ops.flatten
    flip = ops.flip
    moveaxis = ops.moveaxis
    permute = _of_sizes(ops.permute_dims)
    repeat = ops.repeat
    reshape = _of_sizes(ops.reshape)
    roll = ops.roll
    split = ops.split
    squeeze = ops.squeeze
    tile = ops.tile
    swapaxes = ops.swapaxes
    transpose = _transpose
    unstack = ops.unstack

    @property
    def T(self) -> Any:
        """The axes in reverse order; a view."""
        return ops.transpose(self)

    @property
    def mT(self) -> Any:
        """The last two axes exchanged; a view."""
        return ops.matrix_transpose(self)
