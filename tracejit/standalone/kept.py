"""What an artifact keeps from call to call: one state, whatever the sizes of the calls are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._errors import at_user_line
from tracejit._gate import late
from tracejit.standalone.given import array_of, is_tensor
from tracejit.standalone.homes import CPU, array_in
from tracejit.standalone.records import NumberState, State

if TYPE_CHECKING:
    from tracejit.standalone.homes import Home


class Kept:
    """values   by slot, as they are at any time
    locks    of whoever changes them: the one that there is
    taker    what calls of several sizes come to, which is offered machine code for each of them
    """

    __slots__ = ("home", "locks", "states", "taker", "values")

    def __init__(
        self, states: Iterable[State], tensors: Mapping[str, np.ndarray], home: Home
    ) -> None:
        self.home = home
        self.states = {each.name: each for each in states}
        self.values: dict[int, Any] = {
            each.slot: _initial(each, tensors, home)
            for each in self.states.values()
            if isinstance(each, NumberState) or each.is_read
        }
        self.locks = [threading.Lock()]
        self.taker: Callable[[], Any] = _nobody

    def offer(self, way: Any) -> None:
        taker = self.taker()
        if taker is not None:
            taker.take_way(way)

    def renew_lock(self) -> None:
        """In a child process: whoever held it is a thread of the parent's."""
        self.locks[0] = threading.Lock()


def _nobody() -> None:
    return None


class Keeping:
    """What keeps a state, which can be read and set."""

    __name__: str
    _kept: Kept

    def state_dict(self) -> dict[str, Any]:
        """Copies of the tensors, and the numbers, that the function keeps, by name; without those that no call has set yet."""
        kept = self._kept
        with kept.locks[0]:
            return {
                name: _shown(state, kept.values[state.slot], kept.home)
                for name, state in kept.states.items()
                if state.slot in kept.values
            }

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Takes over copies of what `state_dict()` gave, or, where something does not fit, nothing.

        RuntimeError names what differs: a dtype, a shape, a type, or with `strict` a name that is missing or not known.
        """
        kept = self._kept
        faults: list[str] = []
        new: dict[int, Any] = {}
        for name, value in state_dict.items():
            state = kept.states.get(name)
            if state is None:
                faults += [f"unexpected: {name}"] if strict else []
                continue
            fault, taken = _taken(state, value, kept.home)
            faults += [fault] if fault else []
            new[state.slot] = taken
        if strict:
            needed = (each for each in kept.states.values() if each.slot in kept.values)
            faults += [f"missing: {each.name}" for each in needed if each.name not in state_dict]
        if faults:
            listed = "".join(f"\n    {fault}" for fault in faults)
            message = f"error(s) in loading state_dict for {self.__name__}:{listed}"
            raise RuntimeError(at_user_line(message))
        with kept.locks[0]:
            kept.values.update(new)


def _initial(state: State, tensors: Mapping[str, np.ndarray], home: Home) -> Any:
    return state.value if isinstance(state, NumberState) else home.sent(tensors[state.name])


def _shown(state: State, value: Any, home: Home) -> Any:
    if isinstance(state, NumberState):
        return value
    memory = late("tracejit.standalone.results").dense(state.dtype, state.shape)
    if state.is_array:
        return array_in(CPU.copied(value), memory)
    copy, tensor_of = home.copied(value), late("tracejit.standalone.tensors").tensor_of
    return tensor_of(copy, memory, device=home.device)


def _taken(state: State, value: Any, home: Home) -> tuple[str, Any]:
    """What does not fit, and the value as the state holds it."""
    if isinstance(state, NumberState):
        kind = type(value).__name__
        fits = (
            kind == state.type if state.type else type(value) in (type(None), bool, int, float, str)
        )
        return ("" if fits else f"{state.name} is of type {state.type}, not {kind}"), value
    array = array_of(value) if is_tensor(value) else np.asarray(value)
    given, wanted = (array.dtype.name, array.shape), (state.dtype, state.shape)
    if given != wanted:
        return f"{state.name} is {wanted[0]}{[*wanted[1]]}, not {given[0]}{[*given[1]]}", None
    return "", home.sent(array)
