"""Lines of the user's program: where a recorded call read, wrote or decided something."""

from __future__ import annotations

import functools
import inspect
import sys
from types import CodeType, FrameType, FunctionType, MethodType, TracebackType
from typing import Any

from tracejit._errors import OWN_CODE, Location

_STANDARD = inspect.__file__.removesuffix("inspect.py")
_INSTALLED = ("/site-packages/", "/dist-packages/")


@functools.lru_cache(maxsize=1024)  # each cell of a notebook is a file of its own
def _kind_of(file: str) -> str:
    """Whose file it is: "own", "library" (the standard library's and installed packages') or "user"."""
    if file.startswith((*OWN_CODE, "<replay of ")):
        return "own"
    if file.startswith("<frozen ") or any(part in file for part in _INSTALLED):
        return "library"
    return "library" if file.startswith(_STANDARD) else "user"


def line_inside(outermost: CodeType, otherwise: str) -> str:
    """`model.py:41`, the innermost of the user's frames inside that of `outermost`.

    Code of libraries counts where there is none of the user's; where there is neither, `otherwise` is the line.
    """
    frame: FrameType | None = sys._getframe(1)
    library: FrameType | None = None
    while frame is not None and frame.f_code is not outermost:
        kind = _kind_of(frame.f_code.co_filename)
        if kind == "user":
            return _shown(frame.f_code, frame.f_lineno)
        if kind == "library" and library is None:
            library = frame
        frame = frame.f_back
    return otherwise if library is None else _shown(library.f_code, library.f_lineno)


def is_asked_by_library() -> bool:
    """Whether what looks at a value now, past all that records it, is code of tracejit's own, such as an optimizer's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_recording(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and _kind_of(frame.f_code.co_filename) == "own"


@functools.lru_cache(maxsize=1024)
def _is_recording(file: str) -> bool:
    is_part = "/tracing/" in file or "/standalone/" in file or file.endswith("/symbols.py")
    return is_part and file.startswith(OWN_CODE)


def line_of_error(error: BaseException, outermost: CodeType, otherwise: str) -> str:
    """The innermost of the user's lines that an exception came through on its way to `outermost`."""
    trace: TracebackType | None = error.__traceback__
    is_inside = False
    found = otherwise
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_inside and _kind_of(code.co_filename) == "user":
            found = _shown(code, trace.tb_lineno)
        is_inside = is_inside or code is outermost
        trace = trace.tb_next
    return found


def _shown(code: CodeType, line: int) -> str:
    return str(Location(code.co_filename, line))


def definition_of(function: Any, made_at: Location | None) -> str:
    """Where a function, or what is called of an object, stands; for the library's own, the line that compiled it."""
    code = code_of(function)
    if code is None or _kind_of(code.co_filename) != "user":
        return repr(function) if made_at is None else str(made_at)
    return str(Location(code.co_filename, code.co_firstlineno))


def code_of(function: Any) -> CodeType | None:
    """The code that a call of `function` runs first, as far as it is known without asking the object itself."""
    for _ in range(MOST_WRAPPERS):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, FunctionType) and "__wrapped__" in function.__dict__:
            function = function.__dict__["__wrapped__"]
        else:
            break
    if isinstance(function, FunctionType):
        return function.__code__
    own = type(function)
    forward = inspect.getattr_static(own, "forward", None)
    call = inspect.getattr_static(own, "__call__", None)
    found = forward if isinstance(forward, FunctionType) else call
    return found.__code__ if isinstance(found, FunctionType) else None


MOST_WRAPPERS = 100


def names_of_arguments(function: Any, count: int) -> list[str]:
    """What the positional arguments of a call are named; "" where they have no name."""
    code = None if isinstance(function, functools.partial) else code_of(function)
    if code is None:
        return [""] * count
    first = not isinstance(function, FunctionType)  # what a method is bound to, or the object
    names = code.co_varnames[first : code.co_argcount][:count]
    return [*names, *[""] * (count - len(names))]
