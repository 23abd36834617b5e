"""Runs a program eagerly and compiled in two worlds, and tells the first difference. Stands alone: scripts carry its text."""

from __future__ import annotations

import collections
import enum
import functools
import importlib
import inspect
import itertools
import os
import random
import re
import reprlib
import signal
import sys
import tempfile
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from tracejit.storage import as_array
from tracejit.tracing.compile import Compiled

NAME = "fuzzed"
"""What both worlds' modules are called, so that names in messages are the same."""
KEPT_RESULTS = 3
SECONDS_PER_STEP = 10.0
FIRST_CALLS = 4


@dataclass(frozen=True)
class Case:
    """A module that defines `f`, and what happens to it: a step that begins with `f(` is a call, others change the world."""

    source: str
    steps: tuple[str, ...]
    engine: str = "compiled"
    """`tj.config.eager`"""
    is_numpy: bool = False
    """The arguments are NumPy arrays: what `f` raises is a subclass with a message of its own, strides are free."""


@dataclass(frozen=True)
class Verdict:
    """How a case went: the first difference, if any, its kind, and the step that showed it."""

    calls: int
    replayed: int
    step: int = 0
    kind: str = ""
    difference: str = ""

    def __bool__(self) -> bool:
        return not self.difference


class Rejected(Exception):
    """The case is none: the module cannot be imported, or runs for too long eagerly."""


class Hang(BaseException):
    """A step takes too long; no `except Exception` of a program catches it."""


class Difference(Exception):
    """What differs between the worlds; `kind` is value, hang, or the two exceptions."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


# Worlds


@dataclass(frozen=True)
class Outcome:
    """What a step gave or raised."""

    value: Any = None
    error: BaseException | None = None

    def __str__(self) -> str:
        if self.error is None:
            return shown(self.value)
        return f"raised {type(self.error).__name__}: {self.error}"


class World:
    """A module of its own, whose `f` is wrapped."""

    def __init__(self, path: Path, wrap: Callable[..., Any]) -> None:
        self.module = types.ModuleType(NAME)
        self.module.__file__ = str(path)
        self.module.LAST = None
        self.kept: list[Any] = []
        sys.modules[NAME] = self.module
        exec(compile(path.read_text(), str(path), "exec"), self.module.__dict__)
        self.original = self.module.f
        self.module.f = wrap(self.original)
        self.wrapped = self.module.f

    def do(self, step: str) -> Outcome:
        sys.modules[NAME] = self.module  # for what looks up the module of a class
        try:
            if is_call(step):
                result = eval(_code(step, "eval"), self.module.__dict__)
                self.module.LAST = result
                self.kept = [*self.kept, result][-KEPT_RESULTS:]
                return Outcome(result)
            exec(_code(step, "exec"), self.module.__dict__)
        except Exception as error:
            return Outcome(error=error)
        return Outcome()

    def state(self) -> dict[str, Any]:
        """Everything that the program can read, and the latest results."""
        own = {
            name: value
            for name, value in self.module.__dict__.items()
            if not name.startswith("__") and not isinstance(value, types.ModuleType)
        }
        return {**own, "f": self.original, "(results)": self.kept}


def is_call(step: str) -> bool:
    return step.startswith("f(")


@functools.lru_cache(maxsize=4096)
def _code(step: str, mode: str) -> types.CodeType:
    return compile(step, "<step>", mode)


# Comparing worlds


ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type(NotImplemented), tj.DType, np.dtype,
)  # fmt: skip
SEQUENCES = (list, tuple, collections.deque)
OPEN = (NAME, "types", "collections", "tracejit.nn", "tracejit.optim")
"""Modules whose objects' attributes are compared; of others only the type is."""
UNCOMPARED = ("__dict__", "__weakref__", "__doc__", "__module__", "__abstractmethods__")


