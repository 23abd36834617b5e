"""Calls as one Python function: the lines of the records, compiled.

    def call(args, kwargs):
        if kwargs or len(args) != 1: return LEFT
        E = [None] * 3
        a0 = args[0]
        if type(a0) is ndarray and a0.dtype is d5 and a0.shape == (4,) and a0.flags.num & 257 == 257:
            E[0] = at(a0)
        else:
            ...  # a tensor, or LEFT
        E[1], = run6((E[0], ), (k7, k8, ))
        result = E[1]
        return result

It takes arrays that lie as programs read them, numbers of the right type, and tensors of the right kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._config import config
from tracejit._gate import late
from tracejit._native.arrays import reader
from tracejit.ir.aval import Aval, aval
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.native.lines import ArrayKind, Lines
from tracejit.runtime.program import Program, Space
from tracejit.standalone.given import LEFT, Quick, is_tensor
from tracejit.standalone.homes import CPU
from tracejit.standalone.phrasing import Unfit
from tracejit.standalone.records import ArrayArgument, Call, Run
from tracejit.standalone.walk import Walk, kinds_of
from tracejit.standalone.ways import has_loops

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.homes import Home

SMALL = 1 << 14
"""Bytes up to which a result's memory is NumPy's: larger ones are the pool's, and may be written past the caches."""
KEPT = 1 << 16
"""Bytes up to which a workspace is kept from call to call."""
_FILE = f"{__file__}: call"
"""Where errors find the code: it is the library's own, not the user's."""


def quick_call(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    values: dict[int, Any],
    home: Home,
) -> Quick | None:
    """The call as one function, which leaves what it does not do; None if that is all.

    `values` are those of the state by slot, as they are at any time. Calls that change them take turns.
    """
    if home is CPU:
        return _compiled(_ForPython(call, programs, constants, values))
    of, walk = (
        (call, programs, constants, values, home),
        late("tracejit.standalone.remote").RemoteWalk,
    )
    made = [_compiled(walk(*of, of_tensors)) for of_tensors in kinds_of(call)]
    return _first_of([each for each in made if each is not None])


def _first_of(made: list[Quick]) -> Quick | None:
    """What has a call taken by the first that does not leave it."""
    if len(made) < 2:
        return made[0] if made else None
    first, second = made

    def call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        result = first(args, kwargs)
        return second(args, kwargs) if result is LEFT else result

    return call


def _compiled(walk: Walk) -> Quick | None:
    if has_loops(walk.call):
        return None
    try:
        lines = walk.lines()
    except Unfit:
        return None
    head = [
        "def call(args, kwargs):",
        f"if kwargs or len(args) != {walk.given}: return LEFT",
        f"E = [None] * {walk.slots + 1}",
    ]
    names = walk.names | {"LEFT": LEFT, "tensor_at": _tensor_at}
    exec(compile("\n ".join((*head, *_text(lines))), _FILE, "exec"), names)
    made: Quick = names["call"]
    return made


def _text(lines: Lines) -> Iterator[str]:
    """A stretch, and those that it leads on to."""
    yield from (*lines.enter, *lines.run, *lines.commit)
    for outcome, ways in lines.following:
        yield f"if E[{lines.decision}]:" if outcome == (bool, True) else "else:"
        for way in ways:
            yield from (f" {line}" for line in _text(way))
        if not ways:
            yield " return LEFT"


class _ForPython(Walk):
    def memory(self, name: str, argument: ArrayArgument) -> None:
        wanted = self.name("v", aval(dtypes.as_dtype(argument.dtype), argument.shape))
        self.enter += [
            f"if {' and '.join(self.array_tests(name, argument))}:",
            f" E[{argument.slot}] = at({name})",
            "else:",
            f" held_{name} = tensor_at({name}, {wanted})",
            f" if held_{name} is None: return LEFT",
            f" E[{argument.slot}] = held_{name}[1]",
        ]
        self.places[argument.slot] = f"E[{argument.slot}]"

    def runner(self, program: Program, step: Run) -> Any:
        return _Runs(program, [self.arrays.get(slot) for slot in step.outputs]).run

    def over(self, updates: list[str], result: str) -> list[str]:
        return [f"result = {result}", *updates, "return result"]


def _tensor_at(value: object, wanted: Aval) -> tuple[Buffer, int] | None:
    """The memory of a tensor of this kind whose elements lie in order, and where they begin; gradients do not go to it."""
    if not is_tensor(value) or value.aval is not wanted:
        return None
    library = late("tracejit.standalone.tensors")
    found = library.memory_of(value)
    if found is None or library.is_tied(value):
        return None
    buffer, offset = found
    return buffer, buffer.address + offset


class _Runs:
    """Runs of a program, of which some outputs are to be arrays, in workspaces that are kept if they are small."""

    def __init__(self, program: Program, arrays: Sequence[ArrayKind | None]) -> None:
        self._program = program
        self._outputs = [*map(_output, program.output_bytes, arrays)]
        self._spaces: list[Space] = []

    def run(self, places: tuple[int, ...], scalars: tuple[Any, ...]) -> list[Any]:
        outputs = []
        for make, address_of in self._outputs:
            made = make()
            places += (address_of(made),)
            outputs.append(made)
        try:
            space = self._spaces.pop()
        except IndexError:
            space = self._program.space()
        if space.epoch != config.epoch:
            space = self._program.space()
        self._program.fill(space, places, scalars)
        if space.buffer.nbytes <= KEPT:
            self._spaces.append(space)
        return outputs


def _output(nbytes: int, kind: ArrayKind | None) -> tuple[Callable[[], Any], Callable[[Any], int]]:
    """What makes the memory of an output, and what tells its address."""
    if kind is None:
        return partial(_allocate, nbytes), attrgetter("address")
    shape = kind.shape((), nbytes)
    assert shape is not None
    if nbytes <= SMALL:
        return partial(np.empty, shape, kind.dtype), reader()
    return lambda: _allocate(nbytes).array(kind.dtype, shape), reader()


def _allocate(nbytes: int) -> Buffer:
    return Buffer.allocate(nbytes)  # which native code may have put something else in the place of
