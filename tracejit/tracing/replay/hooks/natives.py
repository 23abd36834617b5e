"""C functions that may be called: what each reads of its arguments is guarded first. Whatever is not listed ends the recording."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections import deque
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType, UnionType
from typing import Any

import numpy as np

from tracejit.symbols import SYMBOLS, concrete, derived, settled
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import StandIn
from tracejit.tracing.replay.hooks import containers
from tracejit.tracing.replay.hooks.containers import is_container
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.recording import ATOMS, Recording, is_numpy_number

Call = Callable[[Any], Any]

STRUCTURAL = frozenset({
    list, tuple, zip, enumerate, reversed, iter, next, isinstance, issubclass, callable, dict, map, filter, deque,
    itertools.chain, itertools.islice, itertools.product, itertools.repeat, itertools.zip_longest, itertools.pairwise,
})  # fmt: skip
"""They move references about, and look at no element."""
MATHEMATICAL = frozenset(value for value in vars(math).values() if callable(value))
OPERATORS = frozenset(
    getattr(operator, name)
    for name in """abs add and_ contains eq floordiv ge getitem gt index inv invert le lt matmul mod mul ne neg not_ or_
    pos pow sub truediv truth xor""".split()
)
PURE = (
    frozenset({
        abs, min, max, sum, sorted, any, all, range, set, frozenset, str, int, float, bool, complex, round, divmod, pow,
        ord, chr, slice, type, len, repr, bytes, hash, bin, hex, oct, format, itertools.count, itertools.accumulate,
        itertools.starmap, itertools.combinations, itertools.permutations, functools.reduce,
    })
    | STRUCTURAL
    | MATHEMATICAL
    | OPERATORS
)  # fmt: skip
TAKING_FUNCTIONS = frozenset({
    map, filter, sorted, min, max, functools.reduce, itertools.accumulate, itertools.starmap,
})  # fmt: skip
OF_NUMBERS = MATHEMATICAL | frozenset({abs, min, max, round, float, int, pow, divmod}) | OPERATORS
"""Of symbols they give symbols."""
READING = frozenset({
    "get", "items", "keys", "values", "copy", "index", "count", "__len__", "__contains__", "__getitem__", "isdisjoint",
    "union", "intersection", "difference", "symmetric_difference", "issubset", "issuperset",
})  # fmt: skip
COMPARING = frozenset({"sort", "index", "count", "remove"})


def is_pure(function: Any) -> bool:
    try:
        return function in PURE
    except TypeError:  # not hashable
        return False


def is_plain(recording: Recording, value: Any, what: str) -> bool:
    """Whether native code that calls methods of `value` reaches only what is known; else the recording ends."""
    kind = type(value)
    if kind in ATOMS or kind in SYMBOLS or isinstance(value, Tensor):
        return True
    if kind is StandIn or is_numpy_number(value) or is_container(value):
        return True
    if isinstance(value, type | BaseException | np.dtype):
        return True
    if recording.is_fixed_object(value):
        return True
    recording.deny(f"{what} gets an object of class {kind.__name__}")
    return False


def check_deep(recording: Recording, value: Any, what: str, depth: int = 0) -> None:
    """Native code reads, hashes and compares all that `value` holds: numbers are settled, identities guarded."""
    if not recording.live:
        return
    if depth > 20:
        recording.deny(f"{what} gets containers nested too deep")
    elif is_container(value):
        for part in containers.parts(value):
            check_deep(recording, part, what, depth + 1)
    elif type(value) in SYMBOLS:
        settled(value)
    elif containers.is_told_apart(recording, value) or is_plain(recording, value, what):
        recording.compare(value)


def call_native(recording: Recording, function: Any, call: Call) -> Callable[..., Any]:
    """`function`, which is known to be pure, with its arguments guarded as far as it can see."""
    what = getattr(function, "__name__", str(function))

    def shim(*args: Any, **kwargs: Any) -> Any:
        if not recording.live:
            return function(*map(concrete, args), **kwargs)
        if function in OF_NUMBERS and not kwargs and _are_numbers(args):
            return derived(function, *args)
        if function in (isinstance, issubclass):
            _check_classes(recording, args[1])
            return function(*args)
        if function is iter and len(args) > 1:
            recording.deny("iter(function, sentinel)")
        if function is hash:
            _check_hash(recording, args[0])
        prepared = [_prepared(recording, function, arg, what, call) for arg in args]
        named = {
            name: _prepared(recording, function, value, what, call) for name, value in kwargs.items()
        }
        return function(*prepared, **named)

    return shim


def _are_numbers(args: tuple[Any, ...]) -> bool:
    return any(type(arg) in SYMBOLS for arg in args) and all(
        type(arg) in (int, float, bool) or type(arg) in SYMBOLS for arg in args
    )


def _check_hash(recording: Recording, value: Any) -> None:
    if type(value) not in (int, float, bool, complex, tuple) and type(value) not in SYMBOLS:
        recording.deny(f"the hash of a {type(value).__name__}, which differs from process to process")
    elif type(value) is tuple:
        for part in value:
            _check_hash(recording, part)


def _check_classes(recording: Recording, classes: Any) -> None:
    for owner in classes if type(classes) is tuple else (classes,):
        if isinstance(owner, UnionType):
            _check_classes(recording, owner.__args__)
        elif type(owner).__name__ not in ("type", "ABCMeta", "_Kind", "EnumType") or not isinstance(owner, type):
            recording.deny("isinstance with a class that decides itself")
    if type(classes) is tuple:
        containers.expand(recording, classes)


def _prepared(recording: Recording, function: Any, arg: Any, what: str, call: Call) -> Any:
    kind = type(arg)
    if kind in SYMBOLS:
        return arg if function in (next, callable, list, tuple) else settled(arg)
    if callable(arg) and function in TAKING_FUNCTIONS and not isinstance(arg, Tensor):
        return arg if isinstance(arg, type) and not is_pure(arg) else call(arg)
    if function is callable:
        return arg
    if kind in ITERATORS:
        return _iterator(recording, function, arg, what)
    if function in STRUCTURAL:
        return _structural(recording, function, arg, what)
    if not is_plain(recording, arg, what):
        return arg
    containers.expand(recording, arg)
    check_deep(recording, arg, what)
    return arg


def _iterator(recording: Recording, function: Any, iterator: Any, what: str) -> Any:
    recording.changes += 1
    if recording.is_outside(iterator):
        recording.deny(f"{what}: an iterator that the call did not make is advanced")
        return iterator
    if function in STRUCTURAL or function in (len, type, str, repr, bool):
        return iterator
    return _checked(recording, iterator, what)


def _checked(recording: Recording, iterator: Any, what: str) -> Iterator[Any]:
    for value in iterator:
        if recording.live:
            settled(value)
            containers.expand(recording, value)
            check_deep(recording, value, what)
        yield concrete(value)


def _structural(recording: Recording, function: Any, arg: Any, what: str) -> Any:
    if is_container(arg):
        containers.expand(recording, arg, deep=False)
    elif type(arg) in ATOMS or isinstance(arg, Tensor):
        pass
    elif function in (isinstance, issubclass):
        pass
    elif recording.iterate is not None and function not in (next,):
        return recording.iterate(arg)
    else:
        recording.deny(f"{what} of a {type(arg).__name__}")
    return arg


# Methods of builtin objects


def call_method(recording: Recording, method: Any, owner: Any, name: str, call: Call) -> Any:
    """A method of a container, text or number: what it reads is guarded, what it changes becomes an effect."""

    def shim(*args: Any, **kwargs: Any) -> Any:
        if not recording.live:
            return method(*map(concrete, args), **kwargs)
        if not is_container(owner):
            return _of_text(recording, method, name, args, kwargs)
        if name == "append" and type(owner) is list and len(args) == 1 and not kwargs:
            return containers.append(recording, owner, args[0])
        if name == "get" and type(owner) is dict and not kwargs:
            return _get(recording, owner, *args)
        if name in ("items", "values") and type(owner) is dict:
            return containers.walk_pairs(recording, owner, name)
        if "key" in kwargs and kwargs["key"] is not None:
            kwargs["key"] = call(kwargs["key"])
        given = [_given(recording, name, arg) for arg in args]
        if name in READING or not containers.CHANGEABLE & {type(owner)}:
            containers.expand(recording, owner, deep=name in COMPARING)
        elif not _is_idle_pop(recording, owner, name, given):
            containers.take_over(recording, owner)
        if name in COMPARING or type(owner) in (set, frozenset):
            check_deep(recording, owner, name)
        return _native(recording, method, given, kwargs)

    return shim


def _native(recording: Recording, method: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not recording.live:
        return method(*map(concrete, args), **kwargs)
    return method(*args, **kwargs)


def _is_idle_pop(recording: Recording, owner: Any, name: str, args: list[Any]) -> bool:
    """`d.pop(key, default)` without the key changes nothing."""
    return (
        name == "pop"
        and type(owner) is dict
        and len(args) == 2
        and not containers.has_key(recording, owner, args[0])
    )


def _get(recording: Recording, owner: dict[Any, Any], key: Any, default: Any = None) -> Any:
    if containers.has_key(recording, owner, key):
        return containers.read_item(recording, owner, key)
    return default


def _given(recording: Recording, name: str, arg: Any) -> Any:
    kind = type(arg)
    if kind in SYMBOLS:
        return arg if name in ("append", "add", "insert", "appendleft", "setdefault") else settled(arg)
    if kind in ITERATORS:
        recording.changes += 1
        if recording.is_outside(arg):
            recording.deny(f"{name}: an iterator that the call did not make is advanced")
        return arg
    if is_container(arg):
        containers.expand(recording, arg, deep=name in COMPARING or name == "join")
    if name in COMPARING:
        check_deep(recording, arg, name)
    return arg


def _of_text(
    recording: Recording, method: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Methods of str, bytes, numbers and iterators; `format` and `join` look at their arguments."""
    for value in (*args, *kwargs.values()):
        containers.expand(recording, value)
        check_deep(recording, value, name)
        if isinstance(value, Tensor) and type(value) is not StandIn and name in ("format", "format_map"):
            recording.deny("a tensor is formatted")
    return method(*map(settled, args), **{key: settled(value) for key, value in kwargs.items()})


