"""Calls as machine code: the lines of the records, of which ways are made as they are of recordings.

A call on the CPU that changes a state looks first whether it is another's turn. From there until all is changed no other call
comes in between: no Python runs, the interpreter's lock is kept, nothing is made that would have garbage be collected, and what
the state was before is held. On a GPU Python takes the turn, and then calls machine code.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._gate import late
from tracejit._native.arrays import reader
from tracejit._records import replace
from tracejit.artifact import KernelSource
from tracejit.portable import have_runner, runner_source
from tracejit.runtime.cpu.native import arrays, numbers
from tracejit.runtime.cpu.native.objects import native_source
from tracejit.runtime.cpu.native.runs import can_run
from tracejit.runtime.cpu.native.values import Kind, Value
from tracejit.runtime.cpu.native.ways import Language, Ways, way_of
from tracejit.runtime.cpu.native.ways import Way as NativeWay
from tracejit.runtime.program import Program, RemoteProgram
from tracejit.standalone import phrases
from tracejit.standalone.check import updated_state
from tracejit.standalone.functions import FUNCTIONS, rounding_to
from tracejit.standalone.homes import CPU
from tracejit.standalone.phrasing import Unfit
from tracejit.standalone.records import ArrayArgument, Call, Element, NumberState, Run, Slot, Step
from tracejit.standalone.walk import Walk, kinds_of

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.homes import Home

__all__ = ["Ways", "kinds_of", "sources_for", "texts_of", "way_of_call"]


def way_of_call(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    values: dict[int, Any],
    locks: list[threading.Lock],
    home: Home,
    *,
    of_tensors: bool,
    wants: Callable[[KernelSource], bool],
) -> NativeWay | None:
    """Calls as machine code; None for those that it does not take, and where the text is not wanted.

    values       those of the state by slot, as they are at any time
    locks        of whoever changes the state: the one that there is. On a GPU the caller holds it, if the state changes
    of_tensors   whether what is a tensor to the function is to be one; else all are arrays
    """
    walk: Walk
    if home is CPU:
        walk = _ForCode(call, programs, constants, values, locks, of_tensors)
    else:
        of = call, programs, constants, values, home, of_tensors
        walk = late("tracejit.standalone.remote").RemoteWalk(*of)
    try:
        lines = walk.lines()
    except Unfit:
        return None
    return way_of(
        lines,
        walk.names,
        positional=walk.given,
        keywords=(),
        arrays=walk.arrays,
        on_break=_raise,
        language=_language(walk),
        wants=wants,
    )


def sources_for(home: Home) -> list[KernelSource]:
    """What all native code for a device needs. Programs of the CPU have brought what runs launches."""
    if home is CPU:
        return [native_source()]
    return [native_source(), late("tracejit.runtime.cuda.native").device_source(), runner_source()]


def is_ready(
    home: Home, objects: Mapping[str, bytes], is_at_hand: Callable[[KernelSource], bool]
) -> bool:
    """Whether all of that is there, or now is."""
    if home is CPU:
        return is_at_hand(native_source())
    device_source = late("tracejit.runtime.cuda.native").device_source
    return have_runner(objects) and is_at_hand(native_source()) and is_at_hand(device_source())


def texts_of(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    home: Home = CPU,
) -> list[KernelSource]:
    """What is compiled for the calls, with what all native code needs; nothing where it is not used, or takes none."""
    found: list[KernelSource] = []

    def noted(source: KernelSource) -> bool:
        found.append(source)
        return False

    for of_tensors in kinds_of(call):
        way_of_call(call, programs, constants, {}, [], home, of_tensors=of_tensors, wants=noted)
    return [*sources_for(home), *found] if found else []


def _raise(error: BaseException) -> None:
    raise error


class _ForCode(Walk):
    def __init__(
        self,
        call: Call,
        programs: Sequence[AnyProgram],
        constants: Mapping[str, np.ndarray],
        values: dict[int, Any],
        locks: list[threading.Lock],
        of_tensors: bool,
    ) -> None:
        super().__init__(call, programs, constants, values)
        self.names["locks"] = locks
        self.of_tensors = of_tensors
        self.changes = bool(updated_state(call, [each.plan for each in programs]))
        """Whether calls change the state."""

    @property
    def is_plain(self) -> bool:
        return not self.of_tensors and "tensor" not in self.names

    def begin(self) -> None:
        if self.changes:
            self.enter.append("if locks[0].locked(): return LEFT")
            for state in self.call.state:
                if not isinstance(state, NumberState) and not state.is_read:
                    self.hold(state.slot)

    def memory(self, name: str, argument: ArrayArgument) -> None:
        slot = argument.slot
        if self.of_tensors and not argument.is_array:
            self.tensor(name, argument)
        else:
            for test in self.array_tests(name, argument):
                self.unless(self.enter, test)
            self.enter.append(f"E[{slot}] = at({name})")
            self.places[slot] = f"E[{slot}]"

    def step(self, step: Step) -> None:
        if isinstance(step, Element) and step.memory.dtype not in numbers.ELEMENTS:
            self.ask_python()
        super().step(step)

    def function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if function not in _roundings() and not isinstance(function, BuiltinFunctionType | type):
            self.ask_python()
        return function

    def ask_python(self) -> None:
        """Python's own code is to run."""
        if self.changes:
            raise Unfit

    def check_program(self, program: Program, step: Run) -> None:
        is_late = self.has_written and any(isinstance(each, Slot) for each in step.scalars)
        if not can_run(program) or (self.changes and program.is_long) or is_late:
            raise Unfit

    def runner(self, program: Program, step: Run) -> Any:
        return program.run

    def over(self, updates: list[str], result: str) -> list[str]:
        """The result comes last: memory is asked for it."""
        return [*updates, f"return {result}"]


