"""The exceptions of tracejit, and the user's line that each message begins with."""

from __future__ import annotations

import os.path
import sys
from types import FrameType

from tracejit._records import dataclass

# By os.path: pathlib would be a tenth of the time that importing tracejit takes.
PACKAGE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
OWN_CODE = tuple(
    os.path.join(folder, "")  # noqa: PTH118
    for folder in (
        PACKAGE,
        *(os.path.realpath(f"{PACKAGE}/{name}") for name in ("codegen", "runtime")),
    )
)


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's program."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"  # noqa: PTH119


_is_own: dict[str, bool] = {}
"""By file: asked for every frame of every op that the tape or a recorder notes."""


def user_location() -> Location | None:
    """The innermost frame outside tracejit's own code, or None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        is_own = _is_own.get(file)
        if is_own is None:
            is_own = _is_own[file] = file.startswith(OWN_CODE)
        if not is_own:
            return Location(file, frame.f_lineno)
        frame = frame.f_back
    return None


def at_user_line(message: str) -> str:
    """`model.py:41: message`"""
    location = user_location()
    return f"{location}: {message}" if location else message


class TracejitError(Exception):
    """Base class of the errors that are tracejit's own."""


class ShapeError(ValueError, RuntimeError, TracejitError):
    """Shapes or axes that do not fit the op (a ValueError as in NumPy, and a RuntimeError as in PyTorch)."""


class DTypeError(TypeError, RuntimeError, TracejitError):
    """Dtypes, or objects, that the op does not take (a TypeError as in NumPy, and a RuntimeError as in PyTorch)."""


class AxisError(IndexError, ShapeError):
    """An axis outside the array's dimensions (an IndexError and a ValueError, as NumPy's is)."""


class DeviceUnavailable(RuntimeError, TracejitError):
    """A device that cannot be used here; the message says what mends it."""


class DeviceError(RuntimeError, TracejitError):
    """What a device's driver reports: a kernel that failed, or a device that cannot go on."""


class DeviceMemoryError(MemoryError, TracejitError):
    """A device has no room for what was asked for; nothing has been lost."""


class AutogradError(RuntimeError, TracejitError):
    """A backward pass that cannot be run."""


class RecompileError(RuntimeError, TracejitError):
    """A call that fits no recording, of a function compiled with `on_miss="error"` or of an artifact; nothing has been done."""


class MemoryLimitError(MemoryError, TracejitError):
    """A program that cannot be run within the `memory_limit` that it was compiled with; nothing has been done."""


class ExportError(RuntimeError, TracejitError):
    """A function that cannot be exported as it is; the message names the line that prevents it. What it changed is put back."""


class ArtifactError(ValueError, TracejitError):
    """A file that is no artifact, or none that can be used; the message names the entry that is wrong."""


class ArtifactRaised(Exception):
    """What an artifact raises in the place of an exception of the user's own class, which is not part of it.

    Its class has that one's name and module, and the builtin exception that it is derived from is a base of it, so that
    `except ValueError` catches what it would catch of the function. Arguments and text are those of the user's exception.
    """


class CompileError(RuntimeError, TracejitError):
    """The compiler failed on a graph: a defect of tracejit, with what is needed to report it."""
