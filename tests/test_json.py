"""JSON is read as the standard library reads it, but for what artifacts do not hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracejit._json import from_text

ROOT = Path(__file__).resolve().parent.parent

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.sampled_from([None, 0, 3]), st.booleans())
def test_what_is_written_is_read(value: Any, indent: int | None, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    found = from_text(f" \t\n\r{text}\r\n ")
    assert repr(found) == repr(json.loads(text))


def outcome(read: Any, text: str) -> Any:
    try:
        return repr(read(text))
    except ValueError:
        return ValueError


@given(VALUES, st.data())
def test_what_is_damaged_is_refused_where_the_standard_library_does(
    value: Any, data: st.DataObject
) -> None:
    text = json.dumps(value)
    place = data.draw(st.integers(0, len(text)))
    put = data.draw(
        st.sampled_from(["", "]", "}", '"', ",", "0", "\\", "\x00", "x", " ", "\ufeff"])
    )
    damaged = text[:place] + put + text[place + 1 :]

    def read(text: str) -> Any:
        return json.loads(text, object_pairs_hook=each_once)

    assert outcome(from_text, damaged) == outcome(read, damaged)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[1] 2", "Extra data"),
        ("{'a': 1}", "double quotes"),
        ('{"a": 1, "a": 1}', "twice"),
        ('[{"b": {"a": 1, "a": 2}}]', "twice"),
        ("NaN", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ('"\n"', "control character"),
        ("\ufeff1", "BOM"),
        ("\u00a01", "Expecting value"),
    ],
)
def test_what_is_no_json_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_text(text)


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(RecursionError):
        from_text("[" * 1_000_000)


def test_an_interpreter_without_the_scanner_reads_the_same() -> None:
    script = """
import sys
sys.modules["_json"] = None
from tracejit._json import from_text
print(from_text(' {"a": [1, 2.5, "\\\\u00e9"]} '))
for text in ('{"a": 1, "a": 2}', "[1", "NaN", ""):
    try:
        from_text(text)
    except ValueError:
        print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["{'a': [1, 2.5, 'é']}", *["refused"] * 4]