# What is written out. Values in, value out; None where a call is to be an ordinary one.


def _at(code: Any, given: list[Value]) -> Value | None:
    (array,) = given
    if code.class_of(array) is not np.ndarray:
        return None
    return Value(Kind.INTEGER, arrays.data(code, array.text))


def _element(code: Any, given: list[Value]) -> Value | None:
    address, dtype = given
    return numbers.element_at(code, code.as_integer(address), dtype.constant.name)


def _are_within(code: Any, given: list[Value]) -> Value:
    address = code.as_integer(given[0])
    dtype, count, base, size = (each.constant for each in given[1:])
    found = arrays.in_range(code, address, str(count), dtype.itemsize, base, base + size)
    return Value(Kind.TRUTH, found)


def _copied(code: Any, given: list[Value]) -> Value:
    address, nbytes = given
    source = code.pointer(code.as_integer(address))
    made: str = code.new_buffer(str(nbytes.constant))
    target = code.pointer(code.address_in(made))
    code.call("llvm.memcpy.p0.p0.i64", target, source, str(nbytes.constant), "false")
    return Value(Kind.OBJECT, made)


def _put(code: Any, given: list[Value]) -> Value:
    values, *pairs = map(code.as_object, given)
    for slot, value in zip(pairs[::2], pairs[1::2]):
        code.succeeded(code.call("PyDict_SetItem", values, slot, value))
    nothing: Value = code.constant(None)
    return nothing


@cache
def _roundings() -> dict[Any, Callable[[Any, list[Value]], Value | None]]:
    """Of functions that round numbers."""

    def rounded(dtype: str, code: Any, given: list[Value]) -> Value | None:
        return numbers.number_as(code, given[0], dtype)

    return {
        FUNCTIONS[rounding_to(dtypes.as_dtype(each))]: partial(rounded, each)
        for each in sorted(numbers.ROUNDED)
    }


@cache
def _plain() -> Language:
    """Without tensors."""
    return Language(
        intrinsics={
            reader(): _at,
            phrases.element: _element,
            phrases.are_within: _are_within,
            phrases.copied: _copied,
            phrases.put: _put,
            **_roundings(),
        },
        hints={},
        equal=(),
        equalities={},
        parts={},
        resized={},
        run_at=None,
    )


@cache
def _with_tensors() -> Language:
    """Loaded where there are any."""
    whole: Language = late("tracejit.tracing.replay.translation").language()
    storage_over = whole.intrinsics[late("tracejit.tracing.replay.templates").storage_over]
    make = whole.intrinsics[late("tracejit.tensor").make]

    def tensor_over(code: Any, given: list[Value]) -> Value | None:
        buffer, dtype, size, layout, known = given
        storage = storage_over(code, [dtype, size, buffer, code.constant(0)])
        made: Value | None = make(code, [storage, layout, known, code.constant(None)])
        return made

    own = {late("tracejit.standalone.tensors").tensor_over: tensor_over}
    return replace(whole, intrinsics={**whole.intrinsics, **_plain().intrinsics, **own})


def _language(walk: Walk) -> Language:
    if walk.is_plain:
        return _plain()
    found = _with_tensors()
    natives = (each.native() for each in walk.programs if isinstance(each, RemoteProgram))
    native = next((each for each in natives if each is not None), None)
    if native is None:
        return found

    def twin(code: Any, given: list[Value]) -> Value:
        source = code.as_integer(code.attribute(given[0], "address"))
        made: Value = code.remote_twin(native, source, given[1].constant)
        return made

    return replace(found, intrinsics={**found.intrinsics, walk.names["twin"]: twin})
