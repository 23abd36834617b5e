"""A tensor that has open sizes for the thread that records, and to all others is as it was."""

from __future__ import annotations

import threading
from typing import Any

from tracejit.ir.aval import Aval
from tracejit.ops.op import Layout
from tracejit.tensor import Tensor

_opened: dict[int, tuple[int, Aval, Layout]] = {}
"""id of a tensor -> the thread that it is open to, and what it is there."""
_of_object: Any = object.__dict__["__class__"]


def claim(tensor: Tensor) -> bool:
    """Takes a tensor for this thread, until `close`; False where another thread has it."""
    entry = threading.get_ident(), tensor.aval, tensor.layout
    return _opened.setdefault(id(tensor), entry) is entry


def open_as(tensor: Tensor, aval: Aval, layout: Layout) -> None:
    """From here on the claimed tensor has this aval and layout here."""
    _opened[id(tensor)] = threading.get_ident(), aval, layout
    _of_object.__set__(tensor, _Open)


def close(tensor: Tensor) -> None:
    _of_object.__set__(tensor, Tensor)
    del _opened[id(tensor)]


def _here(tensor: Tensor) -> tuple[int, Aval, Layout] | None:
    found = _opened.get(id(tensor))
    return found if found is not None and found[0] == threading.get_ident() else None


class _Open(Tensor):
    """The class of such a tensor, which passes for the ordinary one."""

    __slots__ = ()
    __class__ = property(lambda self: Tensor)

    @property
    def aval(self) -> Aval:  # type: ignore[override]  # a slot, which is kept
        found = _here(self)
        return _aval.__get__(self) if found is None else found[1]

    @property
    def layout(self) -> Layout:  # type: ignore[override]  # a slot, which is kept
        found = _here(self)
        return _layout.__get__(self) if found is None else found[2]


_aval: Any = Tensor.__dict__["aval"]
_layout: Any = Tensor.__dict__["layout"]
type.__setattr__(_Open, "__name__", "Tensor")  # as messages of Python's name it
