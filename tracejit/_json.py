"""JSON, read by the scanner of `json` and without the rest of it, which compiles regular expressions when it is loaded."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from tracejit._gate import late

make_scanner: Any = None
if not hasattr(
    sys, "gettotalrefcount"
):  # in a debugging build the process ends where the scanner, alone, fails
    with suppress(ImportError):  # an interpreter built otherwise
        make_scanner = import_module("_json").make_scanner


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON's")


class _Reading:
    """What the scanner asks how it is to read."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_each_once)
    parse_constant = staticmethod(_refuse)
    parse_float, parse_int = float, int


_scan = None if make_scanner is None else make_scanner(_Reading)


def from_text(text: str) -> Any:
    """The value that a text says. Raises ValueError for what is no JSON, in which a name stands twice in an object, or where a
    number is not finite; RecursionError for what is nested too deeply.

    >>> from_text('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    """
    if _scan is not None:
        whole = text.strip(" \t\n\r")
        try:
            value, end = _scan(whole, 0)
        except (StopIteration, SystemError):  # which say that something is wrong, and not what
            end = -1
        if end == len(whole):
            return value
    return late("json").loads(text, object_pairs_hook=_each_once, parse_constant=_refuse)
