"""A loaded artifact that leaves sizes open: for each combination of them one of fixed sizes, all of which share one state."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from operator import index
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

import numpy as np

from tracejit._errors import DTypeError, ShapeError, at_user_line, user_location
from tracejit._gate import late
from tracejit._native.entry import entry_class
from tracejit.ir.dim import is_open
from tracejit.standalone.artifact import Artifact
from tracejit.standalone.binding import Order
from tracejit.standalone.combinations import Values, combinations, named
from tracejit.standalone.given import is_tensor
from tracejit.standalone.kept import Keeping
from tracejit.standalone.records import Argument, ArrayArgument, DictArgument, SequenceArgument
from tracejit.standalone.signature import annotation_of, signature_of
from tracejit.standalone.source import Source

if TYPE_CHECKING:
    from tracejit.ops.op import Op

MOST_MADE = 512
"""Combinations of sizes whose artifacts are kept."""
MOST_WAYS = 64
"""Of machine code, which is tried one after the other."""


class OpenArtifact(entry_class(binds=False), Keeping):  # type: ignore[misc]  # one of two classes
    """What `tj.load` gives where sizes are open: called as the function was, it does what that did, with sizes that each call
    chooses.

    Results and errors are those of the function; results carry no gradients, and their memory is their own. Calls of several
    threads take turns, where they change the state, which is one for all sizes.
    """

    def __init__(self, source: Source) -> None:
        manifest = source.manifest
        self.manifest = manifest
        self.graph = source.text
        """The programs that a call runs, as text, with sizes `n0`, `n1` and so on."""
        self.target = source.target
        """The native code that it runs; None if all is compiled here."""
        self.sizes = manifest.sizes.names
        """The names of the sizes that are open."""
        self.ahead = combinations(manifest.sizes)
        """For which of them, in the order of their names, there is native code."""
        self.__name__ = manifest.name
        self.signature = self.__signature__ = signature_of(manifest.call)
        first = source.artifact(self.ahead[0], None)
        self.device = first.device
        """Where it computes."""
        self._kept = first._kept
        self._kept.taker = ref(self)
        self._source = source.without_state()
        self._order = Order(manifest.call)
        self._made: dict[Values, Artifact] = {self.ahead[0]: first}
        self._by_extents: dict[tuple[int, ...], Artifact] = {}
        """By all sizes of arguments that are open, one after the other."""
        parameters = [(each.name, each.argument) for each in manifest.call.parameters]
        self._extents = _reader([argument for _, argument in parameters])
        self._parameters = parameters
        self._ways: deque[Any] = deque(maxlen=MOST_WAYS)
        self._has_warned = False
        self.renew_lock()
        _all.add(self)
        self.begin()

    def renew_lock(self) -> None:
        """In a child process: whoever held it is a thread of the parent's."""
        self._lock = threading.Lock()

    def called(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            made = None if kwargs else self._by_extents.get(self._extents(args))
        except (AttributeError, LookupError, TypeError):
            made = None  # it is wrong, or by name
        if made is not None:
            return made(*args)
        in_order = self._order(args, kwargs)
        made = self.at(**dict(zip(self.sizes, self._sizes_of(in_order))))
        if len(self._by_extents) >= MOST_MADE:
            self._by_extents.clear()
        self._by_extents[self._extents(in_order)] = made
        return made(*args, **kwargs)

    def at(self, **sizes: int) -> Artifact:
        """The function for these sizes alone; the state is that of all.

        Raises RecompileError, which names the user's line, for sizes that the recorded function is not for, and ArtifactError
        where the file has no code for them and none can be made here.
        """
        if sizes.keys() != {*self.sizes}:
            wanted = ", ".join(self.sizes)
            raise TypeError(at_user_line(f"the sizes are {wanted}; got {', '.join(sizes)}"))
        values = tuple(index(sizes[name]) for name in self.sizes)
        with self._lock:
            made = self._made.get(values)
            if made is None:
                made = self._make(values)
                if len(self._made) >= MOST_MADE:
                    self._made.pop(next(iter(self._made)))
                self._made[values] = made
            return made

    def op_for(self, args: tuple[Any, ...]) -> Op | None:
        """As that of an `Artifact`."""
        try:
            made = self.at(**dict(zip(self.sizes, self._sizes_of(self._order(args, {})))))
        except (TypeError, ValueError, RuntimeError):
            return None  # the call says what is wrong
        return made.op_for(args)

    def take_way(self, way: Any) -> None:
        """Machine code for calls of some sizes, which is tried from now on; it leaves others."""
        with self._lock:
            self._ways.append(way)
            ways = late("tracejit.runtime.cpu.native.ways").Ways([*self._ways])
            self.take_ways(ways)

    def _make(self, values: Values) -> Artifact:
        made = self._source.artifact(values, self._kept)
        if not self._source.is_ahead(values) and not self._has_warned:
            self._has_warned = True
            there = "; ".join(named(self.sizes, each) for each in self.ahead)
            message = (
                f"{self._source.path}: no native code for {named(self.sizes, values)} (there is for {there}): "
                "the graph is compiled here, for these sizes and all others that come"
            )
            location = user_location()
            file, line = (location.file, location.line) if location else (__file__, 1)
            warnings.warn_explicit(message, RuntimeWarning, file, line)
        return made

    def _sizes_of(self, args: tuple[Any, ...]) -> Values:
        """Raises TypeError, DTypeError or ShapeError, which name the argument, where it cannot be of any sizes."""
        found: dict[int, tuple[int, str]] = {}
        for (name, argument), value in zip(self._parameters, args):
            for size, extent, where in _extents(argument, value, f"argument {name}"):
                (((place,), _),) = size.terms
                known, first = found.setdefault(place, (extent, where))
                if known != extent:
                    which = self.sizes[place]
                    why = f"{which} is {known} by {first}, and {extent} by {where}"
                    raise ShapeError(at_user_line(why))
        return tuple(found[place][0] for place in range(len(self.sizes)))

    def __repr__(self) -> str:
        return f"<artifact {self.__name__}{self.signature}>"


_all: WeakSet[OpenArtifact] = WeakSet()


def _renew_locks() -> None:
    for artifact in _all:
        artifact.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _extents(argument: Argument, value: Any, name: str) -> Iterator[tuple[Any, int, str]]:
    """The open sizes of an argument, what they are, and where that is found."""
    match argument:
        case ArrayArgument():
            yield from _of_array(argument, value, name)
        case SequenceArgument(type=kind, parts=parts):
            if type(value).__name__ != kind or len(value) != len(parts):
                got = f"a {type(value).__name__}"
                raise TypeError(at_user_line(f"{name} is a {kind} of {len(parts)}, got {got}"))
            for place, (part, inner) in enumerate(zip(parts, value)):
                yield from _extents(part, inner, f"{name}[{place}]")
        case DictArgument(keys=keys, parts=parts):
            if type(value) is not dict or list(value) != [*keys]:
                listed = ", ".join(map(repr, keys))
                why = f"{name} is a dict with the keys {listed}, in this order"
                raise TypeError(at_user_line(why))
            for key, part in zip(keys, parts):
                yield from _extents(part, value[key], f"{name}[{key!r}]")


def _of_array(argument: ArrayArgument, value: Any, name: str) -> Iterator[tuple[Any, int, str]]:
    wanted = annotation_of(argument.dtype, argument.shape)
    if not is_tensor(value) and type(value) is not np.ndarray:
        raise TypeError(at_user_line(f"{name} is {wanted}, got a {type(value).__name__}"))
    shape: tuple[int, ...] = tuple(value.shape)
    dtype = value.aval.dtype.name if is_tensor(value) else value.dtype.name
    got = value.aval if is_tensor(value) else f"{dtype}{[*shape]}"
    if dtype != argument.dtype:
        raise DTypeError(at_user_line(f"{name} is {wanted}, got {got}"))
    pairs = [*zip(argument.shape, shape)]
    are_right = all(is_open(size) or size == extent for size, extent in pairs)
    if len(shape) != len(argument.shape) or not are_right:
        raise ShapeError(at_user_line(f"{name} is {wanted}, got {got}"))
    for size, extent in pairs:
        if is_open(size):
            yield size, extent, name


def _reader(arguments: list[Argument]) -> Callable[[tuple[Any, ...]], tuple[int, ...]]:
    """What reads all open sizes of arguments that are in their order."""
    parts = [
        f"{path}.shape[{axis}], "
        for place, argument in enumerate(arguments)
        for path, axis in _axes(argument, f"args[{place}]")
    ]
    made: Callable[[tuple[Any, ...]], tuple[int, ...]] = eval(f"lambda args: ({''.join(parts)})")
    return made


def _axes(argument: Argument, path: str) -> Iterator[tuple[str, int]]:
    match argument:
        case ArrayArgument(shape=shape):
            yield from ((path, axis) for axis, size in enumerate(shape) if is_open(size))
        case SequenceArgument(parts=parts):
            for place, part in enumerate(parts):
                yield from _axes(part, f"{path}[{place}]")
        case DictArgument(keys=keys, parts=parts):
            for key, part in zip(keys, parts):
                yield from _axes(part, f"{path}[{key!r}]")
