"""Machine code of every guard takes the calls that Python's code of it takes, and no others."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.runtime.native.harness import (
    Code,
    World,
    agree,
    check,
    guarded,
    holds_nothing,
    outcome,
    takes_no_references,
)
from tracejit._config import config
from tracejit.ir.dim import Sizes
from tracejit.runtime.cpu.native.install import installed
from tracejit.symbols import symbol
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.sources import argument, constant, keyword

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")


class Number(int):
    pass


class Real(float):
    pass


class Text(str):
    __slots__ = ()


class Names(dict):  # type: ignore[type-arg]
    pass


class Items(list):  # type: ignore[type-arg]
    pass


class Pair(tuple):  # type: ignore[type-arg]
    __slots__ = ()


class Colour(enum.IntEnum):
    RED = 3


class Sly:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 3


class Stubborn:
    """Can be compared with nothing."""

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError

    def __hash__(self) -> int:
        return 3


CONSTANTS: list[Any] = [
    None, True, False, 0, 3, -3, 1, 2**70, -(2**70), 1.5, 0.0, -0.0, math.inf, math.nan, 1j, complex(0.0, -0.0), "", "text", b"x",
    (), (1, 2), (1, 1.0, "a"), ..., range(3), slice(1, None), np.float32(1.5), np.float64(math.nan), np.int64(3), np.bool_(True),
    Colour.RED, frozenset({1}), np.dtype("f4"),
]  # fmt: skip
VALUES: list[Any] = [
    *CONSTANTS, 3.0, 1.0, Number(3), Number(2**70), Real(1.5), Real(0.0), Text("text"), "".join(["te", "xt"]), 2**70 + 1, -1,
    math.nextafter(1.5, 2), -math.inf, (1, 2.0), (True, 2), Pair((1, 2)), (1, True, "a"), [1, 2], range(0, 3, 1), range(4),
    slice(1, 2), slice(True, None), np.float64(1.5), np.int32(3), np.float32(0.0), np.str_("text"), bytearray(b"x"), {}, [], {1},
    Sly(), Stubborn(), int, len, np.dtype("f8"), np.dtype(">f4"),
]  # fmt: skip


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_a_value_is_this_one(value: Any):
    code = guarded(g.Equals(argument(0), value), commit=["return args[0]"])
    native, python = code.native(((0,), {})), code.python(((0,), {}))
    found = [outcome(native, ((each,), {})) for each in VALUES]
    expected = [outcome(python, ((each,), {})) for each in VALUES]
    assert found == expected
    assert len({repr(each[1]) for each in found}) > 1
    for each in (value, Number(3), Sly(), Stubborn()):
        takes_no_references(native, ((each,), {}))


def the(*args: Any, **kwargs: Any) -> World:
    return lambda: (args, kwargs)


def sampled() -> Any:
    def function(a: int = 1, b: str = "x") -> None: ...

    return function


def bare() -> None: ...


class Base:
    shared = 1

    def method(self) -> None: ...

    @property
    def prop(self) -> int:
        return 1

    @staticmethod
    def static() -> None: ...

    @classmethod
    def named(cls) -> None: ...


class Derived(Base):
    __slots__ = ("slot",)

    def __init__(self, **names: Any) -> None:
        self.__dict__.update(names)


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x


class Unsure:
    def __bool__(self) -> bool:
        raise ValueError


class Missed(dict):  # type: ignore[type-arg]
    def __missing__(self, key: Any) -> int:
        return 3


def with_defaults(count: int | None) -> Any:
    found = sampled() if count != 2 else bare_twin()
    found.__defaults__ = None if count is None else tuple(range(count))
    return found


def bare_twin() -> Any:
    return type(bare)(bare.__code__, {})


def holed() -> dict[str, int]:
    made = {"a": 1, "b": 2, "c": 3}
    del made["b"]
    return made


def number(slot: int) -> Any:
    """A number in a slot."""
    return symbol(0, None, slot, late=False)  # type: ignore[arg-type]  # only the slot is asked for


X = argument(0)
one, other = object(), object()
keys = [object(), object()]
many = {f"key {place}": place for place in range(12)}

GUARDS: dict[str, tuple[list[g.Guard], list[World]]] = {
    "no arguments": ([g.ArgumentsAre(0, ())], [the(), the(1), the(x=1)]),
    "two arguments": ([g.ArgumentsAre(2, ())], [the(1, 2), the(1), the(1, 2, 3), the(1, b=2)]),
    "keywords": (
        [g.ArgumentsAre(1, ("b", "a")), g.Equals(keyword("a"), 3)],
        [
            the(1, b=1, a=3),
            the(1, a=3, b=1),
            the(1, b=1, a=4),
            the(1, b=1),
            the(1, 1, a=3),
            the(1, b=1, c=3),
            the(b=1, a=3),
        ],
    ),
    "a mode": ([g.ModeIs("gradients", tj.is_grad_enabled, True)], [the(1)]),
    "another mode": ([g.ModeIs("gradients", tj.is_grad_enabled, False)], [the(1)]),
    "settings": ([g.SettingsAre(config.epoch, g.settings())], [the(1)]),
    "settings that have come back": ([g.SettingsAre(-1, g.settings())], [the(1)]),
    "other settings": ([g.SettingsAre(-1, ())], [the(1)]),
    "this object": ([g.Is(X, one)], [the(one), the(other), the(None), the(Sly())]),
    "this function": ([g.Is(X, bare)], [the(bare), the(sampled())]),
    "this class": ([g.TypeIs(X, Base)], [the(Base()), the(Derived()), the(3), the(Base)]),
    "a number's class": ([g.TypeIs(X, int)], [the(1), the(True), the(Number(1)), the(1.0)]),
    "code": (
        [g.CodeIs(X, sampled().__code__, 2)],
        [the(sampled()), the(bare), the(3), the(with_defaults(3))],
    ),
    "no defaults": (
        [g.CodeIs(X, bare.__code__, None)],
        [the(bare), the(with_defaults(2)), the(with_defaults(None))],
    ),
    "a function's code and its default": (
        [
            g.TypeIs(X, type(bare)),
            g.CodeIs(X, sampled().__code__, 2),
            g.Equals(X.attribute("__defaults__").item(1), "x"),
        ],
        [the(sampled()), the(with_defaults(2)), the(with_defaults(None))],
    ),
    "one object": ([g.SameObject(X, argument(1), True)], [the(one, one), the(one, other)]),
    "two objects": ([g.SameObject(X, argument(1), False)], [the(one, one), the(one, other)]),
    "distinct": (
        [g.AllDistinct((X, argument(1), argument(2)))],
        [the(1, 2, 3), the(one, other, one), the(one, one, other), the(other, one, one)],
    ),
    "many distinct": (
        [g.AllDistinct(tuple(map(argument, range(40))))],
        [the(*range(300, 340)), the(*[one, *range(38), one]), the(*[*range(39), 7])],
    ),
    "differ": ([g.Differ([X, argument(1)])], [the(one, other), the(one, one)]),
    "a list's length": (
        [g.TypeIs(X, list), g.LengthIs(X, 2)],
        [the([1, 2]), the([1]), the((1, 2)), the(Items([1, 2]))],
    ),
    "any length": (
        [g.LengthIs(X, 2)],
        [the([1, 2]), the("ab"), the({1: 1, 2: 2}), the({1}), the(3), the(Pair((1, 2)))],
    ),
    "keys": (
        [g.TypeIs(X, dict), g.KeysAre(X, ("a", 1, 2.0, -0.0, None))],
        [
            the({"a": 1, 1: 2, 2.0: 3, -0.0: 4, None: 5}),
            the({"".join(["a"]): 1, 1: 2, float("2.0"): 3, -0.0: 4, None: 5}),
            the({"a": 1, True: 2, 2.0: 3, -0.0: 4, None: 5}),
            the({"a": 1, 1: 2, 2: 3, -0.0: 4, None: 5}),
            the({"a": 1, 1: 2, 2.0: 3, 0.0: 4, None: 5}),
            the({1: 2, "a": 1, 2.0: 3, -0.0: 4, None: 5}),
            the({"a": 1, 1: 2, 2.0: 3, -0.0: 4}),
            the({"a": 1, 1: 2, 2.0: 3, -0.0: 4, None: 5, 6: 6}),
            the(Names({"a": 1, 1: 2, 2.0: 3, -0.0: 4, None: 5})),
        ],
    ),
    "keys of any mapping": (
        [g.KeysAre(X, ("a", "b"))],
        [
            the({"a": 1, "b": 2}),
            the(OrderedDict(a=1, b=2)),
            the(Names(a=1, b=2)),
            the(["a", "b"]),
            the("ab"),
            the({"b": 1, "a": 2}),
            the(Names(a=1)),
            the(3),
        ],
    ),
    "large ints as keys": (
        [g.TypeIs(X, dict), g.KeysAre(X, (2**70, "a"))],
        [the({2**70: 1, "a": 1}), the({2**70 + 1: 1, "a": 1}), the({Number(2**70): 1, "a": 1})],
    ),
    "no keys": ([g.TypeIs(X, dict), g.KeysAre(X, ())], [the({}), the({1: 1})]),
    "many keys": (
        [g.TypeIs(X, dict), g.KeysAre(X, tuple(many))],
        [the({**many}), the(dict(reversed(many.items()))), the({**many, "more": 1}), the({})],
    ),
    "a dict in which keys were deleted": (
        [g.TypeIs(X, dict), g.KeysAre(X, ("a", "c"))],
        [lambda: ((holed(),), {}), the({"a": 1, "b": 2}), the({"a": 1, "c": 2})],
    ),
    "objects as keys": (
        [g.TypeIs(X, dict), g.KeysAre(X, (keys[0], "a", keys[1]))],
        [
            the({keys[0]: 1, "a": 2, keys[1]: 3}),
            the({keys[1]: 1, "a": 2, keys[0]: 3}),
            the({keys[0]: 1, "b": 2, keys[1]: 3}),
            the({keys[0]: 1, "a": 2}),
        ],
    ),
    "elements of a set": (
        [g.TypeIs(X, set), g.KeysAre(X, (1, 2), {1, 2}.__sizeof__())],
        [the({1, 2}), the({1, 3}), the({1, 2, 3}), the({1.0, 2}), the(set(range(100)))],
    ),
    "a key is in a dict": (
        [g.TypeIs(X, dict), g.KeyIn(X, "a", True)],
        [the({"a": 1}), the({"".join(["a"]): 1}), the({"b": 1}), the({})],
    ),
    "a key is not in a dict": (
        [g.TypeIs(X, dict), g.KeyIn(X, "a", False)],
        [the({"a": 1}), the({}), the(Names())],
    ),
    "a key is in anything": (
        [g.KeyIn(X, 3, True)],
        [the({3}), the([1, 3]), the((3.0,)), the({3: 1}), the({}), the(3), the([Stubborn()])],
    ),
    "a key that a source gives": (
        [g.KeyIn(X, argument(1), True)],
        [the({one: 1}, one), the({one: 1}, other), the({}, [])],
    ),
    "not empty": (
        [g.TruthIs(X, True)],
        [the([1]), the([]), the({}), the(0), the("a"), the(np.arange(2)), the(Unsure())],
    ),
    "empty": ([g.TruthIs(X, False)], [the([1]), the([]), the({}), the(()), the(Unsure())]),
    "any int": (
        [g.NumberIs(X, int, 0)],
        [the(3), the(2**70), the(True), the(3.0), the(Number(3)), the(np.int64(3))],
    ),
    "any float": ([g.NumberIs(X, float, 0)], [the(1.5), the(math.nan), the(Real(1.5)), the(1)]),
    "an item of a list": (
        [g.TypeIs(X, list), g.Equals(X.item(1), 3)],
        [the([1, 3]), the([1]), the([1, 4]), the([]), the([1, 3, 5])],
    ),
    "an item of a tuple": (
        [g.TypeIs(X, tuple), g.Equals(X.item(0).item(1), 3)],
        [the(((1, 3),)), the(([1, 3],)), the(()), the(((1,),)), the((3,)), the(("ab",))],
    ),
    "an item before the end": (
        [g.TypeIs(X, list), g.Equals(X.item(-1), 3)],
        [the([1, 3]), the([]), the([3, 1])],
    ),
    "an item of a dict": (
        [g.TypeIs(X, dict), g.Equals(X.item("a"), 3)],
        [the({"a": 3}), the({"a": 4}), the({"b": 3}), the({"".join(["a"]): 3})],
    ),
    "an item of anything": (
        [g.Equals(X.item("a"), 3)],
        [the({"a": 3}), the(Names(a=3)), the(Missed()), the([3]), the(3)],
    ),
    "an item by a key that cannot be compared": (
        [g.TypeIs(X, dict), g.Equals(X.item(argument(1)), 3)],
        [the({3: 3}, 3), the({3: 3}, Stubborn()), the({3: 3}, []), the({3: 3}, Sly())],
    ),
    "an attribute": (
        [g.Equals(X.attribute("x"), 3)],
        [
            the(SimpleNamespace(x=3)),
            the(SimpleNamespace(x=4)),
            the(SimpleNamespace()),
            the(Slotted(3)),
            the(3),
        ],
    ),
    "an attribute in a slot": (
        [g.TypeIs(X, Slotted), g.Equals(X.attribute("x"), 3)],
        [
            the(Slotted(3)),
            the(Slotted(4)),
            the(Slotted.__new__(Slotted)),
            the(SimpleNamespace(x=3)),
        ],
    ),
    "an object's own names": (
        [
            g.TypeIs(X, Derived),
            g.KeysAre(X.attribute("__dict__"), ("x",)),
            g.Equals(X.entry("x"), 3),
        ],
        [the(Derived(x=3)), the(Derived(x=4)), the(Derived()), the(Derived(x=3, y=3)), the(Base())],
    ),
    "a name of an object that has others": (
        [g.TypeIs(X, Derived), g.KeyIn(X.attribute("__dict__"), "x", False)],
        [the(Derived(x=3)), the(Derived(y=4)), the(Derived())],
    ),
    "a constant's attribute": (
        [g.Equals(constant(Base, "Base", holds=True).attribute("shared"), 1)],
        [the(1)],
    ),
    "what a class has": (
        [
            g.ClassHas(Derived, "method", Base.method),
            g.ClassHas(Derived, "prop", Base.__dict__["prop"]),
            g.ClassHas(Derived, "static", Base.__dict__["static"]),
            g.ClassHas(Derived, "named", Base.__dict__["named"]),
            g.ClassHas(Derived, "slot", Derived.__dict__["slot"]),
        ],
        [the(1)],
    ),
    "what a class has had": ([g.ClassHas(Derived, "method", bare)], [the(1)]),
    "what a class lacks": ([g.ClassLacks(Derived, ("nothing", "more"), Derived.__mro__)], [the(1)]),
    "what a class has got": (
        [g.ClassLacks(Derived, ("nothing", "prop"), Derived.__mro__)],
        [the(1)],
    ),
    "a class's entry": ([g.ClassEntry(Base, "shared", 1)], [the(1)]),
    "a class's other entry": ([g.ClassEntry(Base, "shared", 2)], [the(1)]),
    "a class without an entry": ([g.ClassEntry(Derived, "shared", g.MISSING)], [the(1)]),
    "bases": ([g.BasesAre(Derived, Derived.__mro__)], [the(1)]),
    "other bases": ([g.BasesAre(Derived, Base.__mro__)], [the(1)]),
    "numbers that can be computed": (
        [
            g.NumberIs(X, int, 0),
            g.NumberIs(argument(1), float, 1),
            g.Computed(2, max, (number(0), 2)),
            g.ResultIs(2, 2**70, "max"),
        ],
        [the(2**70, 1.0), the(3, 1.0), the(2**70, 1)],
    ),
}


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard(name: str):
    guards, worlds = GUARDS[name]
    taken = check(guarded(*guards), worlds)
    assert len(worlds) == 1 or taken == {True, False}, "some fit, and some do not"
    native = guarded(*guards).native(worlds[0]())
    for world in worlds:
        takes_no_references(native, world())


def test_names_that_are_not_interned_mean_the_same_to_python():
    code = guarded(g.ArgumentsAre(0, ("name",)), g.Equals(keyword("name"), 3))
    name = "".join(["na", "me"])
    native = code.native(((), {"name": 3}))
    assert native(name=3) == "hit"
    assert native(**{name: 3}) in ("hit", "missed"), "Python may run it, but it is no other call"
    assert native(**{"".join(["na", "me", "s"]): 3}) == "missed"


# Tensors and arrays


def tensor(*shape: int, dtype: Any = tj.float32) -> Any:
    return tj.zeros(shape, dtype=dtype)


def tensor_is(like: Any, grad: str = "none", **more: Any) -> g.TensorIs:
    return g.TensorIs(X, type(like), like.aval, like.layout, grad, 0, **more)


def leaf() -> Any:
    return tensor(2, 3).requires_grad_()


def hooked() -> Any:
    made = leaf()
    made.register_hook(lambda grad: grad)
    return made


def pending() -> Any:
    """A tensor whose value is still to come."""
    made = tensor(2, 3)
    made.storage.pending = SimpleNamespace(realize=lambda storage: None), None
    return made


TENSORS: list[Callable[[], Any]] = [
    lambda: tensor(2, 3),
    lambda: tensor(3, 2),
    lambda: tensor(2, 2),
    lambda: tensor(2, 3, dtype=tj.float64),
    lambda: tensor(4, 3)[:2],
    lambda: tensor(4, 3)[1:3],
    lambda: tensor(3, 2).T,
    lambda: tensor(2, 3).T.T,
    lambda: tensor(2, 3).detach(),
    leaf,
    hooked,
    lambda: leaf() * 2,
    lambda: (leaf() * 2)[:1],
    lambda: leaf().requires_grad_(False),
    lambda: tj.nn.Parameter(tensor(2, 3)),
    lambda: tj.tensor(np.zeros((2, 3), "f4")),
    lambda: tj.asarray(np.zeros((2, 3), "f4")),
    pending,
    lambda: np.zeros((2, 3), "f4"),
    lambda: None,
]


@pytest.mark.parametrize(
    "guard",
    [
        tensor_is(tensor(2, 3)),
        tensor_is(leaf(), "leaf"),
        tensor_is(leaf() * 2, "made"),
        tensor_is(tensor(4, 3)[1:3], "view"),
        tensor_is(tensor(4, 3)[1:3], "view", window=1),
        tensor_is(tj.nn.Parameter(tensor(2, 3)), "leaf"),
        tensor_is(tensor(2, 3), openings=((0, 1, True),)),
        tensor_is(tensor(2, 2), openings=((0, 1, True), (1, 1, False))),
        g.ViewIs(X, g.view_path(tensor(4, 3)[1:3])),
    ],
    ids=str,
)
def test_a_tensor(guard: g.Guard):
    slots = [0] if isinstance(guard, g.TensorIs) else []
    code = guarded(guard, commit=[f"return ({''.join(f'type(E[{slot}]), ' for slot in slots)})"])
    worlds = [lambda make=make: ((make(),), {}) for make in TENSORS]
    assert True in agree(code, worlds)
    given = [make() for make in TENSORS]
    native = code.native(((given[0],), {}))
    for each in given:
        takes_no_references(native, ((each, vars_of(each)), {}))


def vars_of(value: Any) -> list[Any]:
    """What a tensor has, so that counts of references to it are looked at, too."""
    names = ("storage", "layout", "aval", "origin", "autograd")
    parts = [getattr(value, name, None) for name in names]
    return [*parts, getattr(parts[0], "buffer", None)]


def test_open_sizes():
    sizes = Sizes()
    n = sizes.variable(4)
    size = 3 * n + (n // 2) - 14
    guards = [
        tensor_is(tensor(2, 3), openings=((0, 1, True),)),
        g.SizeIs(size, "eq", False, [1]),  # type: ignore[arg-type]  # no number
        g.SizeIs(size, "lt", True, [1]),  # type: ignore[arg-type]
    ]
    worlds: list[World] = [lambda k=k: ((tensor(k, 3),), {}) for k in range(8)]
    assert check(guarded(*guards), worlds) == {True, False}


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def unaligned(shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(bytearray(8 * math.prod(shape) + 1), "f8", offset=1).reshape(shape)


class Subarray(np.ndarray):
    pass


ARRAYS: list[Callable[[], Any]] = [
    lambda: np.zeros((2, 3)),
    lambda: np.zeros((3, 2)),
    lambda: np.zeros(6),
    lambda: np.zeros(()),
    lambda: np.zeros((2, 3), "f4"),
    lambda: np.zeros((2, 3), ">f8"),
    lambda: np.zeros((2, 3), order="F"),
    lambda: np.zeros((4, 3))[::2],
    lambda: np.zeros((2, 3, 1)),
    lambda: frozen(np.zeros((2, 3))),
    lambda: unaligned((2, 3)),
    lambda: np.zeros((2, 3)).view(Subarray),
    lambda: np.zeros((0, 3)),
    lambda: np.broadcast_to(np.zeros(3), (2, 3)),
    lambda: [[0.0] * 3] * 2,
]


@pytest.mark.parametrize(
    "like", [np.zeros((2, 3)), np.zeros(()), np.zeros((4, 3))[::2], np.zeros((0, 3))], ids=repr
)
@pytest.mark.parametrize("opened", [(), ((0, 1, True),)])
def test_an_array(like: np.ndarray, opened: Any):
    if opened and like.ndim < 2:
        return
    guard = g.ArrayIs(X, like.dtype, like.shape, like.strides, 0, opened)
    code = guarded(guard, commit=["return type(E[0])"])
    worlds: list[World] = [lambda make=make: ((make(),), {}) for make in ARRAYS]
    taken = agree(code, worlds)
    assert taken == {True, False} or (opened and not like.flags.c_contiguous), "some fit"
    native = code.native(((like,), {}))
    for make in ARRAYS:
        takes_no_references(native, ((make(),), {}))


def test_memory_that_is_apart():
    a, b = np.zeros(4), np.zeros(4)
    whole, both = np.zeros(8), tj.zeros(4)
    arrays = [g.ArrayIs(argument(place), a.dtype, (4,), (8,), place) for place in range(2)]
    code = guarded(*arrays, g.MemoryApart(((X, True), (argument(1), True)), 1))
    taken = check(
        code, [the(a, b), the(a, a), the(whole[:4], whole[4:]), the(whole[:4], whole[2:6])]
    )
    assert taken == {True, False}
    guards = [
        g.TensorIs(argument(place), tj.Tensor, both.aval, both.layout, "none", place)
        for place in range(2)
    ]
    code = guarded(*guards, g.MemoryApart(((X, False), (argument(1), False)), 1))
    worlds = [the(tj.zeros(4), tj.zeros(4)), the(both, both), the(tj.asarray(a.astype("f4")), both)]
    assert check(code, worlds) == {True, False}
    for world in worlds:
        holds_nothing(code.native(world()), world)


def test_a_class_that_changes():
    class Changing:
        def method(self) -> None: ...

    method = Changing.__dict__["method"]
    code = guarded(
        g.ClassHas(Changing, "method", method), g.ClassLacks(Changing, ("x",), Changing.__mro__)
    )
    native, python = code.native(((), {})), code.python(((), {}))
    assert (native(), python()) == ("hit", "hit")
    Changing.x = 1  # type: ignore[attr-defined]
    assert (native(), python()) == ("missed", "missed")
    del Changing.x  # type: ignore[attr-defined]
    assert (native(), python()) == ("hit", "hit")
    Changing.method = bare  # type: ignore[method-assign, assignment]
    assert (native(), python()) == ("missed", "missed")


def test_objects_that_have_died():
    class Local: ...

    value = Local()
    code = guarded(g.Is(X, value))
    native = code.native(((value,), {}))
    assert (native(value), native(Local())) == ("hit", "missed")
    taken = [native(None)]
    del value
    taken += [native(None), native(Local())]
    assert taken == ["missed"] * 3


def test_the_harness_tells_values_apart():
    assert outcome(lambda x: [x], ((1,), {})) != outcome(lambda x: [x], ((True,), {}))
    shared: list[Any] = []
    assert outcome(lambda: [shared, shared], ((), {})) != outcome(lambda: [[], []], ((), {}))
    assert Code().python(((1,), {}))(1, 2) == "missed"
