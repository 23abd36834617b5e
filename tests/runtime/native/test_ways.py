"""Machine code of runs and commits does what their lines do in Python, down to the last reference."""

from __future__ import annotations

import gc
import math
import weakref
from collections import deque, namedtuple
from collections.abc import Callable
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.runtime.native.harness import MISSED, Code, World, check, outcome, picture
from tracejit import CompileError
from tracejit.autograd.node import Handle
from tracejit.ops.arguments import number_as
from tracejit.runtime.cpu.native.install import installed
from tracejit.storage import Storage
from tracejit.tracing.replay.translation import Broken

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")


class Plain:
    def __init__(self, **names: Any) -> None:
        self.__dict__.update(names)


class Slotted:
    __slots__ = ("__weakref__", "x")


class Written:
    """Its attributes and items are set by code of its own."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.setdefault("log", []).append((name, value))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__.setdefault("log", []).append((key, value))

    def append(self, value: Any) -> None:
        self.__dict__.setdefault("log", []).append(value)


class Names(dict):  # type: ignore[type-arg]
    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, [value])


class Items(list):  # type: ignore[type-arg]
    def append(self, value: Any) -> None:
        super().append([value])


def storage(version: int = 3) -> Storage:
    made = Storage(tj.float32, 4)
    made.version = version
    return made


def handle() -> Handle:
    return Handle(None, 1)


def inner(a: int, b: int = 2) -> tuple[int, int]:
    return a, b


def loop() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def boom(error: BaseException) -> Any:
    raise error


def closure() -> Any:
    kept = 1

    def function() -> int:
        return kept

    return function


Two = namedtuple("Two", "a b")  # as users write it
NAMES: dict[str, Any] = {
    "K0": object.__setattr__, "K1": setattr, "K2": list, "K3": dict, "K4": set, "K5": deque, "K6": object.__new__,
    "K7": Plain, "K8": Slotted, "K9": tuple.__new__, "K10": MethodType, "K11": FunctionType, "K12": CellType,
    "K13": inner.__code__, "K14": print, "K15": inner, "K16": boom, "K19": math.inf, "K20": math.copysign, "K21": max,
    "K22": 2**70, "K25": Storage, "K30": {"a": 1}.keys(), "K31": Plain.__dict__, "K32": globals(), "K33": Handle, "K34": Two,
    "K35": number_as, "K36": tj.float32, "K37": tj.float64, "K38": tj.float16, "K39": tj.int8,
}  # fmt: skip


def the(*args: Any) -> World:
    return lambda: (args, {})


def made(*makers: Callable[[], Any]) -> World:
    """A world of new objects."""
    return lambda: (tuple(make() for make in makers), {})


def ends(*lines: str) -> Code:
    return Code(commit=[*lines, "return 'done'"], names=NAMES)


def gives(text: str, *lines: str) -> Code:
    return Code(run=lines, commit=[f"return {text}"], names=NAMES)


NUMBERS = [
    the(3, 2), the(2**70, -(2**65)), the(1.5, -0.0), the(True, 2), the(math.nan, 1), the(0, 0), the("a", 2), the(-7, 2),
    the([1], 2), the(np.float32(1.5), 2), the(np.int8(100), np.int8(100)), the(math.inf, 0), the((1,), (2,)),
    the(10**400, 1.0), the(2, None),
]  # fmt: skip
ROUNDED = [
    the(each, 0)
    for each in (
        1e300,
        1e-46,
        -1e-45,
        0.1,
        2**24 + 1,
        2**53 + 1,
        3.4028235677973366e38,
        False,
        -129,
    )
]
SYMBOLS = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!="]

RESULTS: dict[str, tuple[Code, list[World]]] = {
    **{f"a {symbol} b": (gives("E[1]", f"E[1] = (args[0]) {symbol} (args[1])"), NUMBERS) for symbol in SYMBOLS},
    "-a": (gives("E[1]", "E[1] = -(args[0])"), [*NUMBERS]),
    **{
        f"a as {NAMES[name]}": (gives("E[1]", f"E[1] = K35(args[0], {name})"), [*NUMBERS, *ROUNDED])
        for name in ("K36", "K37", "K38", "K39")
    },
    "constants": (gives("(1, -1, 2.5, -0.0, 'text', None, True, (1, (2, 'a')), K19, K22, )"), [the()]),
    "a constant sum": (gives("E[1]", "E[1] = (3) + (args[0])", "E[2] = (E[1]) * (-2)"), NUMBERS),
    "a function of numbers": (gives("E[1]", "E[1] = K21(args[0], 3)", "E[2] = K20(1.0, E[1])"), NUMBERS),
    "a call by name": (gives("K15(args[0], b=args[1])"), [the(1, 2), the([], {})]),
    "a call of too few": (gives("E[0]", "E[0] = K15()"), [the()]),
    "nothing": (gives("None"), [the(), the()]),
    "the argument": (gives("args[0]"), [the(1), the([1]), made(Plain)]),
    "the argument twice": (gives("(args[0], args[0], )"), [the([1]), made(Plain)]),
    "a path": (gives("args[0].x['a'][1]"), [the(Plain(x={"a": [1, 2]})), made(lambda: Plain(x={"a": (1, Plain())}))]),
    "what a function has": (
        gives("E[0]", "E[0] = (args[0].__code__, args[0].__defaults__, )"),
        [the(inner), the(closure()), the(3)],
    ),
    "globals": (gives("K32['inner']"), [the()]),
    "an object's dict": (gives("args[0].__dict__"), [made(Plain), made(lambda: Plain(x=1))]),
    "a class's names": (gives("('x' in K30, 'a' in K30, K31['__init__'], )"), [the()]),
    "parts": (
        Code(commit=["v0, v1, = args[0]", "return (v1, v0, )"], names=NAMES),
        [the([1, 2]), the({"a": 1, "b": 2}), the((1, 2))],
    ),
    "length": (gives("(len(args[0]), )"), [the([1, 2]), the("abc"), the({})]),
    "truth": (gives("(not args[0], not not args[0], )"), [the(1), the(0), the([])]),
    "identity": (
        gives("(args[0] is args[1], args[0] is not args[1], args[0] in args[2], )"),
        [the(1, 1, [1]), the("a", "b", "b")],
    ),
    "comparison in a tuple": (gives("(args[0] < args[1], args[0] == args[1], )"), [the(1, 2), the(math.nan, math.nan)]),
    "a slice": (gives("args[0][:]"), [the([1, 2]), the("abc")]),
    "displays": (gives("([args[0], args[1]], {args[0], args[1]}, [*args[2]], {}, [], )"), [the(1, 2, (3, 4)), the(1, 1, {})]),
    "all at once": (
        gives("(E[0], E[1], )", "E[0], E[1], = args[0], args[1]", "E[0], E[1], = E[1], E[0]"),
        [the(1, 2), the([], {})],
    ),
    "unpacked": (
        gives("(E[0], E[1], )", "E[0], E[1], = args[0]"),
        [the([1, 2]), the({"a": 1, "b": 2}), the([1]), the("ab"), the(3), the((1, 2, 3))],
    ),
    "one unpacked": (gives("E[0]", "E[0], = args[0]"), [the([1]), the([]), the(iter([])), the(((),))]),
    "containers": (
        Code(
            commit=[
                "v0 = K2()", "v1 = K3()", "v2 = K4()", "v3 = K5((), 2)", "v0.append(v1)", "v0.append(v0)", "v1['a'] = v2",
                "v1[(1, )] = args[0]", "v2.add(3)", "v3.append(args[0])", "v3.append(v0)", "v3.append(1)",
                "v4 = frozenset((1, 'a', ))", "v5 = (v0, v3, v4, )", "return v5",
            ],
            names=NAMES,
        ),
        [the(1), made(Plain)],
    ),
    "objects": (
        Code(
            commit=[
                "v0 = K6(K7)", "v0.__dict__['x'] = args[0]", "v0.__dict__['me'] = v0", "v1 = K6(K8)", "K0(v1, 'x', v0)",
                "v2 = K9(K34, (v0, v1, ))", "v3 = K10(K15, v0)", "return (v2, v3, )",
            ],
            names=NAMES,
        ),
        [the(1), made(Plain)],
    ),
    "functions": (
        Code(
            commit=[
                "v0 = K12()", "v1 = K11(K13, K32, None, (args[0], ), None)", "v0.cell_contents = v1", "v1.__dict__['x'] = 3",
                "return v0",
            ],
            names=NAMES,
        ),
        [the(1)],
    ),
    "storages": (
        Code(commit=["v0 = args[0].version", "v1 = (v0, args[0].written, args[0].pending, )", "return v1"], names=NAMES),
        [made(storage), made(lambda: SimpleNamespace(version=1, written=2, pending=3)), the(np.zeros(1))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_a_result(name: str):
    code, worlds = RESULTS[name]
    check(code, worlds)


EFFECTS: dict[str, tuple[Code, list[World]]] = {
    "attribute": (
        ends("K0(args[0], 'x', args[1])", "K0(args[0], 'y', args[1])"),
        [made(Plain, Plain), made(lambda: Plain(x=loop()), lambda: 3), made(Written, Plain)],
    ),
    "attribute of a class": (ends("K1(args[0], 'x', args[1])"), [the(Plain, 1), made(Written, Plain)]),
    "attribute in a slot": (
        ends("s0 = args[0]", "if not (type(s0) is K8): return 1", "s0.x = args[1]", "s0.x = s0"),
        [made(Slotted, Plain)],
    ),
    "gradient": (ends("args[0].grad = args[1]"), [made(handle, Plain), made(Plain, Plain), made(Written, Plain)]),
    "gradient of a handle": (
        ends("s0 = args[0]", "if not (type(s0) is K33): return 1", "s0.grad = args[1]", "s0.grad = 3"),
        [made(handle, Plain)],
    ),
    "item of a dict": (ends("args[0]['a'] = args[1]"), [made(dict, Plain), made(Names, Plain), made(Written, Plain)]),
    "item of a known dict": (
        ends("s0 = args[0]", "if not (type(s0) is K3): return 1", "s0['a'] = args[1]", "s0[(1, 2, )] = s0"),
        [made(dict, Plain)],
    ),
    "item of a list": (ends("args[0][0] = args[1]"), [made(lambda: [1, 2], Plain), made(lambda: [loop()], list)]),
    "append": (
        ends("args[0].append(args[1])"),
        [made(list, Plain), made(Items, Plain), made(deque, Plain), made(Written, Plain)],
    ),
    "append to a known list": (
        ends("s0 = args[0]", "if not (type(s0) is K2): return 1", "s0.append(args[1])", "s0.append(s0)"),
        [made(list, Plain)],
    ),
    "cell": (ends("args[0].cell_contents = args[1]"), [made(CellType, Plain), made(lambda: CellType(loop()), list)]),
    "no item": (ends("args[0].pop('a', None)"), [made(lambda: {"a": [1], "b": 2}), made(dict), made(lambda: Names(a=1))]),
    "refilled list": (
        ends("v0 = K2()", "v0.append(args[1])", "args[0][:] = v0"),
        [made(lambda: [1, 2, 3], Plain), made(loop, Plain), made(Items, Plain)],
    ),
    "refilled dict": (
        ends("v0 = K3()", "v0['a'] = args[1]", "args[0].clear()", "args[0].update(v0)"),
        [made(lambda: {1: 2}, Plain), made(lambda: Names(b=1), Plain)],
    ),
    "refilled deque": (
        ends("v0 = K5()", "v0.append(args[1])", "args[0].clear()", "args[0].extend(v0)"),
        [made(lambda: deque([1]), Plain)],
    ),
    "writes to memory": (
        ends("s0 = args[0]", "s0.version += 2", "s0.written = 'line'", "s0.version += 1"),
        [made(storage), made(lambda: SimpleNamespace(version=1)), made(lambda: storage(2**70))],
    ),
    "writes to known memory": (
        ends("s0 = args[0]", "if not (type(s0) is K25): return 1", "s0.version += 2", "s0.written = s0", "s0.written = None"),
        [made(storage)],
    ),
    "swap": (
        ends("v0 = args[0].x", "v1 = args[1].x", "args[0].x = v1", "args[1].x = v0"),
        [made(lambda: Plain(x=[1]), lambda: Plain(x=[2]))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect(name: str):
    code, worlds = EFFECTS[name]
    check(code, worlds)


def test_print(capsys: pytest.CaptureFixture[str]):
    code = ends("K14(args[0], 'x', sep='-', end='.', )")
    native, python = code.native(((1,), {})), code.python(((1,), {}))
    assert native([1]) == "done"
    shown = capsys.readouterr().out
    python([1])
    assert capsys.readouterr().out == shown == "[1]-x."


# Errors

BEFORE = [
    "E[0] = K16(args[0])",
    "E[0] = (args[1])['a']",
    "E[0] = -(args[1])",
    "E[0], E[1], = args[1]",
]


@pytest.mark.parametrize("line", BEFORE)
def test_an_error_before_the_first_write_is_a_miss(line: str):
    code = Code(run=[line, "args[1].append(1)"], names=NAMES)
    world: World = lambda: ((LookupError("no"), [1, 2, 3]), {})
    assert check(code, [world]) == {False}
    log: list[Any] = []
    assert code.native(world())(ValueError("no"), log) == MISSED
    assert log == []


AFTER = [
    "K16(s0)", "v0 = s1['a']", "v0 = s1.nothing", "s1.nothing = 1", "s2.x = s2.x", "v0 = s3['a']", "v0, v1, = s1",
    "s1[[]] = 1", "v0 = -(s1)", "s1.version += 1", "v0 = len(s2)", "v0 = s1[3]",
    "s3[s1] = 1", "v0 = s2.cell_contents", "v0 = s4.grad",
]  # fmt: skip


KNOWN = [
    f"if not (type({name}) is {kind}): return 1"
    for name, kind in (("s1", "K2"), ("s2", "K8"), ("s3", "K3"))
]
"""After these the classes of some arguments are known."""


def unset() -> Handle:
    return Handle.__new__(Handle)


@pytest.mark.parametrize("line", AFTER)
@pytest.mark.parametrize("is_known", [False, True])
def test_an_error_after_the_first_write_is_told(line: str, is_known: bool):
    reads = [f"s{place} = args[{place}]" for place in range(5)]
    code = Code(
        run=["args[5].append(1)", "E[-1] = True"],
        commit=[*reads, *(KNOWN if is_known else []), line, "return 'done'"],
        names=NAMES,
    )
    world = made(lambda: LookupError("no"), lambda: [1], Slotted, dict, unset, list)
    native = code.native(world())
    assert outcome(native, world()) == outcome(code.python(world()), world())
    with pytest.raises(CompileError, match="code: a replay failed after it had begun") as error:
        native(*world()[0])
    assert isinstance(error.value.__cause__, Exception)
    check(code, [world])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("where", ["enter", "run", "commit"])
def test_what_is_no_ordinary_error_goes_on(kind: type[BaseException], where: str):
    raising = {
        "enter": ["if not (K16(args[0])): return 1"],
        "run": ["E[0] = K16(args[0])"],
        "commit": ["K16(args[0])", "return 1"],
    }
    code = Code(**{"commit": ["return 1"], where: raising[where]}, names=NAMES)
    world = made(kind)
    native = code.native(world())
    with pytest.raises(kind):
        native(*world()[0])
    check(code, [world])


def test_a_guard_that_raises_is_a_miss():
    class Stubborn:
        def __eq__(self, other: object) -> bool:
            raise ArithmeticError

    code = Code(enter=["if not (args[0] == 3): return 1"], names=NAMES)
    assert check(code, [the(3), made(Stubborn), the(4)]) == {True, False}


def test_the_error_of_a_replay_that_broke_has_its_cause():
    error = ValueError("theirs")
    with pytest.raises(CompileError, match="name: a replay failed") as found:
        Broken("name")(error)
    assert found.value.__cause__ is error
    with pytest.raises(KeyboardInterrupt):
        Broken("name")(KeyboardInterrupt())


# What runs while the lines do


class Dying:
    """Does something when it goes."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do

    def __del__(self) -> None:
        self.do()


