"""Random programs exported: what is loaded gives what Python gives and leaves the state that it does; exporting changes nothing.

`python -m tests.standalone.random_programs --count 500` looks for more; `--mode torture` in that suite, from case `--seed` on.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MethodType
from typing import Any
from unittest.mock import patch

import numpy as np

import tracejit as tj
from tests.tracing.fuzz.runner import MODES, Mode, run_sample
from tests.tracing.torture.harness import Case, compare, load
from tracejit.standalone import capture as capturing
from tracejit.standalone import settling
from tracejit.standalone.apart import check_apart
from tracejit.standalone.arguments import Given, given, is_data
from tracejit.standalone.artifact import Artifact
from tracejit.standalone.capture import Captured, _value, capture
from tracejit.standalone.container import pack
from tracejit.standalone.examples import Examples
from tracejit.standalone.exporting import _entries
from tracejit.standalone.native import target_of
from tracejit.standalone.phrases import throw
from tracejit.standalone.records import Decide, Loop, NumberState, State
from tracejit.standalone.script import script_of
from tracejit.standalone.ways import bodies_of
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.replay.tree import Node

CALLS = (0, 1, 6, 20)
"""Which calls of a program are exported."""


class Wrong(Exception):
    """The artifact does something else."""


@dataclass
class Tally:
    exported: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    calls: int = 0
    """Calls of artifacts that were compared."""
    ways: int = 0
    loops: int = 0
    entered: int = 0
    """Calls of artifacts that machine code took."""
    decided: int = 0
    """Those of artifacts that decide."""


class Loaded:
    """What `tj.load` gives, with the state put into it that there is."""

    def __init__(self, artifact: Any) -> None:
        self.artifact = artifact

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.artifact(*args, **kwargs)

    @property
    def entered(self) -> int:
        """How many calls machine code has taken."""
        ways = getattr(self.artifact, "_held_ways", None)
        return sum(ways.hits) if ways else 0

    @property
    def decides(self) -> bool:
        return any(
            isinstance(each.end, Decide) for each in bodies_of(self.artifact.manifest.call.body)
        )

    def state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = self.artifact.state_dict()
        return found

    def put(self, state: State, value: Any) -> bool:
        """False if this is none for it."""
        if isinstance(state, NumberState):
            if state.type is not None and type(value).__name__ != state.type:
                return False
            self.artifact._values[state.slot] = value
        elif state.is_read:
            if not isinstance(value, np.ndarray) or value.shape != state.shape:
                return False
            self.artifact._values[state.slot] = self.artifact._kept.home.sent(value)
        return True

    def is_of_a_way(self, error: Exception | None) -> bool:
        """Whether it is how a way of the artifact ends, which leaves the state as the function does."""
        trace = error.__traceback__ if error is not None else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        ending = Artifact.called.__code__, throw.__code__
        return trace is not None and trace.tb_frame.f_code in ending


@dataclass
class Exported:
    """An artifact, and the guards that say of a call of the function that the artifact would do the same."""

    captured: Captured
    artifact: Any
    nodes: list[Node]
    capacity: int

    def fits(self, args: Any, kwargs: Any) -> bool:
        slots = [None] * self.capacity
        try:
            check_apart(self.captured.script, args, kwargs, "")
            return not any(node.enter(slots, args, kwargs) for node in self.nodes)
        except Exception:  # what a guard reads is not there
            return False

    def take_state(self, call: Given) -> bool:
        """Gives the artifact the state that there is; False if that is none for it."""
        script = self.captured.script
        pairs = zip(script.call.state, script.places)
        return all(self.artifact.put(each, _value(place, call)) for each, place in pairs)


class Exporting:
    """Stands for a function: some of its calls are exported, and these and later ones compared with what Python does."""

    def __init__(self, function: Callable[..., Any], tally: Tally) -> None:
        self.function = function
        self.tally = tally
        self.calls = 0
        self.made: list[Exported] = []
        self.__dict__["__doc__"] = function.__doc__

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["function"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What a program sets on the function is set on the function."""
        if name in ("function", "tally", "calls", "made"):
            self.__dict__[name] = value
        else:
            setattr(self.function, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        number, self.calls = self.calls, self.calls + 1
        if number in CALLS:
            self._export(args, kwargs)
        compared = [made for made in self.made if made.fits(args, kwargs)]
        outcomes = [(made, *self._outcome(made, args, kwargs)) for made in compared]
        try:
            result = self.function(*args, **kwargs)
        except Exception as error:
            for made, _, _, raised in outcomes:
                of_a_way = made.artifact.is_of_a_way(raised)
                same = type(raised) is type(error) and (
                    not of_a_way or told(raised) == told(error)  # else it begins with another line
                )
                if raised is None or not (same or _is_refusal(raised)):
                    raise Wrong(f"raises {raised!r}, not {error!r}") from None
                if of_a_way:
                    self._compare_state(made, Given(args, kwargs, ()))
            raise
        given_data = [value for value in (*args, *kwargs.values()) if is_data(value)]
        for made, found, data, raised in outcomes:
            if raised is not None:
                if not _is_refusal(raised):
                    raise Wrong(f"raises {raised!r}") from None
                continue
            require(found, result, "the result")
            require(data, given_data, "the arguments")
            self._compare_state(made, Given(args, kwargs, ()))
        return result

    def _outcome(self, made: Exported, args: Any, kwargs: Any) -> tuple[Any, Any, Exception | None]:
        """What an artifact gives, its arguments afterwards, and what it raises."""
        names = given(self.function, Examples(args, kwargs))
        data = [copy.deepcopy(each.value) for each in names.data]
        if not made.take_state(Given(args, kwargs, ())):
            return None, None, tj.RecompileError("other state")
        by_place = [value for value, each in zip(data, names.data) if not each.is_keyword]
        by_name = {each.name: value for value, each in zip(data, names.data) if each.is_keyword}
        self.tally.calls += 1
        before = made.artifact.entered
        try:
            return made.artifact(*by_place, **by_name), data, None
        except Exception as error:
            return None, data, error
        finally:
            entered = made.artifact.entered - before
            self.tally.entered += entered
            self.tally.decided += entered if made.artifact.decides else 0

    def _export(self, args: Any, kwargs: Any) -> None:
        found: list[Any] = []

        def spy(first: Any, *rest: Any) -> Any:
            found[:] = [piece.node for piece in first.below()]
            return script_of(first, *rest)

        try:
            with patch.object(capturing, "script_of", spy):
                captured = capture(self.function, Examples(args, kwargs))
            artifact = self._made(captured)
        except tj.ExportError as error:
            self.tally.refused += 1
            self.tally.reasons.append(str(error))
            return
        except Exception:  # the program's own: it comes again
            return
        self.tally.exported += 1
        bodies = [*bodies_of(captured.script.call.body)]
        self.tally.ways += sum(isinstance(body.end, Decide) for body in bodies)
        self.tally.loops += sum(isinstance(body.end, Loop) for body in bodies)
        self.made.append(Exported(captured, artifact, found, 1 << 14))

    def _made(self, captured: Captured) -> Any:
        """Raises ExportError where it cannot be made."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "f.tj")
            path.write_bytes(b"".join(pack(_entries(captured, [target_of("cpu")]))))
            return Loaded(tj.load(path))

    def _compare_state(self, made: Exported, call: Given) -> None:
        state = made.artifact.state_dict()
        script = made.captured.script
        for each, place in zip(script.call.state, script.places):
            if each.name in state:
                require(plain(state[each.name]), _value(place, call), each.name)


def _is_refusal(error: Exception) -> bool:
    """An artifact may say that it is not for a call, or that it does not take these arguments."""
    return isinstance(error, tj.RecompileError | tj.DTypeError | tj.ShapeError) or (
        isinstance(error, TypeError | ValueError) and "argument" in str(error)
    )


def told(error: Exception) -> str:
    """What it says; a library for C has nothing else of it."""
    return str(getattr(error, "told", error))


def require(found: Any, expected: Any, where: str) -> None:
    """Both are alike but for gradients; NaNs are equal."""
    a, b = plain(found), plain(expected)
    if type(a) is not type(b):
        raise Wrong(f"{where}: {type(found).__name__}, not {type(expected).__name__}")
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            raise Wrong(f"{where}: {len(a)} parts, not {len(b)}")
        for place, (x, y) in enumerate(zip(a, b)):
            require(x, y, f"{where}[{place}]")
    elif isinstance(a, dict):
        if [*a] != [*b]:
            raise Wrong(f"{where}: the keys {[*a]}, not {[*b]}")
        for key in a:
            require(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, np.ndarray | np.generic):
        same = (a.dtype, a.shape) == (b.dtype, b.shape) and bits(a) == bits(b)
        if not same:
            raise Wrong(f"{where}: {a!r}, not {b!r}")
    elif repr(a) != repr(b):
        raise Wrong(f"{where}: {a!r}, not {b!r}")


def plain(value: Any) -> Any:
    return np.array(value.detach().cpu()) if isinstance(value, tj.Tensor) else value


def bits(array: Any) -> bytes:
    if array.dtype.kind != "f":
        return bytes(array.tobytes())
    return bytes(np.where(np.isnan(array), np.array(np.nan, array.dtype), array).tobytes())


@contextmanager
def entered_soon() -> Iterator[None]:
    """Second calls are machine code."""
    with patch.object(settling, "PATIENCE", 1), patch.object(BACKGROUND, "at_once", True):
        yield


def sample(mode: Mode, *, seed: int, count: int) -> tuple[list[str], Tally]:
    """What was wrong, and how many calls were exported."""
    tally = Tally()
    with entered_soon():
        outcome = run_sample(mode, compile=lambda f: Exporting(f, tally), seed=seed, count=count)
    return [*map(str, outcome.wrong)], tally


def torture(cases: Sequence[Case]) -> tuple[list[str], Tally]:
    """The same of cases of the torture suite."""
    tally, wrong = Tally(), []
    for each in cases:
        with entered_soon():
            found = compare(each, lambda f: Exporting(f, tally))
        if found.difference and not each.known and each.name not in ASKS_FOR_STRIDES:
            wrong.append(f"{each.name}: {found.difference}")
    return wrong, tally


ASKS_FOR_STRIDES = {"noncontiguous"}
"""Arguments of artifacts are in row-major order to whoever asks."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.standalone.random_programs")
    parser.add_argument("--mode", choices=(*MODES, "torture"), default="programs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    if options.mode == "torture":
        wrong, tally = torture([*load().values()][options.seed :][: options.count])
    else:
        wrong, tally = sample(options.mode, seed=options.seed, count=options.count)
    print(f"{tally}, {len(wrong)} programs wrong")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
