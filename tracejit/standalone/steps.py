"""Calls by their steps, one by one: what takes all of them. It is made when a call comes that nothing quicker takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.standalone.binding import Binder
from tracejit.standalone.given import Slots, is_tensor
from tracejit.standalone.homes import array_in
from tracejit.standalone.records import Call, Memory, Raise
from tracejit.standalone.results import builder_of
from tracejit.standalone.running import runner_of
from tracejit.standalone.updates import updater_of
from tracejit.standalone.ways import ways_of

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.homes import Home
    from tracejit.standalone.loops import Rounds


@dataclass(frozen=True, slots=True)
class _End:
    """What is done at the end of a way: the result, or the exception, is built, and the state becomes another."""

    build: Callable[[Slots, Mapping[int, Any]], Any]
    update: Callable[[Slots, Mapping[int, Any]], dict[int, Any]]
    is_error: bool


class Steps:
    """Makes calls; `rounds` goes round their loops, and without it Python does."""

    def __init__(
        self,
        call: Call,
        programs: Sequence[AnyProgram],
        constants: Mapping[str, np.ndarray],
        home: Home,
        rounds: Rounds | None,
        name: str,
    ) -> None:
        self._name = name
        self._count = call.slots
        self._home = home
        self._bind = Binder(call, home)
        ends = [
            _End(builder_of(way, home), updater_of(call, way, home), isinstance(way.end, Raise))
            for way in ways_of(call)
        ]
        self._run = runner_of(call, programs, constants, ends, home)
        if rounds is not None:
            self._run = rounds.runner(ends, self._run)

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], values: dict[int, Any]
    ) -> tuple[Any, bool]:
        """The result, or the exception that is to be raised, and whether it is one. `values` are those of the state by slot, and
        become what the call makes of them."""
        slots: Slots = [None] * self._count
        given = self._bind(slots, args, kwargs)
        for slot, value in values.items():
            slots[slot] = value
        end = self._run(slots)
        result = end.build(slots, given)
        values.update(end.update(slots, given))
        if not end.is_error:
            self._tie(result, given)
        return result, end.is_error

    def of_arrays(
        self, arrays: Mapping[int, np.ndarray], values: Mapping[int, Any], result: Memory
    ) -> np.ndarray:
        """The result of a call that only computes; the arrays are those of its arguments by slot."""
        slots: Slots = [None] * self._count
        for slot, array in arrays.items():
            slots[slot] = self._home.wrapped(array) or self._home.sent(array)
        for slot, value in values.items():
            slots[slot] = value
        self._run(slots)
        return array_in(slots[result.slot], result)

    def _tie(self, result: Any, given: Mapping[int, Any]) -> None:
        """Gradients do not go through the call, which whoever asks for one is to know."""
        tensors = [each for each in given.values() if is_tensor(each)]
        if tensors:
            library = late("tracejit.standalone.tensors")
            tied = [each for each in tensors if library.is_tied(each)]
            if tied:
                library.tie(result, tied, self._name)
