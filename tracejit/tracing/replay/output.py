"""What replays print, and what their callers get where something fails at the end of a replay."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tracejit._errors import CompileError, at_user_line


def show(*values: Any, **options: Any) -> None:
    """`print`: what a stream raises that does not take the text is the user's to see."""
    print(*values, **options)


def broken_off(error: Exception, name: str) -> Exception:
    """What a call gets whose replay has failed with `error` after it had begun to write."""
    if _comes_from_printing(error.__traceback__):
        return error
    failure = CompileError(at_user_line(f"{name}: a replay failed after it had begun to write"))
    failure.__cause__ = error
    return failure


def _comes_from_printing(trace: TracebackType | None) -> bool:
    while trace is not None:
        if trace.tb_frame.f_code is show.__code__:
            return True
        trace = trace.tb_next
    return False
