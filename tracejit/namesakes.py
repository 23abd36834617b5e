"""Methods that PyTorch's programs call by other names than NumPy's: each is one of tracejit's functions."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracejit import dtypes, ops
from tracejit._errors import ShapeError, at_user_line
from tracejit.ops.arguments import cast, normal_axis, value, value_or_number


class Extremes(NamedTuple):
    """What `topk` and `sort` give."""

    values: Any
    indices: Any


class Namesakes:
    """PyTorch's names for what values with an `aval` can do. `dim` is an axis."""

    __slots__ = ()

    # Arrangement

    def view(self: Any, *shape: Any) -> Any:
        """`reshape`: a view where the elements lie in strides, else a copy."""
        return self.reshape(*shape)

    def view_as(self: Any, other: Any) -> Any:
        """Reshaped as `other` is."""
        return self.reshape(other.shape)

    reshape_as = view_as

    def unsqueeze(self: Any, dim: Any) -> Any:
        """A new axis of size 1 at `dim`; a view."""
        return ops.expand_dims(self, dim)

    def expand(self: Any, *sizes: Any) -> Any:
        """Axes of size 1 repeated to `sizes`, where -1 keeps a size; a view that cannot be written."""
        wanted = (
            tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
        )
        new = len(wanted) - self.ndim
        if new < 0:
            message = f"expand: {self.aval} has more axes than the sizes {wanted}"
            raise ShapeError(at_user_line(message))
        kept = (*wanted[:new], *self.shape)
        return ops.broadcast_to(self, tuple(k if w == -1 else w for w, k in zip(wanted, kept)))

    def expand_as(self: Any, other: Any) -> Any:
        """Broadcast to the shape of `other`."""
        return ops.broadcast_to(self, other.shape)

    def t(self: Any) -> Any:
        """The two axes exchanged; a view."""
        if self.ndim > 2:
            message = f"t: {self.aval} has more than two axes: .mT exchanges the last two"
            raise ShapeError(at_user_line(message))
        return ops.transpose(self)

    def contiguous(self: Any) -> Any:
        """Itself where its elements lie in order without gaps, else a copy for which they do."""
        return self if self.is_contiguous else self.copy()

    def chunk(self: Any, chunks: Any, dim: Any = 0) -> tuple[Any, ...]:
        """At most `chunks` parts along `dim`, all of one size but the last; views."""
        axis = normal_axis(dim, self.ndim, "chunk")
        if chunks < 1:
            raise ValueError(at_user_line(f"chunk: {chunks} chunks"))
        extent = self.shape[axis]
        size = max(-(-extent // chunks), 1)
        whole = (slice(None),) * axis
        return tuple(self[(*whole, slice(at, at + size))] for at in range(0, max(extent, 1), size))

    def unbind(self: Any, dim: Any = 0) -> tuple[Any, ...]:
        """The parts along `dim`, which they lose; views."""
        parts: tuple[Any, ...] = ops.unstack(self, axis=dim)
        return parts

    def narrow(self: Any, dim: Any, start: Any, length: Any) -> Any:
        """`length` elements from `start` on along `dim`; a view."""
        axis = normal_axis(dim, self.ndim, "narrow")
        start = start + self.shape[axis] if start < 0 else start
        if not 0 <= start <= start + length <= self.shape[axis]:
            message = f"narrow: {length} elements from {start} on of {self.aval}, dimension {dim}"
            raise ShapeError(at_user_line(message))
        return self[(*(slice(None),) * axis, slice(start, start + length))]

    # Elements by index

    def gather(self: Any, dim: Any, index: Any) -> Any:
        """Along `dim` the elements at `index`, whose other axes are those of this tensor, or 1: `tj.take_along_axis`."""
        return ops.take_along_axis(self, index, axis=dim)

    def index_select(self: Any, dim: Any, index: Any) -> Any:
        """The parts at `index` along `dim`."""
        return ops.take(self, index, axis=dim)

    def index_add(self: Any, dim: Any, index: Any, source: Any) -> Any:
        """With the parts of `source` added at `index` along `dim`; repeated indices add up: `tj.scatter_add`."""
        axis = normal_axis(dim, self.ndim, "index_add")
        return ops.scatter_add(self, index, source, axis=axis)

    def scatter_add(self: Any, dim: Any, index: Any, src: Any) -> Any:
        """With each element of `src` added where `index`, of its shape, says along `dim`; repeated indices add up."""
        axis, index = normal_axis(dim, self.ndim, "scatter_add"), value(index)
        part = value(src)[tuple(slice(extent) for extent in index.shape)]
        places = [
            index if at == axis else _along(at, extent, index.ndim)
            for at, extent in enumerate(index.shape)
        ]
        return ops.add_at(self, tuple(places), part)

    def masked_fill(self: Any, mask: Any, number: Any) -> Any:
        """With `number`, in this tensor's dtype, where `mask` is true."""
        return ops.where(mask, cast(value_or_number(number), self.dtype), self)

    def masked_select(self: Any, mask: Any) -> Any:
        """The elements where `mask` is true."""
        return self[mask]

    def topk(self: Any, k: Any, dim: Any = -1, largest: Any = True) -> Extremes:
        """The `k` largest (or smallest) along `dim`, in order, and their indices; of equal ones the first."""
        axis = normal_axis(dim, self.ndim, "topk")
        if not 0 <= k <= self.shape[axis]:
            message = f"topk: {k} of {self.aval} along dimension {dim}"
            raise ValueError(at_user_line(message))
        order = ops.argsort(self, axis=axis, descending=bool(largest))
        best = order[(*(slice(None),) * axis, slice(k))]
        return Extremes(ops.take_along_axis(self, best, axis=axis), best)

    # Arithmetic

    def add(self: Any, other: Any, *, alpha: Any = 1) -> Any:
        """self + alpha other"""
        return ops.add(self, other if alpha == 1 else ops.multiply(other, alpha))

    def sub(self: Any, other: Any, *, alpha: Any = 1) -> Any:
        """self - alpha other"""
        return ops.subtract(self, other if alpha == 1 else ops.multiply(other, alpha))

    def mul(self: Any, other: Any) -> Any:
        """self * other"""
        return ops.multiply(self, other)

    def div(self: Any, other: Any) -> Any:
        """self / other"""
        return ops.divide(self, other)

    def neg(self: Any) -> Any:
        """-self"""
        return ops.negative(self)

    def rsqrt(self: Any) -> Any:
        """1 / sqrt(x)"""
        return ops.reciprocal(ops.sqrt(self))

    def clamp(self: Any, min: Any = None, max: Any = None) -> Any:
        """At least `min` and at most `max`."""
        return ops.clip(self, min, max)

    def clamp_min(self: Any, min: Any) -> Any:
        """At least `min`."""
        return ops.clip(self, min)

    def clamp_max(self: Any, max: Any) -> Any:
        """At most `max`."""
        return ops.clip(self, None, max)

    def maximum(self: Any, other: Any) -> Any:
        """The larger of the elements."""
        return ops.maximum(self, other)

    def minimum(self: Any, other: Any) -> Any:
        """The smaller of the elements."""
        return ops.minimum(self, other)

    def where(self: Any, condition: Any, other: Any) -> Any:
        """Itself where `condition` is true, `other` elsewhere."""
        return ops.where(condition, self, other)

    def bmm(self: Any, other: Any) -> Any:
        """The product of matrices."""
        return ops.matmul(self, other)

    mm = mv = bmm

    def norm(self: Any, p: Any = 2, dim: Any = None, keepdim: Any = False) -> Any:
        """(sum |x|**p)**(1/p) over `dim`; its gradient where all is 0 is 0."""
        return ops.vector_norm(self, p, axis=dim, keepdims=keepdim)

    # Comparisons

    def eq(self: Any, other: Any) -> Any:
        """self == other"""
        return ops.equal(self, other)

    def ne(self: Any, other: Any) -> Any:
        """self != other"""
        return ops.not_equal(self, other)

    def lt(self: Any, other: Any) -> Any:
        """self < other"""
        return ops.less(self, other)

    def le(self: Any, other: Any) -> Any:
        """self <= other"""
        return ops.less_equal(self, other)

    def gt(self: Any, other: Any) -> Any:
        """self > other"""
        return ops.greater(self, other)

    def ge(self: Any, other: Any) -> Any:
        """self >= other"""
        return ops.greater_equal(self, other)

    def logical_not(self: Any) -> Any:
        """Whether each element is zero."""
        return ops.logical_not(self)

    def logical_and(self: Any, other: Any) -> Any:
        """Whether both elements are not zero."""
        return ops.logical_and(self, other)

    def logical_or(self: Any, other: Any) -> Any:
        """Whether one of the elements is not zero."""
        return ops.logical_or(self, other)

    # What it is, and other dtypes

    def dim(self: Any) -> Any:
        """The number of axes."""
        return self.ndim

    def numel(self: Any) -> Any:
        """The number of elements."""
        return self.size

    def type_as(self: Any, other: Any) -> Any:
        """In the dtype of `other`."""
        return self.astype(other.dtype, copy=False)

    def float(self: Any) -> Any:
        """In float32."""
        return self.astype(dtypes.float32, copy=False)

    def double(self: Any) -> Any:
        """In float64."""
        return self.astype(dtypes.float64, copy=False)

    def half(self: Any) -> Any:
        """In float16."""
        return self.astype(dtypes.float16, copy=False)

    def bfloat16(self: Any) -> Any:
        """In bfloat16."""
        return self.astype(dtypes.bfloat16, copy=False)

    def int(self: Any) -> Any:
        """In int32."""
        return self.astype(dtypes.int32, copy=False)

    def long(self: Any) -> Any:
        """In int64."""
        return self.astype(dtypes.int64, copy=False)

    def bool(self: Any) -> Any:
        """Whether each element is not zero."""
        return self.astype(dtypes.bool_, copy=False)


def _along(axis: Any, extent: Any, ndim: Any) -> Any:
    """The places along an axis, as an array that broadcasts along the others."""
    shape = tuple(extent if at == axis else 1 for at in range(ndim))
    return ops.arange(extent).reshape(shape)
