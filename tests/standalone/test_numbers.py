"""Machine code computes with Python's numbers as Python does, or fails: never another number."""

from __future__ import annotations

import contextlib
import ctypes
import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracejit import portable
from tracejit._errors import ExportError
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.link import link
from tracejit.standalone.functions import FUNCTIONS
from tracejit.standalone.machine.bodies import call_code
from tracejit.standalone.machine.frame import frame_of
from tracejit.standalone.machine.numbers import FUNCTIONS as NATIVE
from tracejit.standalone.machine.steps import Placed
from tracejit.standalone.machine.writer import Kind
from tracejit.standalone.records import (
    Body,
    Call,
    Compute,
    Finish,
    Known,
    NumberArgument,
    NumberResult,
    Operand,
    Parameter,
    Require,
    Slot,
    Step,
)

TYPES = {"int": int, "float": float}
_KINDS = {int: "integer", float: "real"}


class Code:
    """The machine code of steps with numbers for arguments, the last of which fills the slot that is returned."""

    def __init__(self, kinds: tuple[str, ...], steps: tuple[Step, ...], slots: int) -> None:
        parameters = tuple(
            Parameter(f"n{number}", False, NumberArgument(number, kind))
            for number, kind in enumerate(kinds)
        )
        result = slots - 1
        end = Finish((), NumberResult(Slot(result)))
        call = Call(slots, parameters, (), Body(steps, end))
        self.frame = frame_of(call, (), {})
        code = call_code(f"numbers_{id(self)}", call, (), self.frame, Placed({}, ()), "f.py:1")
        self.failures, self.source = code.failures, code.source
        self.kind = code.kinds[result]
        self.result = self.frame.slots + result
        self.address = 0

    def __call__(self, *numbers: float) -> Any:
        """The number, or the name of what failed."""
        words = np.zeros(self.frame.words, np.int64)
        for slot, number in enumerate(numbers):
            kind = np.float64 if type(number) is float else np.int64
            words[self.frame.cells[slot] :][:1].view(kind)[0] = number
        status = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.address)(words.ctypes.data)
        if status:
            return self.failures[status - 1].why.value
        word = words[self.result :][:1]
        if self.kind is Kind.FLOAT:
            return float(word.view(np.float64)[0])
        return bool(word[0]) if self.kind is Kind.BOOL else int(word[0])


def load(codes: list[Code]) -> None:
    """All in one module, so that they are compiled at once."""
    sources = [code.source for code in codes]
    level = portable.level_of(None)
    objects = portable.objects_of(sources, level)
    addresses = link(objects)
    for code in codes:
        code.address = addresses[code.source.name]


def single(function: str, kinds: tuple[str, ...]) -> Code:
    operands: tuple[Operand, ...] = tuple(Slot(number) for number in range(len(kinds)))
    step = Compute(len(kinds), function, operands, None, "f.py:1")
    return Code(kinds, (step,), len(kinds) + 1)


INTS = [
    0,
    1,
    -1,
    2,
    -3,
    7,
    62,
    63,
    64,
    -64,
    100,
    2**31,
    -(2**53),
    2**53 + 1,
    2**62,
    2**63 - 1,
    -(2**63),
]
FLOATS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 1e-320, 7.25, -7.25, 1e16, 1e300, -1e300, 2.0**53, 2.0**63,
    -(2.0**63), math.inf, -math.inf, math.nan, math.pi, 709.9, -745.2, 0.1, 3e38, 1e39,
]  # fmt: skip
NUMBERS = {"int": INTS, "float": FLOATS}

UNARY = [
    name
    for name in NATIVE
    if name.startswith(("math.", "number_as."))
    and name
    not in (
        "math.atan2",
        "math.copysign",
        "math.fmod",
        "math.nextafter",
        "math.remainder",
        "math.pow",
    )
] + [f"operator.{name}" for name in "neg pos abs not_ truth invert".split()]
UNARY += [f"builtins.{name}" for name in "abs bool float int round".split()]
BINARY = sorted({*NATIVE} - {*UNARY}) + ["math.log", "math.hypot", "builtins.round"]


