"""NumPy arrays as arguments of a compiled function: tensors over their memory stand in for them while it runs."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from sys import getrefcount
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit.inplace import InPlace
from tracejit.interop import NumPyProtocols, by_numpy
from tracejit.methods import Operators
from tracejit.storage import Storage, as_array
from tracejit.tensor import Tensor, from_array
from tracejit.tracing.recall import replace_everywhere


class StandIn(Tensor):
    """A tensor that behaves as the NumPy array that it stands for. What is computed from stand-ins are stand-ins.

    What tracejit does not have, or takes other arguments, NumPy does on the memory.
    """

    __slots__ = ()

    @property  # type: ignore[misc]  # as it is of any object, but for assignment
    def __class__(self) -> type:
        """`isinstance(x, np.ndarray)` is true, as it is of the array; of a number it is not."""
        return self.aval.dtype.numpy.type if is_number(self) else np.ndarray

    @property
    def dtype(self) -> Any:
        return self.aval.dtype.numpy

    @property
    def strides(self) -> tuple[int, ...]:
        """In bytes, as NumPy's."""
        return tuple(stride * self.itemsize for stride in self.layout.strides)

    @property
    def base(self) -> Any:
        return self.origin[0] if self.origin else None

    def __getattr__(self, name: str) -> Any:
        """What only an array, or a NumPy number, has."""
        return getattr(_shown(self), name)

    def __repr__(self) -> str:
        return repr(_shown(self))

    def __str__(self) -> str:
        return str(_shown(self))

    def __format__(self, spec: str) -> str:
        return format(_real(self)[()], spec)

    def __getitem__(self, index: Any) -> Any:
        item = as_stand_in(Tensor.__getitem__(self, index), (index,))
        # One element of an array is a number, which no later write to the array changes; `a[0, ...]` is a view.
        is_view = item.aval.shape or item.origin is None or _has_ellipsis(index)
        return item if is_view else item.copy()

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not _is_ours(np.dtype(dtype)):
            return _real(self).astype(dtype, *args, **kwargs)
        changed = dtypes.as_dtype(dtype) is not self.aval.dtype
        return as_stand_in(Tensor.astype(self, dtype) if changed else Tensor.copy(self), ())

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return _real(self).copy(*args, **kwargs)
        return as_stand_in(Tensor.copy(self), ())

    def item(self, *args: Any) -> Any:
        return _real(self).item(*args) if args else Tensor.item(self)

    def __hash__(self) -> int:
        """A number's is that of its value, so that it finds its place in dicts; an array has none."""
        if not is_number(self):
            raise TypeError("unhashable type: 'numpy.ndarray'")
        return hash(Tensor.item(self))

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __round__(self, *digits: int) -> Any:
        return round(_real(self)[()], *digits)  # type: ignore[call-overload]  # a number

    def ravel(self, *args: Any) -> Any:
        return _real(self).ravel(*args) if args else self.reshape(-1)

    def flatten(self, *args: Any) -> Any:
        return _real(self).flatten(*args) if args else self.reshape(-1).copy()

    def dot(self, other: Any) -> Any:
        return np.dot(self, other)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return np

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        try:
            result = Tensor.__array_ufunc__(self, ufunc, method, *inputs, **kwargs)
        except NOT_OURS as error:
            result = _numpys(error, getattr(ufunc, method), inputs, kwargs)
        return as_stand_in(result, inputs)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            result = Tensor.__array_function__(self, function, types, args, kwargs)
        except NOT_OURS as error:
            result = _numpys(error, function, args, kwargs)
        return as_stand_in(result, args)


NOT_OURS = (TypeError, ValueError, IndexError, NotImplementedError)
"""What tracejit raises for arguments that it does not take. NumPy decides what they mean, or what is wrong with them."""


def _numpys(error: Exception, function: Any, args: Any, kwargs: Any) -> Any:
    """The result of NumPy's function; where it refuses, too, `error` if that is of the same class, as it names the line."""
    try:
        return by_numpy(function, args, kwargs)
    except NOT_OURS as refusal:
        raise error if isinstance(error, type(refusal)) else refusal from None


def _real(stand_in: StandIn) -> np.ndarray:
    """The array over the same memory, for good."""
    array = as_array(stand_in)
    stand_in.storage.expose()
    return array


