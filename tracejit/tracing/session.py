"""Which recorder is in charge on this thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tracejit import dispatch
from tracejit.autograd.tape import tape
from tracejit.storage import Storage, before_exposure
from tracejit.tracing.programs import Programs
from tracejit.tracing.recorder import Recorder


class _Session(threading.local):
    recorder: Recorder | None = None


_session = _Session()


def is_recording() -> bool:
    """Whether ops on this thread wait."""
    return _session.recorder is not None


@contextmanager
def recording(programs: Programs) -> Iterator[None]:
    """Ops inside the block wait, at the latest until its end, an exception's included; a block inside another joins it."""
    if _session.recorder is not None:
        yield
        return
    recorder = _session.recorder = Recorder(programs)
    try:
        # The tape notes ops above the recorder, so that `backward` finds, and records, ordinary tensors.
        with dispatch.pushed(recorder, under=tape):
            try:
                yield
            finally:
                recorder.flush()
    finally:
        _session.recorder = None


def _finish_reading(storage: Storage) -> None:
    recorder = _session.recorder
    if recorder is not None and recorder.reads(storage):
        recorder.flush()


before_exposure.append(_finish_reading)
