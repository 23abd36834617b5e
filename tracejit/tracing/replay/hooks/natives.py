"""C functions that may be called: what each reads of its arguments is guarded first. Whatever is not listed is denied."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from tracejit.symbols import NUMBERS, SYMBOLS, concrete, derived, is_number, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay.hooks import (
    classes,
    containers,
    items,
    iteration,
    keys,
    library,
    numbers,
    text,
    walking,
)
from tracejit.tracing.replay.hooks.containers import is_container
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.kinds import ATOMS, is_numpy_number
from tracejit.tracing.replay.order import SETS
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn

Call = Callable[[Any], Any]

STRUCTURAL = frozenset({
    list, tuple, zip, enumerate, reversed, iter, next, isinstance, issubclass, callable, dict, map, deque,
    itertools.chain, itertools.islice, itertools.product, itertools.repeat, itertools.zip_longest, itertools.pairwise,
})  # fmt: skip
"""They move references about, and look at no element."""
LAZY = STRUCTURAL - {list, tuple, dict, deque, next, isinstance, issubclass, callable} | {
    itertools.accumulate, itertools.starmap,
}  # fmt: skip
"""They give iterators, which read containers later."""
MATHEMATICAL = frozenset(value for value in vars(math).values() if callable(value))
TAKING_FLOATS = MATHEMATICAL - {
    getattr(math, name, None)  # not every Python has `sumprod`
    for name in "comb dist factorial fsum gcd isqrt lcm ldexp perm prod sumprod trunc".split()
}
"""Functions of `math` that make floats of what they are given."""
OPERATORS = frozenset({operator.index})
PURE = (
    frozenset({
        abs, sum, any, all, range, set, frozenset, str, int, float, bool, complex, round, divmod, pow,
        ord, chr, slice, type, len, repr, ascii, bytes, hash, bin, hex, oct, format, itertools.count, itertools.accumulate,
        itertools.starmap, itertools.combinations, itertools.permutations, functools.reduce,
    })
    | STRUCTURAL
    | MATHEMATICAL
    | OPERATORS
)  # fmt: skip
CALLED: dict[Any, int] = {
    map: 0, functools.reduce: 0, itertools.accumulate: 1, itertools.starmap: 0,
}  # fmt: skip
"""Which argument a function calls, unless it is None."""
OF_NUMBERS = MATHEMATICAL | frozenset({abs, round, float, int, pow}) | OPERATORS
"""Of symbols they give symbols."""
OF_TEXT = frozenset({str, repr, format, ascii, float, int, hex, oct, bin, chr})
"""Of symbols, text among them, they give symbols."""
READING_TEXT = frozenset({str, repr, format, ascii})
"""They make text of any value."""
READING = frozenset({
    "get", "items", "keys", "values", "copy", "index", "count", "__len__", "__contains__", "__getitem__", "isdisjoint",
    "union", "intersection", "difference", "symmetric_difference", "issubset", "issuperset",
})  # fmt: skip
COMPARING = frozenset({"index", "count", "remove"})
OF_ELEMENTS = frozenset({"add", "discard", "remove", "__contains__"})
"""Methods of sets that take one element."""
STEPS = frozenset({"add", "discard", "remove", "clear"})
"""Methods that change a set from outside by what is said of them alone."""
KEYED = frozenset({"get", "pop", "setdefault", "__getitem__", "__contains__"})
"""Methods of dicts whose first argument is a key."""
STORING = frozenset(
    {("append", 0), ("appendleft", 0), ("insert", 1), ("setdefault", 1), ("pop", 1)}
)
"""Arguments that a method only stores."""
WALKING = frozenset(
    "extend extendleft update union intersection difference symmetric_difference issubset issuperset isdisjoint "
    "intersection_update difference_update symmetric_difference_update".split()
)
"""Methods of lists, deques and sets that walk through what they are given."""
PLACES = frozenset({("insert", 0), ("pop", 0), ("rotate", 0), ("index", 1), ("index", 2)})
"""Arguments of methods of sequences that say where."""


def is_pure(function: Any) -> bool:
    try:
        return function in PURE
    except TypeError:  # not hashable
        return False


def unknown(recording: Recording, function: Any) -> Any:
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", type(function).__name__)
    recording.deny(f"call of {f'{module}.' if module else ''}{name}, which is not known to be pure")
    return function


def is_plain(recording: Recording, value: Any, what: str) -> bool:
    """Whether native code that calls methods of `value` reaches only what is known; else the recording ends."""
    kind = type(value)
    if kind in ATOMS or kind in SYMBOLS or isinstance(value, Tensor):
        return True
    if kind is StandIn or is_numpy_number(value) or is_container(value):
        return True
    if isinstance(value, BaseException):
        recording.exception_is_read(value)
    is_known = isinstance(value, BaseException) or recording.is_fixed_object(value)
    if is_known and classes.has_plain_operators(recording, value):
        return True
    recording.deny(f"{what} gets an object of class {kind.__name__}")
    return False


def check_deep(
    recording: Recording, value: Any, what: str, *, compares: bool = False, depth: int = 0
) -> None:
    """Native code reads all that `value` holds: numbers are settled, identities guarded.

    `compares`: it does no more than hash it and ask whether it is equal.
    """
    if not recording.live:
        return
    if depth > 20:
        recording.deny(f"{what} gets containers nested too deep")
    elif is_container(value):
        for part in containers.parts(value):
            check_deep(recording, part, what, compares=compares, depth=depth + 1)
    elif type(value) in SYMBOLS or type(value) in (float, complex):
        if compares:
            keys.refuse_nan(recording, value)
        settled(value)
    elif (compares and keys.is_told_apart(recording, value)) or is_plain(recording, value, what):
        recording.compare(value)


def call_native(recording: Recording, function: Any, call: Call) -> Callable[..., Any]:
    """`function`, which is known to be pure, with its arguments guarded as far as it can see."""
    what = getattr(function, "__name__", str(function))

    def shim(*args: Any, **kwargs: Any) -> Any:
        if not recording.live:
            return function(*map(concrete, args), **kwargs)
        if function in TAKING_FLOATS:
            args = tuple(_as_float(recording, arg) for arg in args)
        if function in OF_NUMBERS and not kwargs and _are_numbers(args):
            return derived(function, *args)
        if function in numbers.PARTS and not kwargs and _are_numbers(args):
            return numbers.in_parts(function, args)
        if function is sum and not kwargs:
            result = numbers.sum_of(recording, *args)
            if result is not NotImplemented:
                return result
        if function in OF_TEXT and not kwargs and args and all(map(text.is_atom, args)):
            return derived(function, *args)
        if function in READING_TEXT and args:
            text.become_text(recording, args[0])
            return function(*map(settled, args), **kwargs)
        if function in (isinstance, issubclass):
            classes.is_tested(recording, args[0])
            classes.are_asked(recording, args[1])
            return function(*args)
        if function is callable:
            classes.is_called(recording, args[0])
        if function is reversed and len(args) == 1 and iteration.is_users(args[0]):
            return iteration.backwards(recording, args[0], call)
        if function is dict:
            return dict(*(pairs(recording, arg, what) for arg in args), **kwargs)
        if function is iter and len(args) > 1:
            recording.deny("iter(function, sentinel)")
        if function is hash:
            _check_hash(recording, args[0])
        if function in LAZY:
            recording.viewed.update(map(id, args))
        called = CALLED.get(function)
        prepared = [
            call(arg)
            if place == called and arg is not None
            else _prepared(recording, function, arg, what, call)
            for place, arg in enumerate(args)
        ]
        named = {
            name: call(value) if name in ("func", "key") and value is not None
            else _prepared(recording, function, value, what)
            for name, value in kwargs.items()
        }  # fmt: skip
        return function(*prepared, **named)

    return shim


def _as_float(recording: Recording, arg: Any) -> Any:
    """A float in the place of a tensor or array of no dimensions; anything else as it is."""
    is_tensor = isinstance(arg, Tensor) or type(arg) is StandIn
    if not is_tensor or arg.aval.shape:
        return arg
    return library.number_of(recording, arg, "__float__")


def _are_numbers(args: tuple[Any, ...]) -> bool:
    return any(type(arg) in NUMBERS for arg in args) and all(map(is_number, args))


def _check_hash(recording: Recording, value: Any) -> None:
    if type(value) not in (int, float, bool, complex, tuple) and type(value) not in SYMBOLS:
        recording.deny(
            f"the hash of a {type(value).__name__}, which differs from process to process"
        )
    elif type(value) is tuple:
        for part in value:
            _check_hash(recording, part)


def _prepared(
    recording: Recording, function: Any, arg: Any, what: str, call: Call | None = None
) -> Any:
    kind = type(arg)
    if kind in SYMBOLS:
        return arg if function in numbers.ASKING or function in (next, callable) else settled(arg)
    if function is callable:
        return arg
    if function in numbers.ASKING and (is_container(arg) or kind in ITERATORS):
        if kind in ITERATORS and recording.is_outside(arg):
            recording.deny(f"{what}: an iterator that the call did not make is advanced")
        return numbers.asked(recording, arg, functools.partial(_look_through, recording, what))
    if kind in ITERATORS:
        unseeing = function in STRUCTURAL or function in (len, type, str, repr, bool)
        return iterator(recording, arg, what, looks=not unseeing, compares=function in SETS)
    if function in STRUCTURAL:
        return _structural(recording, function, arg, what, call)
    containers.expand(recording, arg)
    if function not in SETS:
        containers.in_order(recording, arg)
    check_deep(recording, arg, what, compares=function in SETS)
    return arg


def _look_through(recording: Recording, what: str, value: Any) -> Any:
    """What has the truth of `value`."""
    if (isinstance(value, Tensor) or type(value) is StandIn) and value.aval.size == 1:
        return library.number_of(recording, value, "__bool__")
    containers.expand(recording, value)
    check_deep(recording, value, what)
    return value


def iterator(
    recording: Recording, iterator: Any, what: str, *, looks: bool = True, compares: bool = False
) -> Any:
    """What native code advances in the place of an iterator or view; `looks`: it looks at the elements."""
    if recording.is_outside(iterator):
        recording.deny(f"{what}: an iterator that the call did not make is advanced")
        return iterator
    return _checked(recording, iterator, what, compares) if looks and recording.live else iterator


def _checked(recording: Recording, iterator: Any, what: str, compares: bool) -> Iterator[Any]:
    for value in iterator:
        if recording.live:
            settled(value)
            containers.expand(recording, value)
            check_deep(recording, value, what, compares=compares)
        yield concrete(value)


def _structural(recording: Recording, function: Any, arg: Any, what: str, call: Call | None) -> Any:
    """What is moved about; `call`: it is walked through, so that methods of the user's say what its elements are."""
    if is_container(arg) and function is not reversed and containers.holds_arrays(arg):
        return walking.walk(recording, arg)
    if is_container(arg):
        containers.expand(recording, arg, deep=False)
        containers.in_order(recording, arg)
    elif _is_walked_as_it_is(arg) or function in (isinstance, issubclass):
        pass
    elif call is not None and function not in (next, itertools.repeat):
        elements = iteration.iterate(recording, arg, call)
        if function in (list, tuple):
            iteration.ask_length(recording, arg, call)
        return elements
    else:
        recording.deny(f"{what} of a {type(arg).__name__}")
    return arg


