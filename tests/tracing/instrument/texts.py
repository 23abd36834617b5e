"""Functions made from text that `linecache` knows, as it does that of notebooks and doctests."""

from __future__ import annotations

import itertools
import linecache
import textwrap
from types import FunctionType
from typing import Any

_numbers = itertools.count()


def module_from(text: str) -> dict[str, Any]:
    file = f"<text {next(_numbers)}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    variables: dict[str, Any] = {"__name__": "text"}
    exec(compile(text, file, "exec", dont_inherit=True), variables)
    return variables


def function_from(body: str, parameters: str = "") -> FunctionType:
    """`def f(parameters): body`, which begins at line 1."""
    function = module_from(f"def f({parameters}):\n{textwrap.indent(body, '    ')}\n")["f"]
    assert isinstance(function, FunctionType)
    return function
