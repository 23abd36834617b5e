"""Code that was rewritten before needs no source; all other code does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import pytest

from tests.tracing.instrument.plain import PLAIN
from tracejit._config import config
from tracejit.runtime.cache import DiskCache
from tracejit.tracing.instrument import functions
from tracejit.tracing.instrument.functions import instrumented
from tracejit.tracing.instrument.refusal import NotInstrumentable

TEXT = """
def outer(x, scale=-0.0):
    def inner(y):
        return y * scale, [z for z in range(y)], {1, 2} == {2, 1}, f"{y}pqrs"[1:-1:2]
    return inner(x) if x not in (0, 7) else ("none", 1.5, b"b", None)
"""


@pytest.fixture(autouse=True)
def disk(tmp_path: Path) -> Iterator[DiskCache]:
    with config.scope(cache_dir=tmp_path / "cache"):
        yield DiskCache(tmp_path / "cache", config.cache_bytes)


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[CodeType]:
    """The code objects whose source was looked for."""
    seen: list[CodeType] = []
    really = functions.source_of

    def noted(code: CodeType, module_globals: dict[str, Any]) -> Any:
        seen.append(code)
        return really(code, module_globals)

    monkeypatch.setattr(functions, "source_of", noted)
    return seen


def outer(path: Path, text: str = TEXT) -> FunctionType:
    """The function of a file, made anew as in another process."""
    path.write_text(text)
    names: dict[str, Any] = {"__file__": str(path)}
    exec(compile(text, str(path), "exec"), names)
    return names["outer"]


def test_code_that_was_rewritten_before_needs_no_source(
    tmp_path: Path, proofs: list[CodeType]
) -> None:
    path = tmp_path / "module.py"
    first = instrumented(outer(path), PLAIN)
    again = outer(path)
    path.unlink()
    second = instrumented(again, PLAIN)
    assert len(proofs) == 1
    for x in (0, 3, 7):
        assert repr(second(x)) == repr(first(x)) == repr(again(x))
    assert functions.original(second.__code__) is again.__code__


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.py", TEXT),
        ("module.py", "\n" + TEXT),
        ("module.py", TEXT.replace("-0.0", "0.0").replace("1.5", "-0.0")),
        ("module.py", TEXT.replace("(0, 7)", "(0, 8)")),
        ("module.py", TEXT.replace("y * scale", "y + scale")),
        ("module.py", TEXT.replace("[1:-1:2]", "[1:-1:3]")),
    ],
)
def test_other_code_is_proved_anew(
    tmp_path: Path, proofs: list[CodeType], name: str, text: str
) -> None:
    instrumented(outer(tmp_path / "module.py"), PLAIN)
    function = outer(tmp_path / name, text)
    assert repr(instrumented(function, PLAIN)(3)) == repr(function(3))
    assert len(proofs) == 2


def test_a_constant_that_no_source_says_is_not_taken_for_one(
    tmp_path: Path, proofs: list[CodeType]
) -> None:
    function = outer(tmp_path / "module.py", "def outer(x):\n    return b'abcd'\n")
    instrumented(function, PLAIN)
    array = np.frombuffer(b"abcd", np.uint8)
    code = function.__code__
    constants = tuple(array if constant == b"abcd" else constant for constant in code.co_consts)
    forged = FunctionType(code.replace(co_consts=constants), {})
    with pytest.raises(NotInstrumentable):
        instrumented(forged, PLAIN)


def test_what_is_refused_is_not_kept(tmp_path: Path, disk: DiskCache) -> None:
    path = tmp_path / "module.py"
    function = outer(path)
    path.write_text("edited = 1")
    with pytest.raises(NotInstrumentable):
        instrumented(function, PLAIN)
    assert not disk.entries()
