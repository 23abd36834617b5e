"""`while` loops over data: a loop whose head comes back in the same abstract state is closed, however often it goes round."""

from __future__ import annotations

from types import FrameType
from typing import Any

from tracejit.tracing.replay.recording import Recording


def loop_head(
    recording: Recording, frame: FrameType, number: int, names: list[str], values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The values with which the loop goes on."""
    return values
