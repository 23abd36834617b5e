"""Runs code in the form of replays as machine code and as Python, and pictures what came of it."""

from __future__ import annotations

import gc
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from tracejit import CompileError, Tensor
from tracejit._native.entry import entry_class
from tracejit.ops.op import Op
from tracejit.runtime.cpu.native.lines import Lines
from tracejit.runtime.cpu.native.ways import Language, Way, Ways, way_of
from tracejit.tracing.replay.code import Pool, Writer
from tracejit.tracing.replay.guards import Guard
from tracejit.tracing.replay.translation import Broken, language

MISSED = "missed"
"""What calls give that Python is to run."""
CALLS = 1000
LEAK = CALLS // 2
"""A reference that each call takes, or gives away, makes more of a difference."""
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
World = Callable[[], Arguments]


class Code:
    """Lines of the guards, the run and the commit of one call, with what they refer to."""

    def __init__(
        self,
        enter: Iterable[str] = (),
        run: Iterable[str] = (),
        commit: Iterable[str] = ("return 'hit'",),
        names: Mapping[str, Any] | None = None,
    ) -> None:
        self.enter, self.run, self.commit = [*enter], [*run], [*commit]
        self.names = dict(names or {})

    def way(self, arguments: Arguments, spoken: Language | None = None) -> Way | None:
        """The code as machine code, for calls that are made as this one is."""
        args, kwargs = arguments
        return way_of(
            Lines(self.enter, self.run, self.commit),
            self.names,
            positional=len(args),
            keywords=tuple(kwargs),
            arrays={},
            on_break=Broken("code"),
            language=spoken or language(),
        )

    def native(self, arguments: Arguments) -> Entry:
        way = self.way(arguments)
        assert way is not None, "the code has a translation"
        return Entry(way)

    def python(self, arguments: Arguments) -> Callable[..., Any]:
        """The same by Python: what a tree does with the three functions of a node."""
        args, kwargs = arguments
        count, names = len(args), tuple(kwargs)
        lines = {
            "enter(E, args, kwargs)": [*self.enter, "return 0"],
            "run(E, args, kwargs)": [*self.run, "pass"],
            "commit(E, args, kwargs)": self.commit,
        }
        text = "\n".join(f"def {head}:\n " + "\n ".join(body) for head, body in lines.items())
        made = dict(self.names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # random code makes little sense
            exec(text, made)

        def call(*args: Any, **kwargs: Any) -> Any:
            slots: list[Any] = [None] * 32
            if len(args) != count or tuple(kwargs) != names:
                return MISSED
            try:
                if made["enter"](slots, args, kwargs):
                    return MISSED
                made["run"](slots, args, kwargs)
                slots[-1] = True
                return made["commit"](slots, args, kwargs)
            except Exception as error:
                if slots[-1]:
                    raise CompileError("failed") from error
                return MISSED

        return call


class Entry(entry_class()):  # type: ignore[misc]
    """Calls a way; what that does not take has missed."""

    def __init__(self, *ways: Way) -> None:
        self._held_ways: Ways | None = None
        self.begin()
        self.take_ways(Ways(ways))

    def called(self, *args: Any, **kwargs: Any) -> Any:
        return MISSED


def guarded(*guards: Guard, commit: Iterable[str] = ("return 'hit'",)) -> Code:
    """The guards as a tree writes them."""
    writer = Writer(Pool())
    for place, guard in enumerate(guards, 1):
        for condition in guard.conditions(writer):
            writer.add(f"if not ({condition}): return {place}")
    return Code(writer.lines, commit=commit, names=writer.pool.names)


def outcome(call: Callable[..., Any], arguments: Arguments) -> Any:
    """What a call gave, or how it failed, and how it left its arguments."""
    args, kwargs = arguments
    try:
        result: Any = call(*args, **kwargs)
    except BaseException as error:
        result = type(error)
    return picture((result, args, kwargs))


def check(code: Code, worlds: Iterable[World]) -> set[bool]:
    """As `agree`; and calls hold on to nothing."""
    worlds = [*worlds]
    taken = agree(code, worlds)
    native = code.native(worlds[0]())
    for world in worlds:
        holds_nothing(native, world)
    return taken


def agree(code: Code, worlds: Iterable[World]) -> set[bool]:
    """Both do the same in all worlds; gives whether calls were taken."""
    worlds = [*worlds]
    native, python = code.native(worlds[0]()), code.python(worlds[0]())
    taken = set()
    for world in worlds:
        expected = outcome(python, world())
        assert outcome(native, world()) == expected
        taken.add(expected[1] != picture(MISSED))
    return taken


def holds_nothing(native: Entry, world: World) -> None:
    """Many calls, each in a world of its own, leave no references to constants, and no objects."""
    (way,) = native._held_ways.ways
    constants = [*way.held, None, True, False, 0, 1]
    if _growth(lambda: _call(native, world()), constants, thorough=False):
        called = _growth(lambda: _call(native, world()), constants)
        alone = _growth(world, constants)  # NumPy's `zeros` leaves references to its dtype
        assert called.keys() == alone.keys(), [each for each in constants if id(each) in called]


def _growth(do: Callable[[], Any], objects: list[Any], *, thorough: bool = True) -> dict[int, int]:
    """To which objects there are more, or fewer, references after many times, and by how many; 0 stands for memory."""
    for _ in range(3):
        do()
    gc.collect(1 + thorough)
    before, blocks = [sys.getrefcount(each) for each in objects], sys.getallocatedblocks()
    for _ in range(CALLS):
        do()
    gc.collect(1 + thorough)
    after = [sys.getrefcount(each) for each in objects]
    changes = {id(each): now - then for each, now, then in zip(objects, after, before)}
    changes[0] = sys.getallocatedblocks() - blocks
    return {which: change for which, change in changes.items() if abs(change) > LEAK}


def takes_no_references(native: Entry, arguments: Arguments) -> None:
    """Calls with the same arguments leave the counts of all that is in them as they were."""
    args, kwargs = arguments
    ways = native._held_ways
    assert ways is not None
    objects = [args, *(each for way in ways.ways for each in way.held), *inside((args, kwargs))]
    _call(native, arguments)
    before = [sys.getrefcount(each) for each in objects]
    for _ in range(CALLS):
        _call(native, arguments)
    after = [sys.getrefcount(each) for each in objects]
    assert all(abs(now - then) < LEAK for now, then in zip(after, before))


def _call(native: Entry, arguments: Arguments) -> None:
    args, kwargs = arguments
    with suppress(CompileError, KeyboardInterrupt, SystemExit, GeneratorExit):
        native(*args, **kwargs)


def inside(value: Any) -> list[Any]:
    """All objects in containers."""
    found: dict[int, Any] = {}
    stack = [value]
    while stack:
        each = stack.pop()
        if id(each) not in found:
            found[id(each)] = each
            stack += _parts(each)
    return [*found.values()]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [*value]
    return [*getattr(value, "__dict__", {}).values()]


_AS_THEMSELVES = (
    type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType, np.dtype, Op,
)  # fmt: skip


def picture(value: Any, seen: dict[int, tuple[int, Any]] | None = None) -> Any:
    """What makes up a value, as nested tuples that are equal only if types, bits and sharing are."""
    seen = {} if seen is None else seen
    kind = type(value)
    if value is None or isinstance(value, _AS_THEMSELVES):
        return "itself", id(value)
    if kind in (bool, int, str, bytes):
        return kind, value
    if isinstance(value, int | float | complex | str):
        return kind, repr(value)
    if kind is tuple:  # which equal tuples are one object is nobody's business
        return kind, *(picture(part, seen) for part in value)
    if id(value) in seen:
        return "again", seen[id(value)][0]
    seen[id(value)] = len(seen), value  # held, so that nothing else has its id meanwhile
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return _picture_of_array(value)
    if isinstance(value, set | frozenset):
        return kind, tuple(sorted(repr(picture(part, {})) for part in value))
    if isinstance(value, dict):
        pairs = tuple((picture(k, seen), picture(v, seen)) for k, v in value.items())
        return kind, pairs, picture(vars(value), seen) if kind is not dict else None
    if isinstance(value, list | tuple | deque):
        return kind, *(picture(part, seen) for part in value)
    if kind is types.CellType:
        return kind, picture(value.cell_contents, seen)
    if kind is types.MethodType:
        return kind, picture(value.__func__, seen), picture(value.__self__, seen)
    slots = {
        name: getattr(value, name)
        for base in kind.__mro__
        for name, member in base.__dict__.items()
        if type(member) is types.MemberDescriptorType and hasattr(value, name)
    }
    return kind, picture({**slots, **getattr(value, "__dict__", {})}, seen)


def _picture_of_array(value: Any) -> Any:
    kind = type(value)
    if isinstance(value, Tensor):
        return kind, str(value.aval), value.layout.strides, picture(np.array(value.detach()))
    array = np.asarray(value)
    return kind, array.dtype.str, array.shape, array.strides, array.flags.num, array.tobytes()


__all__ = [
    "MISSED",
    "Arguments",
    "Code",
    "Entry",
    "World",
    "agree",
    "check",
    "guarded",
    "holds_nothing",
    "inside",
    "outcome",
    "picture",
    "takes_no_references",
]
