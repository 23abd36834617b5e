"""The recording of the call that runs on this thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tracejit.storage import before_look
from tracejit.tensor import after_making

if TYPE_CHECKING:
    from tracejit.tensor import Tensor
    from tracejit.tracing.replay.recorder import ReplayRecorder
    from tracejit.tracing.replay.recording import Recording


class _Current(threading.local):
    recording: Recording | None = None
    recorder: ReplayRecorder | None = None


current = _Current()


def live() -> Recording | None:
    """The recording, unless it has ended."""
    recording = current.recording
    return recording if recording is not None and recording.live else None


def recorder_of(recording: Recording) -> ReplayRecorder:
    recorder = current.recorder
    assert recorder is not None, "a live recording has its recorder"
    return recorder


def _look(looked_at: Tensor) -> None:
    if (recording := live()) is not None:
        recording.look(looked_at)


def _made(made: Tensor) -> None:
    if current.recording is not None and current.recorder is not None:
        current.recorder.made(made)


before_look.append(_look)
after_making.append(_made)
