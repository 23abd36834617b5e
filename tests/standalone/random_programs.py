"""Random programs exported: what is loaded gives what Python gives and leaves the state that it does; exporting changes nothing.

`python -m tests.standalone.random_programs --count 500` looks for more.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np

import tracejit as tj
from tests.tracing.fuzz.runner import MODES, Mode, run_sample
from tracejit.standalone.arguments import Given, given, is_data
from tracejit.standalone.capture import Captured, _value, capture
from tracejit.standalone.container import pack
from tracejit.standalone.exporting import _entries
from tracejit.standalone.native import target_of

CALLS = (0, 1, 6, 20)
"""Which calls of a program are exported."""


class Wrong(Exception):
    """The artifact does something else."""


@dataclass
class Tally:
    exported: int = 0
    refused: int = 0


class Exporting:
    """Stands for a function: some of its calls are exported, and compared with what Python does."""

    def __init__(self, function: Callable[..., Any], tally: Tally) -> None:
        self.function = function
        self.tally = tally
        self.calls = 0
        self.__dict__["__doc__"] = function.__doc__

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["function"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What a program sets on the function is set on the function."""
        if name in ("function", "tally", "calls"):
            self.__dict__[name] = value
        else:
            setattr(self.function, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        number, self.calls = self.calls, self.calls + 1
        made = self._exported(args, kwargs) if number in CALLS else None
        if made is None:
            return self.function(*args, **kwargs)
        captured, artifact = made
        names = given(self.function, args, kwargs)
        data = [copy.deepcopy(each.value) for each in names.data]
        by_place = [value for value, each in zip(data, names.data) if not each.is_keyword]
        by_name = {each.name: value for value, each in zip(data, names.data) if each.is_keyword}
        found = artifact(*by_place, **by_name)
        result = self.function(*args, **kwargs)
        require(found, result, "the result")
        given_data = [value for value in (*args, *kwargs.values()) if is_data(value)]
        require(data, given_data, "the arguments")
        self._compare_state(captured, artifact, Given(args, kwargs, ()))
        return result

    def _exported(self, args: Any, kwargs: Any) -> tuple[Captured, Any] | None:
        try:
            captured = capture(self.function, args, kwargs)
        except tj.ExportError:
            self.tally.refused += 1
            return None
        except Exception:  # the program's own: it comes again
            return None
        self.tally.exported += 1
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "f.tj")
            path.write_bytes(b"".join(pack(_entries(captured, [target_of("cpu")]))))
            return captured, tj.load(path)

    def _compare_state(self, captured: Captured, artifact: Any, call: Given) -> None:
        state = artifact.state_dict()
        for each, place in zip(captured.script.call.state, captured.script.places):
            if each.name in state:
                require(plain(state[each.name]), _value(place, call), each.name)


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
    return np.array(value.detach()) if isinstance(value, tj.Tensor) else value


def bits(array: Any) -> bytes:
    if array.dtype.kind != "f":
        return bytes(array.tobytes())
    return bytes(np.where(np.isnan(array), np.array(np.nan, array.dtype), array).tobytes())


def sample(mode: Mode, *, seed: int, count: int) -> tuple[list[str], Tally]:
    """What was wrong, and how many calls were exported."""
    tally = Tally()
    outcome = run_sample(mode, compile=lambda f: Exporting(f, tally), seed=seed, count=count)
    return [*map(str, outcome.wrong)], tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.standalone.random_programs")
    parser.add_argument("--mode", choices=MODES, default="programs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    wrong, tally = sample(options.mode, seed=options.seed, count=options.count)
    print(f"{tally.exported} calls exported, {tally.refused} refused, {len(wrong)} programs wrong")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
