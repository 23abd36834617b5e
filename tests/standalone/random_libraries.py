"""Random programs exported as libraries for C: a call gives what Python gives, and leaves the state that it does.

`python -m tests.standalone.random_libraries --count 50` looks for more.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tracejit as tj
from tests.standalone.libraries import Failed, Instance, Library, bits
from tests.standalone.random_programs import Exporting, Tally
from tests.tracing.fuzz.runner import MODES, Mode, run_sample
from tracejit.standalone.capture import Captured
from tracejit.standalone.exporting import _write_library
from tracejit.standalone.functions import ERRORS
from tracejit.standalone.native import target_of
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    DictArgument,
    DictResult,
    Finish,
    GivenResult,
    Known,
    NumberArgument,
    NumberResult,
    Result,
    SequenceArgument,
    SequenceResult,
    State,
    TensorResult,
    TensorState,
)
from tracejit.standalone.ways import ways_of
from tracejit.storage import as_array


class AsArtifact:
    """An instance with the arguments and the results of the function that was exported."""

    entered, decides = 0, False
    """It is machine code in any case."""

    def __init__(self, instance: Instance, captured: Captured) -> None:
        self.instance = instance
        self.call = captured.script.call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parameters = self.call.parameters
        by_name = {**dict(zip([each.name for each in parameters], args)), **kwargs}
        given: dict[int, Any] = {}
        for each in parameters:
            if each.name in by_name:
                _flatten(each.argument, by_name[each.name], given)
        leaves = [as_array(x) if isinstance(x, tj.Tensor) else x for x in given.values()]
        try:
            found = self.instance(*leaves)
        except Failed as failed:
            raise _as_exception(failed) from None
        ends = (way.end for way in ways_of(self.call))
        end = next(each for each in ends if isinstance(each, Finish))
        return _built(end.result, iter(found), given)

    def state_dict(self) -> dict[str, Any]:
        return self.instance.state()

    def put(self, state: State, value: Any) -> bool:
        """False if this is none for it."""
        if state.name not in {name for name, *_ in self.instance.library.infos("state")}:
            return True  # it is not computed with
        if isinstance(state, TensorState) and not state.is_read:
            return True
        try:
            self.instance.set(state.name, value)
        except (Failed, KeyError):
            return False
        return True

    def is_of_a_way(self, error: Exception | None) -> bool:
        return hasattr(error, "told")


def _as_exception(failed: Failed) -> Exception:
    """What Python would have raised, or a refusal."""
    if failed.code == "index":
        return IndexError(failed.message)
    if failed.code != "raised":
        return tj.RecompileError(failed.message)
    _, kind, text = re.match(r"(.*?:\d+): (\w+)(?:: (.*))?$", failed.message, re.S).groups()  # type: ignore[union-attr]
    error = ERRORS[kind](text)
    error.told = text or ""  # type: ignore[attr-defined]
    return error


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


class ExportingForC(Exporting):
    def _made(self, captured: Captured) -> Any:
        ways = [way.end for way in ways_of(captured.script.call)]
        if len({_form(end.result) for end in ways if isinstance(end, Finish)}) > 1:
            raise tj.ExportError("results that C cannot tell apart")
        with tempfile.TemporaryDirectory() as folder:
            _write_library(captured, [target_of("cpu")], Path(folder), "f")
            return AsArtifact(Library(Path(folder), "f").create(), captured)


def _form(result: Result) -> str:
    """What Python sees of a result that C does not."""
    match result:
        case TensorResult(type=kind):
            return kind
        case GivenResult(slot=slot):
            return f"argument {slot}"
        case NumberResult(value=Known(value=None | str() as value)):
            return repr(value)
        case NumberResult():
            return "number"
        case SequenceResult(type=kind, parts=parts):
            return f"{kind}({', '.join(map(_form, parts))})"
        case DictResult(keys=keys, parts=parts):
            return f"dict({keys}, {', '.join(map(_form, parts))})"


def sample(mode: Mode, *, seed: int, count: int) -> tuple[list[str], Tally]:
    """What was wrong, and how many calls were exported."""
    tally = Tally()
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