def _is_walked_as_it_is(value: Any) -> bool:
    """Whether native code finds its parts without asking anything but the library: rows of arrays when it comes to them."""
    return type(value) in ATOMS or isinstance(value, Tensor) or type(value) is StandIn


# Methods of builtin objects


def call_method(recording: Recording, method: Any, owner: Any, name: str, call: Call) -> Any:
    """A method of a container, text or number: what it reads is guarded, what it changes becomes an effect."""

    def shim(*args: Any, **kwargs: Any) -> Any:
        if not recording.live:
            return method(*map(concrete, args), **kwargs)
        if not is_container(owner):
            return _of_text(recording, method, name, args, kwargs)
        if name == "append" and type(owner) is list and len(args) == 1 and not kwargs:
            return items.append(recording, owner, args[0])
        if name == "get" and type(owner) is dict and not kwargs and len(args) in (1, 2):
            return _get(recording, owner, *args)
        if name == "setdefault" and _is_there(recording, owner, args, kwargs):
            return _get(recording, owner, args[0])
        if name in ("items", "values") and type(owner) is dict:
            return walking.walk_pairs(recording, owner, name)
        if "key" in kwargs and kwargs["key"] is not None:
            kwargs["key"] = call(kwargs["key"])
        if name in WALKING and type(owner) is not dict:
            by_list = type(owner) is list
            args = tuple(iteration.walked(recording, arg, call, by_list=by_list) for arg in args)
        given = [_given(recording, type(owner), name, *each) for each in enumerate(args)]
        if name in READING or not containers.CHANGEABLE & {type(owner)}:
            containers.expand(recording, owner, deep=name in COMPARING or name == "sort")
        elif not _is_idle_pop(recording, owner, name, given):
            containers.take_over(recording, owner)
        if type(owner) is set:
            _note_step(recording, owner, name, given)
        if name == "sort":
            check_deep(recording, owner, name)
        elif name in COMPARING or type(owner) in SETS:
            check_deep(recording, owner, name, compares=True)
        return _native(recording, method, given, kwargs)

    return shim