class Comparison:
    """Walks two worlds in step: the same types, bits and names, identities in one-to-one correspondence, memory shared alike."""

    def __init__(self, *, is_numpy: bool = False) -> None:
        self.is_numpy = is_numpy
        self.twins: dict[int, int] = {}
        self.origins: dict[int, int] = {}
        self.alive: list[Any] = []
        self.spans: list[tuple[str, tuple[int, int], tuple[int, int]]] = []

    def compare(self, path: str, a: Any, b: Any) -> None:
        """Raises the first Difference; `path` is how to get there."""
        if type(a) in ATOMS:
            same = type(a) is type(b) and repr(a) == repr(b)
            self._require(same, path, a, b)
            return
        a, b = _plain(a), _plain(b)
        self._require(_type_name(a) == _type_name(b), path, a, b)
        if not self._is_new(path, a, b):
            return
        for step, x, y in self._parts(path, a, b):
            self.compare(path + step, x, y)

    def compare_memory(self) -> None:
        """Arrays and tensors share memory in one world where they do in the other."""
        paths = [path for path, _, _ in self.spans]
        mine = _groups([a for _, a, _ in self.spans])
        other = _groups([b for _, _, b in self.spans])
        for place, (x, y) in enumerate(zip(mine, other)):
            if x != y:
                message = f"{paths[place]} shares memory in another way: {_sharing(x, paths)}; {_sharing(y, paths)}"
                raise Difference("value", message)

    def _is_new(self, path: str, a: Any, b: Any) -> bool:
        if _is_constant(a) and _is_constant(b):
            return True
        known, origin = self.twins.get(id(a)), self.origins.get(id(b))
        if (known, origin) != (None, None):
            self._require(known == id(b) and origin == id(a), f"the identity of {path}", a, b)
            return False
        self.twins[id(a)], self.origins[id(b)] = id(b), id(a)
        self.alive += [a, b]
        return True

    def _parts(self, path: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
        match a:
            case tj.Tensor():
                self._compare_arrays(path, _eager_array(a), as_array(b))
                yield ".requires_grad", a.requires_grad, b.requires_grad
                yield ".grad", a.grad, b.grad
                yield from _attributes(getattr(a, "__dict__", {}), getattr(b, "__dict__", {}))
            case np.ndarray():
                self._compare_arrays(path, a, b)
            case np.generic():
                self._require(_bits(np.asarray(a)) == _bits(np.asarray(b)), path, a, b)
            case dict() | types.MappingProxyType():
                yield from self._items(path, a, b)
            case set() | frozenset():
                self._require(sorted(map(_named, a)) == sorted(map(_named, b)), path, a, b)
            case list() | tuple() | collections.deque():
                self._require(len(a) == len(b), f"len({path})", a, b)
                yield from ((f"[{place}]", x, y) for place, (x, y) in enumerate(zip(a, b)))
        if not isinstance(a, (tj.Tensor, np.ndarray, np.generic)):
            yield from _insides(a, b)

    def _items(self, path: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
        self._require(len(a) == len(b), f"len({path})", a, b)
        for (name, x), (other, y) in zip(a.items(), b.items()):
            if type(name) is str:
                self._require(name == other, f"a key of {path}", name, other)
                yield f"[{name!r}]", x, y
            else:
                yield ".keys()[...]", name, other
                yield "[...]", x, y

    def _compare_arrays(self, path: str, a: np.ndarray, b: np.ndarray) -> None:
        same = (a.dtype, a.shape) == (b.dtype, b.shape) and _bits(a) == _bits(b)
        self._require(same, path, a, b)
        if not self.is_numpy:
            self._require(_strides(a) == _strides(b), f"{path}.strides", a.strides, b.strides)
        if a.size:
            bounds = np.lib.array_utils.byte_bounds
            self.spans.append((path, bounds(a), bounds(b)))

    def _require(self, same: bool, path: str, a: Any, b: Any) -> None:
        if not same:
            message = f"{path}: eager {_typed(a)}, compiled {_typed(b)}"
            raise Difference("value", message)


def compare_worlds(
    eager: World, compiled: World, a: Outcome, b: Outcome, *, is_numpy: bool = False
) -> None:
    """The call gave the same, and left the same state."""
    comparison = Comparison(is_numpy=is_numpy)
    comparison.compare("result", a.value, b.value)
    mine, other = eager.state(), compiled.state()
    if mine.keys() != other.keys():
        raise Difference("value", f"the names are {sorted(mine.keys() ^ other.keys())} apart")
    for name in mine:
        comparison.compare(name, mine[name], other[name])
    comparison.compare_memory()


def _insides(a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    """What an object has beyond the elements of a container."""
    match a:
        case type():
            if a.__module__ == NAME and not issubclass(a, enum.Enum):
                yield from _attributes(_own(a), _own(b))
        case types.FunctionType() if a.__module__ != NAME:
            yield "", a.__qualname__, b.__qualname__
        case types.FunctionType():
            yield ".__code__.co_name", a.__code__.co_name, b.__code__.co_name
            yield ".__code__.co_code", a.__code__.co_code, b.__code__.co_code
            yield ".__defaults__", a.__defaults__, b.__defaults__
            yield ".__kwdefaults__", a.__kwdefaults__, b.__kwdefaults__
            yield ".__closure__", a.__closure__, b.__closure__
            yield from _attributes(a.__dict__, b.__dict__)
        case types.CellType():
            yield ".cell_contents", _content(a), _content(b)
        case types.MethodType():
            yield ".__self__", a.__self__, b.__self__
            yield ".__func__", a.__func__, b.__func__
        case property():
            yield ".fget", a.fget, b.fget
        case staticmethod() | classmethod():
            yield ".__func__", a.__func__, b.__func__
        case functools.partial():
            yield ".func", a.func, b.func
            yield ".args", a.args, b.args
            yield ".keywords", a.keywords, b.keywords
        case random.Random():
            yield ".state", hash(a.getstate()), hash(b.getstate())
        case np.random.Generator():
            yield ".state", repr(a.bit_generator.state), repr(b.bit_generator.state)
        case tj.random.Generator():
            yield ".state", a.state, b.state
        case enum.Enum() | itertools.count() | types.BuiltinFunctionType():
            yield "", _named(a), _named(b)
        case BaseException():
            yield ".args", tuple(map(_message, a.args)), tuple(map(_message, b.args))
            yield from _attributes(a.__dict__, b.__dict__)
        case _ if type(a).__module__.startswith(OPEN):
            yield from _attributes(getattr(a, "__dict__", {}), getattr(b, "__dict__", {}))
            for name in _slots(type(a)):
                yield f".{name}", getattr(a, name, "(empty)"), getattr(b, name, "(empty)")


def _attributes(a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    if not (a or b):
        return
    yield ".attributes", " ".join(a), " ".join(b)
    for name, value in a.items():
        yield f".{name}", value, b.get(name)


def _own(cls: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(cls).items()
        if name not in UNCOMPARED and not isinstance(value, _DESCRIPTORS)
    }


_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


@functools.cache
def _slots(cls: type) -> tuple[str, ...]:
    if cls.__module__ != NAME:
        return ()
    names = (vars(base).get("__slots__", ()) for base in cls.__mro__)
    return tuple(itertools.chain.from_iterable((n,) if isinstance(n, str) else n for n in names))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "(empty)"


def _named(value: Any) -> str:
    return _message(repr(value))


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_constant(value: Any) -> bool:
    """Whether its identity is a matter of the interpreter: tuples of atoms, strings of code."""
    if type(value) is tuple:
        return all(type(part) in ATOMS or _is_constant(part) for part in value)
    return isinstance(value, (np.generic, types.BuiltinFunctionType, types.MethodType))


def _eager_array(tensor: tj.Tensor) -> np.ndarray:
    try:
        return as_array(tensor)
    except ValueError as error:
        raise Rejected(f"a value that cannot be read even eagerly: {error}") from error


def _bits(array: np.ndarray) -> bytes:
    """NaNs are alike."""
    if array.dtype.kind in "biu":
        return array.tobytes()
    if array.dtype.kind in "OSU":
        return repr(array).encode()
    is_nan = np.isnan(array)
    return np.where(is_nan, np.array(np.nan, array.dtype), array).tobytes()


def _strides(array: np.ndarray) -> tuple[int, ...]:
    """Strides of axes of one element do not count, nor do any of an empty array."""
    if not array.size:
        return ()
    return tuple(stride for stride, extent in zip(array.strides, array.shape) if extent > 1)


def _groups(spans: list[tuple[int, int]]) -> list[tuple[tuple[int, ...], int]]:
    """For each span the places of those that it is linked with by overlaps, and the offset in what they cover."""
    groups: list[tuple[int, int, list[int]]] = []
    for place in sorted(range(len(spans)), key=lambda place: spans[place]):
        start, stop = spans[place]
        if groups and start < groups[-1][1]:
            first, last, members = groups[-1]
            groups[-1] = (first, max(last, stop), [*members, place])
        else:
            groups.append((start, stop, [place]))
    found: dict[int, tuple[tuple[int, ...], int]] = {}
    for start, _, members in groups:
        for place in members:
            found[place] = (tuple(sorted(members)), spans[place][0] - start)
    return [found[place] for place in range(len(spans))]


def _sharing(group: tuple[tuple[int, ...], int], paths: list[str]) -> str:
    members, offset = group
    return f"{{{', '.join(paths[place] for place in members)}}} at {offset}"


def _require_same_errors(a: Outcome, b: Outcome, *, is_numpy: bool) -> None:
    mine, other = a.error, b.error
    if isinstance(mine, RecursionError) and isinstance(other, RecursionError):
        raise Rejected("recursion without end: how deep depends on tracejit's own frames")
    if is_numpy and mine and other:
        same = bool(_builtin_classes(mine) & _builtin_classes(other))
    else:
        same = type(mine).__qualname__ == type(other).__qualname__
        same = same and _message(str(mine)) == _message(str(other))
    if not same:
        kind = f"{type(mine).__name__}, {type(other).__name__}"
        raise Difference(kind, f"eager: {a}; compiled: {b}")


def _builtin_classes(error: BaseException) -> set[type]:
    """The classes by which a program would catch it; which of two faults NumPy finds first is its own affair."""
    kinds = {kind for kind in type(error).__mro__ if kind.__module__ == "builtins"}
    if kinds & {TypeError, ValueError}:
        kinds |= {TypeError, ValueError}
    return kinds - {object, BaseException, Exception}


def _plain(value: Any) -> Any:
    """A compiled function is what it was made of."""
    return value.function if type(value) is Compiled else value


def _message(text: Any) -> Any:
    """Without addresses."""
    return re.sub(r"0x[0-9a-f]{6,}", "0x...", text) if isinstance(text, str) else text


def _typed(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)} {shown(value.tolist())}"
    return f"{type(value).__name__} {shown(value)}"


_repr = reprlib.Repr()
_repr.maxother = _repr.maxstring = _repr.maxlong = 300
_repr.maxlevel = 4


def shown(value: Any) -> str:
    """Text for people, of bounded length."""
    try:
        return _repr.repr(value)
    except Exception as error:
        return f"<{type(value).__name__} without a repr: {error}>"


# Running


Watcher = Callable[[str, Outcome, Outcome], None]


def check(
    case: Case,
    wrap: Callable[..., Any],
    watch: Watcher | None = None,
    *,
    seconds: float = SECONDS_PER_STEP,
) -> Verdict:
    """Runs the case up to its first difference; `seconds` are what an eager step may take."""
    with (
        _file(case.source) as path,
        tj.config.scope(eager=case.engine),
        _quiet(),
        _alarm() as alarm,
    ):
        eager, compiled = _worlds(path, wrap)
        for number, step in enumerate(case.steps):
            try:
                a, b = _do_both(step, eager, compiled, alarm, seconds)
                if watch:
                    watch(step, a, b)
                _require_same_errors(a, b, is_numpy=case.is_numpy)
                if is_call(step):
                    compare_worlds(eager, compiled, a, b, is_numpy=case.is_numpy)
            except Rejected:
                raise
            except Exception as error:  # a Difference, or a value that cannot be read
                kind = getattr(error, "kind", "unreadable")
                calls = sum(map(is_call, case.steps[: number + 1]))
                return Verdict(calls, replays(compiled.wrapped), number, kind, _text(error))
        return Verdict(sum(map(is_call, case.steps)), replays(compiled.wrapped))


def is_repeatable(case: Case) -> bool:
    """Whether two eager runs are the same; a program that draws a seed from the system is no case."""
    return bool(check(case, lambda function: function))


def gives_results(case: Case) -> bool:
    """Whether one of its first calls gives a result: a program that always raises at the same place shows little."""
    watched: list[bool] = []

    def watch(step: str, a: Outcome, b: Outcome) -> None:
        if is_call(step):
            watched.append(a.error is None)

    first = [place for place, step in enumerate(case.steps) if is_call(step)][:FIRST_CALLS]
    try:
        check(replace(case, steps=case.steps[: first[-1] + 1]), lambda function: function, watch)
    except Rejected:
        return False
    return any(watched)


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, Difference) else f"{type(error).__name__}: {error}"


def _worlds(path: Path, wrap: Callable[..., Any]) -> tuple[World, World]:
    try:
        eager = World(path, lambda function: function)
    except Exception as error:
        raise Rejected(f"{type(error).__name__}: {error}") from error
    return eager, World(path, wrap)


def _do_both(
    step: str, eager: World, compiled: World, alarm: Callable[[float], None], seconds: float
) -> tuple[Outcome, Outcome]:
    alarm(seconds)
    try:
        expected = eager.do(step)
        alarm(3 * seconds)
    except Hang as hang:
        raise Rejected(f"{step} does not end") from hang
    try:
        return expected, compiled.do(step)
    except Hang as hang:
        raise Difference("hang", f"{step} does not end when it is compiled") from hang
    finally:
        alarm(0)


def replays(function: Any) -> int:
    """How many calls were answered without Python."""
    try:
        return tj.explain(function).calls["replay"]
    except (TypeError, AttributeError):
        return 0  # not `tj.compile` but something in its place


_counter = itertools.count()
_folder = functools.cache(lambda: tempfile.TemporaryDirectory(prefix="tracejit-fuzz-"))


@contextmanager
def _file(source: str) -> Iterator[Path]:
    """A file that no other case has had, since code is found by its file."""
    path = Path(_folder().name) / f"fuzzed_{next(_counter)}.py"
    path.write_text(source)
    try:
        yield path
    finally:
        path.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _alarm() -> Iterator[Callable[[float], None]]:
    """A function that sets a time after which Hang is raised; an alarm that was set before goes on afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda seconds: None
        return
    start = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    handler = signal.signal(signal.SIGALRM, _ring)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            rest = max(left - (time.monotonic() - start), 0.001)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)


def _ring(*signal: Any) -> None:
    raise Hang


# Scripts


def script(case: Case, compile_name: str, difference: str) -> str:
    """A program that shows the difference, needs nothing but tracejit, and exits with 1 while there is one."""
    body = inspect.getsource(sys.modules[__name__]).split("from __future__ import annotations", 1)[
        1
    ]
    steps = "".join(f"    {step!r},\n" for step in case.steps)
    note = difference.replace("\\", "/").replace('"""', "...")
    return (
        f'"""{note}"""\n\nfrom __future__ import annotations\n\n'
        f"SOURCE = {_literal(case.source)}\nSTEPS = (\n{steps})\n"
        f"SETTINGS = {(case.engine, case.is_numpy)}\nCOMPILE = {compile_name!r}\n{body}"
    )


def _literal(source: str) -> str:
    is_plain = "'''" not in source and "\\" not in source
    return f"'''\\\n{source}'''" if is_plain else repr(source)


def named(wrap: Callable[..., Any]) -> str:
    """`module:name` of a function, for scripts."""
    return f"{wrap.__module__}:{wrap.__qualname__}"


def found(name: str) -> Callable[..., Any]:
    """What `named` names."""
    module, _, path = name.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(module))


def main(case: Case, compile_name: str) -> int:
    """Prints what each step gives, eager and compiled, and the first difference."""

    def watch(step: str, a: Outcome, b: Outcome) -> None:
        print(f">>> {step}")
        if is_call(step) or a.error or b.error:
            print(f"    eager:    {a}\n    compiled: {b}")

    print(case.source)
    verdict = check(case, found(compile_name), watch)
    print("the same" if verdict else f"DIFFERENT: {verdict.difference}")
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # so that COMPILE is found
    sys.exit(main(Case(SOURCE, STEPS, *SETTINGS), COMPILE))  # noqa: F821  # at the top of scripts