def takes_forever(function: str, pair: tuple[Any, ...]) -> bool:
    """Whether Python makes an int of very many digits."""
    if function == "builtins.round":
        return type(pair[0]) is int and pair[1] < -400
    return function.endswith(("pow", "shift")) and type(pair[1]) is int and pair[1] > 200


def expected(function: str, operands: tuple[Any, ...]) -> Any:
    """What Python gives; None where it raises."""
    try:
        return FUNCTIONS[function](*operands)
    except (ArithmeticError, ValueError, TypeError):
        return None


def told(function: str, operands: tuple[Any, ...], found: Any, code: Code) -> None:
    """Fails where what machine code gives is not Python's."""
    wanted = expected(function, operands)
    kind = {Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool}[code.kind]
    what = f"{function}{operands}: {found!r}, and in Python {wanted!r}"
    if wanted is None:
        assert isinstance(found, str), what
    elif found == "overflow":
        is_wide = type(wanted) is int and not -(2**63) <= wanted < 2**63
        is_exact = any(type(each) is int and abs(each) > 2**53 for each in operands)
        assert is_wide or is_exact, what
    elif found == "changed" or type(wanted) is not kind:
        assert type(wanted) is not kind, what
        assert isinstance(found, str), what
    else:
        assert repr(found) == repr(wanted), what


def codes_of(functions: list[str], count: int) -> dict[tuple[str, tuple[str, ...]], Code]:
    found = {}
    for function, kinds in product(functions, product(NUMBERS, repeat=count)):
        with contextlib.suppress(ExportError):
            found[function, kinds] = single(function, kinds)
    load([*found.values()])
    return found


@pytest.fixture(scope="module")
def unary() -> dict[tuple[str, tuple[str, ...]], Code]:
    return codes_of(UNARY, 1)


@pytest.fixture(scope="module")
def binary() -> dict[tuple[str, tuple[str, ...]], Code]:
    return codes_of(BINARY, 2)


def test_every_function_is_tried() -> None:
    assert {*UNARY, *BINARY} == NATIVE.keys()
    assert NATIVE.keys() <= FUNCTIONS.keys()


def test_functions_of_one_number(unary: Any) -> None:
    assert len(unary) > 80
    for (function, kinds), code in unary.items():
        for number in NUMBERS[kinds[0]]:
            told(function, (number,), code(number), code)


def test_functions_of_two_numbers(binary: Any) -> None:
    assert len(binary) > 60
    for (function, kinds), code in binary.items():
        for pair in product(*(NUMBERS[kind] for kind in kinds)):
            if not takes_forever(function, pair):
                told(function, pair, code(*pair), code)


@given(st.data())
def test_any_numbers(binary: Any, data: st.DataObject) -> None:
    (function, kinds), code = data.draw(st.sampled_from([*binary.items()]))
    draws = {"int": st.integers(-(2**63), 2**63 - 1) | st.integers(-50, 50), "float": st.floats()}
    pair = tuple(data.draw(draws[kind]) for kind in kinds)
    if not takes_forever(function, pair):
        told(function, pair, code(*pair), code)


@given(
    st.floats(width=64)
    | st.floats(-1e5, 1e5)
    | st.floats(-1e-4, 1e-4)
    | st.integers(-(2**15), 2**15).map(lambda n: n * 2.0**-25)
)
def test_floats_are_rounded_once(unary: Any, number: float) -> None:
    for name in ("float16", "bfloat16", "float32"):
        function = f"number_as.{name}"
        code = unary[function, ("float",)]
        told(function, (number,), code(number), code)


SCALED = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-1100, 1024))
"""Floats of all sizes, and subnormal ones."""
PLAIN = st.floats(-250, 250) | st.floats(-6, 6) | st.floats(0, 1e-18)


@given(
    st.lists(SCALED | st.floats(), min_size=2, max_size=2) | st.lists(PLAIN, min_size=2, max_size=2)
)
def test_hypot_of_two(binary: Any, pair: list[float]) -> None:
    code = binary["math.hypot", ("float", "float")]
    told("math.hypot", tuple(pair), code(*pair), code)


