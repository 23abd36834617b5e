"""What is known of a value before it is computed: dtype, shape, device."""

from __future__ import annotations

from math import prod

from tracejit._records import dataclass, field
from tracejit.dtypes import DType
from tracejit.ir.dim import Dim, Sizes, name_of, plain, surely_equal

Extent = int | Dim
Shape = tuple[Extent, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Aval:
    """An abstract value. `aval()` makes one object per value, so `is` compares them."""

    dtype: DType
    shape: Shape
    device: str
    ndim: int = field(init=False)
    size: int = field(init=False)
    """Number of elements."""
    open: Sizes | None = field(init=False)
    """What the sizes in the shape belong to; None where they are all numbers."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ndim", len(self.shape))
        object.__setattr__(self, "size", prod(self.shape))
        object.__setattr__(self, "open", sizes_in(self.shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, as code reads it to which a size is as good as a number."""
        return self.shape  # type: ignore[return-value]  # see `Dim`

    def __str__(self) -> str:
        return self.text(",".join(map(str, self.shape)))

    __repr__ = __str__

    def equals(self, other: Aval) -> bool:
        """Whether both are the same; open sizes are compared, which `is` does not."""
        if self is other or (self.open is None and other.open is None):
            return self is other
        same = self.dtype is other.dtype and self.device == other.device
        return same and same_shape(self.shape, other.shape)

    def text(self, dims: str) -> str:
        place = "" if self.device == "cpu" else f"@{self.device}"
        return f"{self.dtype.short}[{dims}]{place}"

    @property
    def name(self) -> str:
        """`f32[n0,784]`, as graphs are printed: open sizes are not looked at."""
        return self.text(",".join(map(name_of, self.shape)))

    def __reduce__(self) -> tuple[object, ...]:
        return aval, (self.dtype, self.shape, self.device)


def same_shape(a: Shape, b: Shape) -> bool:
    """Whether the shapes are equal; those of other lengths are not compared size by size, as tuples would be."""
    return a is b or (len(a) == len(b) and a == b)


def surely_same_shape(a: Shape, b: Shape) -> bool:
    """Whether the shapes are equal for all values of their open sizes, of which none is asked."""
    return a is b or (len(a) == len(b) and all(map(surely_equal, a, b)))


def sizes_in(shape: Shape) -> Sizes | None:
    """What the sizes belong to that are no numbers; None if there are none."""
    for extent in shape:
        if type(extent) is Dim:
            return extent.sizes
    return None


def aval(dtype: DType, shape: Shape = (), device: str = "cpu") -> Aval:
    """The one `Aval` of these."""
    key = (dtype, shape, device)
    found = _known.get(key)
    return _new(key) if found is None else found


def _new(key: tuple[DType, Shape, str]) -> Aval:
    dtype, shape, device = key
    sizes = sizes_in(shape)
    if sizes is None:
        return _known.setdefault(key, Aval(dtype, shape, device))
    if not sizes.is_open:
        return aval(dtype, plain(shape), device)
    simplest = tuple(map(sizes.simplest, shape))
    if any(new is not old for new, old in zip(simplest, shape)):
        return aval(dtype, simplest, device)
    return sizes.avals.setdefault(key, Aval(dtype, shape, device))


_known: dict[tuple[DType, Shape, str], Aval] = {}
