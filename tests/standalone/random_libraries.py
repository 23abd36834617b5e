"""Random programs exported as libraries for C: a call gives what Python gives, and leaves the state that it does.

`python -m tests.standalone.random_libraries --count 50` looks for more.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tracejit as tj
from tests.standalone.libraries import Instance, Library, bits
from tests.standalone.random_programs import CALLS, Exporting, Tally, require
from tests.tracing.fuzz.runner import MODES, Mode, run_sample
from tracejit.standalone.arguments import Given, given, is_data
from tracejit.standalone.capture import Captured, _value, capture
from tracejit.standalone.exporting import _write_library
from tracejit.standalone.native import target_of
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    DictArgument,
    DictResult,
    GivenResult,
    Known,
    NumberArgument,
    NumberResult,
    Result,
    SequenceArgument,
    SequenceResult,
    TensorResult,
)
from tracejit.storage import as_array


class AsFunction:
    """An instance with the arguments, by name, and the results of the function that was exported."""

    def __init__(self, instance: Instance, captured: Captured) -> None:
        self.instance = instance
        self.call = captured.script.call

    def __call__(self, by_name: dict[str, Any]) -> Any:
        leaves: dict[int, Any] = {}
        for each in self.call.parameters:
            _flatten(each.argument, by_name[each.name], leaves)
        plain = [as_array(x) if isinstance(x, tj.Tensor) else x for x in leaves.values()]
        return _built(self.call.result, iter(self.instance(*plain)), leaves)


def _flatten(argument: Argument, value: Any, given: dict[int, Any]) -> None:
    match argument:
        case ArrayArgument(slot=slot) | NumberArgument(slot=slot):
            given[slot] = value
        case SequenceArgument(parts=parts):
            for part, each in zip(parts, value, strict=True):
                _flatten(part, each, given)
        case DictArgument(keys=keys, parts=parts):
            for key, part in zip(keys, parts, strict=True):
                _flatten(part, value[key], given)


def _built(result: Result, found: Iterator[Any], given: dict[int, Any]) -> Any:
    """The result from its arrays and numbers, in their order."""
    match result:
        case TensorResult(type="tensor"):
            return tj.tensor(next(found))
        case TensorResult(type="scalar"):
            return next(found)[()]
        case TensorResult():
            return next(found)
        case GivenResult(slot=slot):
            assert bits(next(found)) == bits(given[slot])
            return given[slot]
        case NumberResult(value=Known(value=None | str() as value)):
            return value
        case NumberResult():
            return next(found)
        case SequenceResult(type=kind, parts=parts):
            values = [_built(part, found, given) for part in parts]
            return values if kind == "list" else tuple(values)
        case DictResult(keys=keys, parts=parts):
            return {key: _built(part, found, given) for key, part in zip(keys, parts)}


@dataclass
class Reasons(Tally):
    """Why exports were refused, too."""

    reasons: list[str] = field(default_factory=list)


class ExportingForC(Exporting):
    """Stands for a function: some of its calls are exported, and compared with what Python does."""

    tally: Reasons

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        number, self.calls = self.calls, self.calls + 1
        made = self._library(args, kwargs) if number in CALLS else None
        if made is None:
            return self.function(*args, **kwargs)
        captured, library = made
        names = given(self.function, args, kwargs)
        data = [copy.deepcopy(each.value) for each in names.data]
        found = library({each.name: value for value, each in zip(data, names.data)})
        result = self.function(*args, **kwargs)
        require(found, result, "the result")
        require(data, [x for x in (*args, *kwargs.values()) if is_data(x)], "the arguments")
        state = library.instance.state()
        for each, place in zip(captured.script.call.state, captured.script.places):
            if each.name in state:
                require(state[each.name], _value(place, Given(args, kwargs, ())), each.name)
        return result

    def _library(self, args: Any, kwargs: Any) -> tuple[Captured, AsFunction] | None:
        try:
            captured = capture(self.function, args, kwargs)
            with tempfile.TemporaryDirectory() as folder:
                _write_library(captured, [target_of("cpu")], Path(folder), "f")
                instance = Library(Path(folder), "f").create()
        except tj.ExportError as error:
            self.tally.refused += 1
            self.tally.reasons.append(str(error))
            return None
        except Exception:  # the program's own: it comes again
            return None
        self.tally.exported += 1
        return captured, AsFunction(instance, captured)


def sample(mode: Mode, *, seed: int, count: int) -> tuple[list[str], Reasons]:
    """What was wrong, and how many calls were exported."""
    tally = Reasons()
    outcome = run_sample(mode, compile=lambda f: ExportingForC(f, tally), seed=seed, count=count)
    return [*map(str, outcome.wrong)], tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.standalone.random_libraries")
    parser.add_argument("--mode", choices=MODES, default="programs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    options = parser.parse_args()
    wrong, tally = sample(options.mode, seed=options.seed, count=options.count)
    print(f"{tally.exported} calls exported, {tally.refused} refused, {len(wrong)} programs wrong")
    for reason in sorted({each for each in tally.reasons if "for C" in each}):
        print(f"refused: {reason}")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