def _shown(stand_in: StandIn) -> Any:
    """The array, or the NumPy number, that the user takes it for."""
    array = _real(stand_in)
    return array[()] if is_number(stand_in) else array


def is_number(stand_in: StandIn) -> bool:
    """Whether NumPy has a scalar there: a result of no dimensions, unlike an argument or a view."""
    buffer = stand_in.storage.buffer
    is_argument = buffer is not None and buffer.foreign
    return not stand_in.aval.shape and stand_in.origin is None and not is_argument


def _has_ellipsis(index: Any) -> bool:
    return index is ... or (isinstance(index, tuple) and any(part is ... for part in index))


def as_stand_in(result: Any, operands: tuple[Any, ...]) -> Any:
    """Tensors of a result that no tensor but stand-ins went into are stand-ins, too."""
    if isinstance(result, tuple | list) and type(result) in (tuple, list):
        return type(result)(as_stand_in(part, operands) for part in result)
    if type(result) is Tensor and not any(_is_plain(operand) for operand in operands):
        object.__setattr__(result, "__class__", StandIn)
        if _made.refs is not None:
            _made.refs.append(weakref.ref(result))
    return result


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return any(map(_is_plain, value))
    return hasattr(value, "aval") and type(value) is not StandIn


def _method(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: StandIn, *args: Any, **kwargs: Any) -> Any:
        try:
            result = ours(self, *args, **kwargs)
        except NOT_OURS as error:
            result = _numpys(error, getattr(_real(self), name), args, kwargs)
        if result is NotImplemented:  # complex numbers, None, objects of the user's own
            result = getattr(_real(self), name)(*args)
        return as_stand_in(result, args)

    return method


