"""Text that a call makes of numbers, as what it is put together of."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from string import Formatter
from typing import Any

from tracejit.standalone.raising import is_modest
from tracejit.standalone.records import Known, Operand, Text, Written
from tracejit.symbols import SymbolicInt, is_text
from tracejit.tracing.replay.hooks import text as hooks

Part = str | Written
AsPart = Callable[[Any], Text | Operand]
_CONVERSIONS = {str: "s", repr: "r", ascii: "a", format: ""}


class _Other(Exception):
    """Text of another kind, or no text."""


def text_of(function: Any, operands: tuple[Any, ...], part: AsPart) -> Text | None:
    """What `function(*operands)` is put together of; None where it gives no text, or such as an artifact does not make.

    `part` tells what an operand is.
    """
    function, _ = getattr(function, "checked", (function, None))
    try:
        return Text(tuple(_merged(_parts(function, operands, part))))
    except _Other:
        return None


def _parts(function: Any, operands: tuple[Any, ...], part: AsPart) -> Iterator[Part]:
    if function is hooks.written:
        yield from _written(part(operands[0]), *operands[1:])
    elif function is hooks.joined or (function is operator.add and any(map(is_text, operands))):
        for each in operands:
            yield from _plain(each, part)
    elif function in _CONVERSIONS and len(operands) in (1, 2):
        spec = operands[1] if len(operands) == 2 else ""
        yield from _written(part(operands[0]), _CONVERSIONS[function], spec)
    elif function is hooks.joined_by:
        separator, *texts = operands
        for number, each in enumerate(texts):
            yield from _plain(separator, part) if number else ()
            yield from _plain(each, part)
    elif function is hooks.percent:
        yield from _by_percent(operands, part)
    elif function is hooks.call and operands[1] == "format" and type(operands[0]) is str:
        yield from _formatted(operands, part)
    else:
        raise _Other


def _plain(value: Any, part: AsPart) -> Iterator[Part]:
    """Text as it is."""
    if not is_text(value):
        raise _Other
    yield from _written(part(value), "", "")


def _written(value: Text | Operand, conversion: str, spec: Any) -> Iterator[Part]:
    if type(spec) is not str or not is_modest(spec):
        raise _Other
    if isinstance(value, Text):
        if conversion not in ("", "s") or spec:
            raise _Other
        yield from value.parts
    elif isinstance(value, Known) and type(value.value) in (str, bool, int, float, type(None)):
        yield hooks.written(value.value, conversion, spec)
    else:
        yield Written(value, conversion, spec)


def _formatted(operands: tuple[Any, ...], part: AsPart) -> Iterator[Part]:
    """`"{} {:.3f}".format(...)`"""
    text, _, names, *values = operands
    split = len(values) - len(names)
    named = {str(number): each for number, each in enumerate(values[:split])}
    named |= dict(zip(names, values[split:]))
    count = 0
    for before, field, spec, conversion in Formatter().parse(text):
        yield before
        if field is None:
            continue
        if not field:
            field, count = str(count), count + 1
        if field not in named or "{" in (spec or ""):
            raise _Other
        yield from _written(part(named[field]), conversion or "", spec)


_PERCENT = re.compile(r"%([-+ ]?)([0-9]*)(\.[0-9]+)?(.)", re.DOTALL)


def _by_percent(operands: tuple[Any, ...], part: AsPart) -> Iterator[Part]:
    """`"%s %.3f" % (...)`"""
    text, *values = operands
    end, left = 0, iter(values)
    for found in _PERCENT.finditer(text):
        yield text[end : found.start()]
        end = found.end()
        if found[0] == "%%":
            yield "%"
        else:
            yield _as_percent(next(left, None), found, part)
    yield text[end:]


def _as_percent(value: Any, found: re.Match[str], part: AsPart) -> Part:
    flag, width, precision, kind = found.groups(default="")
    operand = part(value)
    is_int = type(value) in (int, SymbolicInt)
    if isinstance(operand, Text) or width.startswith("0") or not is_modest(found[0]):
        raise _Other
    sign, side = ("", "<") if flag == "-" else (flag, ">")
    if kind in "sr" and not sign and not precision:
        spec = f"{side}{width}" if width else ""
        return Written(operand, kind, spec)
    if (kind == "d" and is_int and not precision) or kind in "eEfFgG":
        return Written(operand, "", f"{side}{sign}{width}{precision}{kind}")
    raise _Other


def _merged(parts: Iterator[Part]) -> Iterator[Part]:
    """With one piece of text in the place of several."""
    text = ""
    for each in parts:
        if isinstance(each, str):
            text += each
            continue
        if text:
            yield text
        text = ""
        yield each
    if text:
        yield text