def _native(recording: Recording, method: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not recording.live:
        return method(*map(concrete, args), **kwargs)
    return method(*args, **kwargs)


def _note_step(recording: Recording, owner: set[Any], name: str, args: list[Any]) -> None:
    """A set from outside is changed step by step: in which order it gives its elements depends on each."""
    if name == "pop":
        containers.in_order(recording, owner)
    if name in READING or id(owner) not in recording.taken:
        return
    if name not in STEPS:
        recording.deny(f"set.{name} of outside state")
    recording.steps.setdefault(id(owner), []).append((name, args))


def _is_there(recording: Recording, owner: Any, args: Any, kwargs: Any) -> bool:
    """Whether `d.setdefault(key, value)` finds the key, and so changes nothing."""
    is_lookup = type(owner) is dict and len(args) in (1, 2) and not kwargs
    return is_lookup and items.has_key(recording, owner, args[0])


def _is_idle_pop(recording: Recording, owner: Any, name: str, args: list[Any]) -> bool:
    """`d.pop(key, default)` without the key changes nothing."""
    return (
        name == "pop"
        and type(owner) is dict
        and len(args) == 2
        and not items.has_key(recording, owner, args[0])
    )


def _get(recording: Recording, owner: dict[Any, Any], key: Any, default: Any = None) -> Any:
    if not recording.live:
        return owner.get(key, default)
    found = items.has_key(recording, owner, key)
    if found:
        return items.read_item(recording, owner, key)
    return default


def _given(recording: Recording, owner: type, name: str, place: int, arg: Any) -> Any:
    """An argument of a method of a container."""
    if (owner is dict and place == 0 and name in KEYED) or (owner in SETS and name in OF_ELEMENTS):
        return keys.hash_key(recording, arg)
    if owner is dict and name == "update":
        return pairs(recording, arg, name)
    kind = type(arg)
    if kind in SYMBOLS:
        return arg if (name, place) in STORING else settled(arg)
    if (name, place) in PLACES and owner in containers.SEQUENCES:
        return keys.native_index(recording, arg)
    looks = owner in SETS or name in COMPARING
    if kind in ITERATORS:
        return iterator(recording, arg, name, looks=looks, compares=True)
    if is_container(arg):
        containers.expand(recording, arg, deep=looks)
        if owner not in SETS:
            containers.in_order(recording, arg)
    if looks:
        check_deep(recording, arg, name, compares=True)
    return arg


def pairs(recording: Recording, given: Any, what: str) -> Any:
    """What a dict takes keys and values from."""
    if type(given) is dict or not recording.live:
        containers.expand(recording, given, deep=False)
        return given
    if is_container(given):
        containers.expand(recording, given, deep=False)
    elif type(given) in ITERATORS:
        iterator(recording, given, what, looks=False)
    else:
        recording.deny(f"{what} takes keys and values from a {type(given).__name__}")
        return given
    return _hashed(recording, given)


def _hashed(recording: Recording, given: Any) -> Iterator[Any]:
    for pair in given:
        if is_container(pair) and len(pair) == 2:
            key, value = (items.read_item(recording, pair, place) for place in (0, 1))
            yield keys.hash_key(recording, key), value
        else:
            recording.deny("a dict is made of what is not a pair")
            yield pair


def _of_text(
    recording: Recording, method: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Methods of str, bytes, numbers and iterators; `format` and `join` look at their arguments."""
    if (
        name == "join"
        and len(args) == 1
        and type(args[0]) in ITERATORS
        and not recording.is_outside(args[0])
    ):
        args = (list(args[0]),)
    found = text.of_symbols(method.__self__, name, args, kwargs)
    if found is not NotImplemented:
        return found
    given = [_read_by_text(recording, name, value) for value in args]
    named = {key: _read_by_text(recording, name, value) for key, value in kwargs.items()}
    return method(*given, **named)


def _read_by_text(recording: Recording, name: str, value: Any) -> Any:
    if type(value) in ITERATORS:
        return iterator(recording, value, name)
    if name in ("format", "format_map"):
        text.become_text(recording, value)
    else:
        containers.expand(recording, value)
        check_deep(recording, value, name)
    return settled(value)
