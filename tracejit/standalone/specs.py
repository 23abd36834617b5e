"""Arrays of which only the kind is said: `float32[batch, 784]`. A name in the place of a size leaves that open."""

from __future__ import annotations

import re

from tracejit import dtypes
from tracejit._records import dataclass
from tracejit.dtypes import DType
from tracejit.ir.dim import Dim

_FORM = re.compile(r"\s*(\w+)\[([\w\s,]*)\]\s*")
_DTYPES = {dtype.name: dtype for dtype in dtypes.ALL}


@dataclass(frozen=True, slots=True)
class Spec:
    """Sizes that are left open have names; in a signature some are made of others, as `(batch // 2)`."""

    dtype: DType
    shape: tuple[int | str, ...]

    def __repr__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"


def spec_of(text: str) -> Spec | None:
    """The kind of array that a text describes; None for other texts. Raises ValueError for one of no dtype, or of no shape."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    if found[1] not in _DTYPES:
        raise ValueError(f"{text!r}: {found[1]!r} is none of {', '.join(_DTYPES)}")
    parts = [part.strip() for part in found[2].split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal() and not part.isidentifier():
            raise ValueError(f"{text!r}: {part!r} is neither a size nor the name of one")
    return Spec(_DTYPES[found[1]], tuple(int(p) if p.isdecimal() else p for p in parts))


def shown(dtype: DType, shape: tuple[int, ...]) -> Spec:
    """Of an array in a signature, some of whose sizes are open."""
    return Spec(dtype, tuple(map(named, shape)))


def named(extent: int | Dim) -> int | str:
    """A size; one that is open as text."""
    return extent.text([*map(str, extent.sizes.labels)]) if type(extent) is Dim else int(extent)
