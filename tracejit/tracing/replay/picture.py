"""Pictures of values: two of them are alike if nobody can tell the values apart, as far as bits, types and sharing go."""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Iterator
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.storage import as_array
from tracejit.tensor import Tensor, from_array

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, slice)


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One thing that was seen: where, what can be compared of it, and the thing itself, held so that its id stays its own."""

    path: str
    seen: Any
    value: Any

    def __str__(self) -> str:
        elements = self.elements()
        if elements is None:
            return repr(self.value)
        return repr(from_array(elements, copy=True) if isinstance(self.value, Tensor) else elements)

    def elements(self) -> np.ndarray | None:
        """Those of a tensor or an array, which may have been written since, as they were."""
        value = self.value
        if isinstance(value, Tensor):
            return np.frombuffer(self.seen[-1], value.aval.dtype.numpy).reshape(value.aval.sizes)
        if isinstance(value, np.ndarray) and self.seen[-1]:
            return np.frombuffer(self.seen[-1], value.dtype).reshape(value.shape)
        return None


def picture(named: dict[str, Any]) -> list[Leaf]:
    """All that is reached from some values, each thing once; what is met again is told as such."""
    leaves: list[Leaf] = []
    met: dict[int, int] = {}
    stack = list(reversed(named.items()))
    while stack:
        path, value = stack.pop()
        if type(value) in _PLAIN or isinstance(value, np.generic):
            leaves.append(Leaf(path, (type(value), repr(value)), value))
            continue
        if id(value) in met:
            leaves.append(Leaf(path, ("again", met[id(value)]), value))
            continue
        met[id(value)] = len(met)
        leaves.append(Leaf(path, _seen(value), value))
        stack += reversed([(f"{path}{step}", part) for step, part in _parts(value)])
    return leaves


def first_difference(expected: list[Leaf], found: list[Leaf]) -> tuple[Leaf, Leaf] | None:
    """The first two leaves that are not alike."""
    for pair in zip(expected, found):
        if pair[0].path != pair[1].path or pair[0].seen != pair[1].seen:
            return pair
    if len(expected) != len(found):
        return expected[-1], found[-1]
    return None


def place_of_difference(one: Leaf, other: Leaf) -> tuple[int, ...] | None:
    """The place of the first element that differs, of tensors or arrays that differ in nothing else."""
    x, y = one.elements(), other.elements()
    if x is None or y is None or one.seen[:-1] != other.seen[:-1]:
        return None
    rows = [np.frombuffer(each.tobytes(), np.uint8).reshape(-1, x.itemsize) for each in (x, y)]
    first = int((rows[0] != rows[1]).any(axis=1).argmax())
    return tuple(map(int, np.unravel_index(first, x.shape)))


def _seen(value: Any) -> Any:
    kind = type(value)
    if issubclass(kind, Tensor):
        return kind, str(value.aval), value.requires_grad, _bits(as_array(value))
    if issubclass(kind, np.ndarray):
        return kind, value.dtype, value.shape, _bits(value) if value.dtype.kind in "biufc" else ""
    if issubclass(kind, list | tuple | dict | set | frozenset | deque):
        return kind, len(value)
    if issubclass(kind, FunctionType):
        return kind, value.__code__
    if issubclass(kind, type | ModuleType):
        return kind, id(value)
    return kind


def _bits(array: np.ndarray) -> bytes:
    """The bits of all elements, those of NaNs made alike."""
    copy = array.copy()
    if copy.dtype.kind not in "biu":
        copy[copy != copy] = np.nan  # NaN alone differs from itself
    return copy.tobytes()


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    if issubclass(kind, Tensor):
        grad = value.autograd.grad if value.autograd is not None else None
        if grad is not None:
            yield ".grad", grad
    elif issubclass(kind, dict):
        yield from ((f"[{key!r}]", part) for key, part in dict.items(value))
    elif issubclass(kind, list | tuple | deque):
        iterate = next(base for base in (list, tuple, deque) if issubclass(kind, base)).__iter__
        yield from ((f"[{place}]", part) for place, part in enumerate(iterate(value)))
    elif issubclass(kind, set | frozenset):
        parts = sorted(repr(part) for part in value if type(part) in _PLAIN)
        yield "", tuple(parts)
    elif issubclass(kind, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or ())
        yield from ((f".{name}", part) for name, cell in cells for part in _content(cell))
    elif issubclass(kind, MethodType):
        yield from ((".__func__", value.__func__), (".__self__", value.__self__))
    elif issubclass(kind, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif kind.__name__ == "Compiled" and _is_internal(kind):
        yield ".function", value.function
    elif not issubclass(kind, type | ModuleType | np.ndarray) and not _is_internal(kind):
        yield from _attributes(value, kind)


def _is_internal(kind: type) -> bool:
    """Whether a class is tracejit's own, and none of its layers and optimizers, which are as a user's."""
    module = f"{kind.__module__}."
    return module.startswith("tracejit.") and not module.startswith(
        ("tracejit.nn.", "tracejit.optim.", "tracejit.random.")
    )


def _content(cell: Any) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # not assigned yet
        return


def _attributes(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """What an object holds itself, without running code of its class."""
    names = inspect.getattr_static(value, "__dict__", None)
    if type(names) is dict or hasattr(names, "__get__"):
        own = object.__getattribute__(value, "__dict__")
        yield from ((f".{name}", part) for name, part in own.items())
    for base in kind.__mro__:
        for name, member in base.__dict__.items() if "__slots__" in base.__dict__ else ():
            if type(member) is MemberDescriptorType:
                try:
                    yield f".{name}", member.__get__(value)
                except AttributeError:  # not assigned yet
                    continue