def _in_place(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    operator = f"__{name[3:]}"

    def method(self: StandIn, *args: Any) -> Any:
        if is_number(self):  # `+=` makes another one
            return getattr(self, operator)(*args)
        return ours(self, *args)

    return method


def _install() -> None:
    """Gives stand-ins the operators and methods of tensors, with results that are stand-ins."""
    own = StandIn.__dict__
    for name, member in {**NumPyProtocols.__dict__, **Operators.__dict__}.items():
        if name in own or not hasattr(np.ndarray, name) or name.startswith(("__array", "__dlpack")):
            continue
        if isinstance(member, property) and name in ("T", "mT"):
            setattr(StandIn, name, property(_method(name, member.fget)))  # type: ignore[arg-type]  # they have one
        elif callable(member) and name not in ("__hash__", "__len__", "__new__", "__init__"):
            setattr(StandIn, name, _method(name, member))
    for name, member in InPlace.__dict__.items():
        if name.startswith("__i") and callable(member) and hasattr(np.ndarray, name):
            setattr(StandIn, name, _in_place(name, member))


_install()


class _Made(threading.local):
    refs: list[weakref.ref[Any]] | None = None
    """Stand-ins made during the outermost compiled call of this thread."""


_made = _Made()


class Arrays:
    """The arrays among a call's arguments, also inside tuples, lists and dicts, and their stand-ins.

    Lists and dicts keep their identity: for the call their arrays are replaced in place.
    """

    def __init__(self) -> None:
        self._made: list[weakref.ref[Any]] | None = None
        self._stand_ins: dict[int, StandIn] = {}
        self._arrays: dict[int, np.ndarray] = {}
        self._results: dict[int, tuple[StandIn, Any]] = {}
        self._containers: dict[int, Any] = {}

    def enter(self, value: Any) -> Any:
        """`value` with stand-ins for its arrays."""
        kind = type(value)
        if kind is np.ndarray:
            return self._stand_in(value)
        if _is_tuple(kind):
            return _tuple_of(value, map(self.enter, tuple.__iter__(value)))
        if kind in (list, dict) and id(value) not in self._containers:
            self._containers[id(value)] = value
            _replace(value, self.enter)
        return value

    def leave(self, value: Any) -> Any:
        """`value` with arrays for its stand-ins, the arguments' own where they are the arguments'."""
        return _without_stand_ins(value, self._array, {})

    def __enter__(self) -> Arrays:
        if _made.refs is None:
            _made.refs = self._made = []
        return self

    def __exit__(self, *error: object) -> None:
        """Puts arrays back into the arguments' lists and dicts, and wherever else the call has left what stands for them."""
        for container in self._containers.values():
            self.leave(container)
        if self._made is not None:
            _made.refs = None
            self._recall(self._made)

    def _recall(self, made: list[weakref.ref[Any]]) -> None:
        alive = [stand_in for stand_in in [ref() for ref in made] if stand_in is not None]
        bases = Counter(id(stand_in.origin[0]) for stand_in in alive if stand_in.origin)
        left = [
            stand_in
            for stand_in in alive
            # `alive`, the loop's variable and the argument of the question refer to it as well.
            if getrefcount(stand_in) - 3 > self._references(stand_in) + bases[id(stand_in)]
        ]
        if left:
            new = {id(stand_in): self._array(stand_in) for stand_in in left}
            replace_everywhere(left, new, (alive, self._stand_ins, *self._results.values()))

    def _references(self, stand_in: StandIn) -> int:
        """How often it is held here."""
        return (id(stand_in) in self._arrays) + (id(stand_in) in self._results)

    def __bool__(self) -> bool:
        return bool(self._stand_ins)

    @property
    def all(self) -> list[np.ndarray]:
        return list(self._arrays.values())

    @property
    def storages(self) -> list[Storage]:
        return [stand_in.storage for stand_in in self._stand_ins.values()]

    def _stand_in(self, array: np.ndarray) -> Any:
        found = self._stand_ins.get(id(array))
        if found is not None:
            return found
        if not can_stand_for(array):
            return array
        tensor = from_array(array, copy=False)
        if (
            not tensor.storage.escaped
        ):  # a copy: memory that is not a whole number of elements apart
            return array
        stand_in: StandIn = as_stand_in(tensor, ())
        self._stand_ins[id(array)] = stand_in
        self._arrays[id(stand_in)] = array
        return stand_in

    def _array(self, stand_in: StandIn) -> Any:
        """The array that the user takes a stand-in for: one object, wherever it is met."""
        array = self._arrays.get(id(stand_in))
        if array is not None:
            return array
        known = self._results.get(id(stand_in))
        if known is None:
            known = self._results[id(stand_in)] = stand_in, _shown(stand_in)
        return known[1]


def can_stand_for(array: np.ndarray) -> bool:
    """Whether tracejit computes with such arrays; NumPy does with the others."""
    if not (array.flags.writeable and array.flags.aligned and array.dtype.isnative):
        return False
    return _is_ours(array.dtype)


def _is_ours(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def _is_tuple(kind: type) -> bool:
    return kind is tuple or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def _tuple_of(before: Any, parts: Iterable[Any]) -> Any:
    """The tuple, or named tuple, with other parts; itself where they are the same. Its class's own code does not run."""
    after = tuple(parts)
    if all(x is y for x, y in zip(tuple.__iter__(before), after)):
        return before
    made = tuple.__new__(type(before), after)
    if hasattr(before, "__dict__"):
        made.__dict__.update(before.__dict__)
    return made


def _replace(container: Any, change: Callable[[Any], Any]) -> None:
    """The values of a list or dict replaced in place; numbers in sets, and as keys, too."""
    if type(container) is not list and any(type(key) is StandIn for key in container):
        parts: Any = (
            [(change(key), value) for key, value in container.items()]
            if type(container) is dict
            else list(map(change, container))
        )
        container.clear()
        container.update(parts)
    if type(container) is set:
        return
    pairs = enumerate(container) if type(container) is list else list(container.items())
    for key, value in pairs:
        changed = change(value)
        if changed is not value:
            container[key] = changed


def _without_stand_ins(value: Any, array: Callable[[StandIn], Any], seen: dict[int, Any]) -> Any:
    """`seen` has what became of each container by its id, and the container, so that the id stays its own."""

    def change(part: Any) -> Any:
        return _without_stand_ins(part, array, seen)

    kind = type(value)
    if kind is StandIn:
        return array(value)
    if id(value) in seen:
        return seen[id(value)][1]
    if _is_tuple(kind):
        seen[id(value)] = value, value
        changed = _tuple_of(value, map(change, tuple.__iter__(value)))
        seen[id(value)] = value, changed
        return changed
    if kind in (list, dict, set):
        seen[id(value)] = value, value
        _replace(value, change)
    return value
