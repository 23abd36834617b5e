"""What is known of a value before it is computed: dtype, shape, device."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from tracejit.dtypes import DType


@dataclass(frozen=True, slots=True)
class Dim:
    """A dimension whose size is known only at the call. Equal names are equal sizes."""

    name: str

    def __str__(self) -> str:
        return self.name


Extent = int | Dim
Shape = tuple[Extent, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Aval:
    """An abstract value. `aval()` makes one object per value, so `is` compares them."""

    dtype: DType
    shape: Shape
    device: str
    ndim: int = field(init=False)
    _size: int | None = field(init=False)

    def __post_init__(self) -> None:
        known = not any(isinstance(extent, Dim) for extent in self.shape)
        object.__setattr__(self, "ndim", len(self.shape))
        object.__setattr__(self, "_size", prod(self.shape) if known else None)

    @property
    def size(self) -> int:
        """Number of elements; every dimension must be known."""
        if self._size is None:
            raise TypeError(f"{self} has a dimension that is not known yet")
        return self._size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, of which every dimension must be known."""
        if self._size is None:
            raise TypeError(f"{self} has a dimension that is not known yet")
        return self.shape  # type: ignore[return-value]  # no Dim is left

    def __str__(self) -> str:
        dims = ",".join(map(str, self.shape))
        place = "" if self.device == "cpu" else f"@{self.device}"
        return f"{self.dtype.short}[{dims}]{place}"

    __repr__ = __str__

    def __reduce__(self) -> tuple[object, ...]:
        return aval, (self.dtype, self.shape, self.device)


def aval(dtype: DType, shape: Shape = (), device: str = "cpu") -> Aval:
    """The one `Aval` of these."""
    return _interned(dtype, shape, device)


_interned = lru_cache(maxsize=None)(Aval)
