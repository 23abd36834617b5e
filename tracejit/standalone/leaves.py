"""The end of a recorded call, kept until all ways are known: values by the slots of their recording, as they go with the call."""

from __future__ import annotations

from types import FunctionType
from typing import Any, NoReturn

from tracejit._errors import ExportError
from tracejit._records import dataclass
from tracejit.ops.op import Layout
from tracejit.standalone.arguments import Given, is_tensor
from tracejit.standalone.functions import ERRORS
from tracejit.standalone.reads import ATOMS
from tracejit.symbols import SYMBOLS, concrete
from tracejit.tensor import Tensor
from tracejit.tracing.replay.finish import last_effects
from tracejit.tracing.replay.hooks.library import is_library
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.writes import EffectOf
from tracejit.tracing.stand_in import StandIn, is_number


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A tensor: what is the same object has the same `number`; `source` is where it stood before the call, if it did.

    type  "tensor", "array" or "scalar"
    """

    number: int
    slot: int
    dtype: Any
    layout: Layout
    type: str
    source: Source | None


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """What the call leaves at a place: a number, or what else an effect holds, or a tensor that is `Kept`."""

    place: Source
    value: Any
    where: str


@dataclass(frozen=True, slots=True, eq=False)
class Raised:
    """An exception: its class as a `Raise` has it, and what it was made of."""

    bases: tuple[str, ...]
    name: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """The result, or what the call raises, and what it has written."""

    result: Any
    error: Raised | None
    effects: tuple[Effect, ...]
    where: str


class Unfit(Exception):
    """An exception that an artifact does not raise; the text says why, and the mend."""


def raised_by(error: Exception, args: tuple[Any, ...]) -> Raised:
    """An exception of Python's own, or of the user's, that was made of these arguments. Raises Unfit."""
    kind = type(error)
    listed = [each for each in kind.__mro__ if ERRORS.get(each.__name__) is each]
    bases = [
        each for each in listed if not any(issubclass(b, each) for b in listed if b is not each)
    ]
    is_own = kind not in bases
    if not bases or (is_own and (is_library(kind) or kind.__module__ == "builtins")):
        raise Unfit("whose class is not part of an artifact: raise one of Python's own")
    if any(type(vars(each).get(name)) is FunctionType for each in kind.__mro__ for name in _TEXTS):
        raise Unfit("whose text is made by Python code of its own: give it to the class as text")
    if len(args) != len(error.args) or any(concrete(a) is not b for a, b in zip(args, error.args)):
        raise Unfit("whose arguments have become others: give those to the class")
    other = [type(arg).__name__ for arg in args if type(arg) not in (*ATOMS, *SYMBOLS)]
    if other:
        raise Unfit(f"which holds a {other[0]}: make it of numbers and text")
    name = f"{kind.__module__}:{kind.__qualname__}" if is_own else ""
    return Raised(tuple(each.__name__ for each in bases), name, args)


_TEXTS = ("__str__", "__repr__")


class Keeping:
    """Keeps what a recorded call leaves. Raises ExportError for what an artifact cannot carry."""

    def __init__(self, recording: Recording, given: Given) -> None:
        self._recording = recording
        self._given = given
        self._numbers: dict[int, int] = {}
        self._containers: list[Any] = []
        """Those of the result that have been met."""

    def result(self, value: Any) -> Any:
        """The result in containers of its own: the call's lose their symbols, and stand-ins, when it is over."""
        kind = type(value)
        if is_tensor(value):
            return self._tensor(value, self._recording._definition)
        if kind not in (list, tuple, dict):
            return value
        if kind is not tuple and any(value is each for each in self._containers):
            self._refuse(f"the result holds one {kind.__name__} twice")
        self._containers.append(value)
        if kind is dict:
            return {key: self.result(part) for key, part in value.items()}
        return kind([self.result(part) for part in value])

    def effects(self) -> tuple[Effect, ...]:
        return tuple(map(self._effect, last_effects(self._recording)))

    def _effect(self, effect: EffectOf) -> Effect:
        assert effect.kind in ("attribute", "item", "cell", "gradient"), "others end the recording"
        if self._given.is_data(effect.source):
            grad = "the gradient of " if effect.kind == "gradient" else ""
            what = f"{grad}{effect.source}, an argument, is written"
            self._refuse(f"{what}: return it instead", effect.where)
        value = effect.value
        if is_tensor(value):
            value = self._tensor(value, effect.where)
        return Effect(effect.place, value, effect.where)

    def _tensor(self, tensor: Tensor, where: str) -> Kept:
        found = self._recording.memory_of(tensor)
        if found is None:
            self._refuse("a tensor of unknown origin is returned or kept", where)
        kind = "tensor"
        if type(tensor) is StandIn:
            kind = "scalar" if is_number(tensor) else "array"
        number = self._numbers.setdefault(id(tensor), len(self._numbers))
        source = self._recording.outside.get(id(tensor))
        return Kept(number, found[0], tensor.aval.dtype, found[1], kind, source)

    def _refuse(self, why: str, where: str = "") -> NoReturn:
        raise ExportError(f"{where or self._recording._definition}: export: {why}")