@pytest.fixture(scope="module")
def of_three() -> Code:
    code = single("math.hypot", ("float",) * 3)
    load([code])
    return code


@given(st.tuples(SCALED, SCALED, SCALED) | st.tuples(PLAIN, PLAIN, PLAIN))
def test_hypot_of_three(of_three: Code, numbers: tuple[float, ...]) -> None:
    told("math.hypot", numbers, of_three(*numbers), of_three)


@given(PLAIN | SCALED)
def test_gamma_functions(unary: Any, number: float) -> None:
    for function in ("math.gamma", "math.lgamma"):
        code = unary[function, ("float",)]
        told(function, (number,), code(number), code)


TIES = st.builds(
    lambda n, digits: n / 2 * 10.0**-digits, st.integers(-(10**6), 10**6), st.integers(-25, 25)
)
"""Numbers that lie between two decimals, or as near as floats do."""


@given(TIES | SCALED | st.floats(-1e6, 1e6), st.integers(-25, 25) | st.integers(-330, 330))
def test_floats_are_rounded_to_decimals(binary: Any, number: float, digits: int) -> None:
    code = binary["builtins.round", ("float", "int")]
    told("builtins.round", (number, digits), code(number, digits), code)


@given(
    st.integers(-(2**63), 2**63 - 1) | st.integers(-2000, 2000).map(lambda n: 5 * n),
    st.integers(-25, 3),
)
def test_ints_are_rounded_to_tens(binary: Any, number: int, digits: int) -> None:
    code = binary["builtins.round", ("int", "int")]
    told("builtins.round", (number, digits), code(number, digits), code)


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        ("math.gcd", ("int", "int")),
        ("math.isqrt", ("int",)),
        ("builtins.round", ("float", "float")),
        ("builtins.max", ("float", "int")),
        ("operator.and_", ("float", "int")),
        ("number_as.int32", ("float",)),
    ],
)
def test_what_is_not_done_without_python_is_refused(function: str, kinds: tuple[str, ...]) -> None:
    assert function in FUNCTIONS
    with pytest.raises(ExportError, match=r"^f\.py:1: export: for C: "):
        single(function, kinds)


def test_known_numbers_of_more_than_64_bits_are_refused() -> None:
    step = Compute(1, "operator.add", (Slot(0), Known(2**63)), None, "f.py:3")
    with pytest.raises(ExportError, match=r"^f\.py:3: .* more than 64 bits"):
        Code(("int",), (step,), 2)


def test_a_number_of_another_type_than_was_recorded_is_refused() -> None:
    step = Compute(1, "operator.truediv", (Slot(0), Known(2)), "int", "f.py:3")
    with pytest.raises(
        ExportError, match=r"^f\.py:3: .*truediv gave an? int, and gives an? float here"
    ):
        Code(("int",), (step,), 2)


@pytest.mark.parametrize(
    ("kind", "wanted", "held", "broken"),
    [
        ("int", 3, [3], [2, -3]),
        ("float", 0.0, [0.0], [-0.0, 1.0, math.nan]),
        ("float", math.nan, [math.nan, -math.nan], [0.0, math.inf]),
        ("int", 1.0, [], [1]),
    ],
)
def test_what_was_decided_has_to_come_out_again(
    kind: str, wanted: Any, held: list[Any], broken: list[Any]
) -> None:
    same = Compute(1, "operator.pos", (Slot(0),), None, "")
    code = Code((kind,), (Require(0, wanted, "n", "f.py:7"), same), 2)
    load([code])
    assert all(repr(code(each)) == repr(each) for each in held)
    assert all(code(each) == "changed" for each in broken)
    assert code.failures[0].text.startswith("f.py:7: n was ")


def test_sources_are_plain_text() -> None:
    source = single("operator.add", ("int", "int")).source
    assert isinstance(source, KernelSource)
    assert "Py" not in source.text