def test_what_goes_finds_all_done():
    seen: list[Any] = []
    code = ends(
        "s0 = args[0]",
        "if not (type(s0) is K8): return 1",
        "s0.x = args[1]",
        "args[2].append(args[1])",
    )
    for call in (
        code.native(made(Slotted, list, list)()),
        code.python(made(Slotted, list, list)()),
    ):
        held, log = Slotted(), []
        held.x = Dying(lambda held=held, log=log: seen.append((held.x, log.copy())))
        call(held, 1, log)
        assert (held.x, log) == (1, [1])
    first, second = seen
    assert first[0] == second[0] == 1


def test_what_was_read_stays_though_its_owner_lets_go():
    """The old value of an attribute takes a function's defaults away when it goes."""

    def function(a: Any = "a", b: Any = "b") -> None: ...

    expected = ["a", "b"]
    code = Code(
        commit=[
            "s0 = args[0]",
            "if not (type(s0) is K11): return 1",
            "s1 = s0.__defaults__",
            "K0(args[1], 'x', None)",
            "return s1",
        ],
        names=NAMES,
    )
    native = code.native(((function, Plain()), {}))
    for _ in range(50):
        function.__defaults__ = tuple(expected)
        holder = Plain(x=Dying(lambda: setattr(function, "__defaults__", None)))
        found = native(function, holder)
        others = [tuple(range(2)) for _ in range(100)]
        assert [*found] == expected
        del others


def test_arguments_die_with_the_call():
    code = gives("(args[0], )")
    native = code.native(((1,), {}))
    value = Plain()
    ref = weakref.ref(value)
    result = native(value)
    del value
    assert ref() is result[0]
    del result
    gc.collect()
    assert ref() is None


def test_keywords_are_told_apart():
    code = Code(
        commit=["return (args[0], kwargs['b'], kwargs['a'], )"],
        enter=["if not (kwargs['a'] == 1): return 1"],
    )
    worlds: list[World] = [lambda: (([],), {"b": [2], "a": 1}), lambda: (([],), {"b": 1, "a": 2})]
    assert check(code, worlds) == {True, False}
    native = code.native(worlds[0]())
    assert native(1, a=1, b=2) == MISSED, "the order is another"
    assert native(1, b=2, c=1) == MISSED
    assert native(1, b=2) == MISSED
    assert native(b=2, a=1) == MISSED


def test_pictures_tell_shared_parts():
    part: list[Any] = []
    assert picture([part, part]) != picture([[], []])
    assert picture(loop()) == picture(loop())
