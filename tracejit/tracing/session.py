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
from tracejit.tracing.tracer import Tracer


class _Session(threading.local):
    tracer: Tracer | None = None


_session = _Session()


def is_recording() -> bool:
    """Whether a compiled call is running on this thread, which others join."""
    return _session.tracer is not None


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Inside the block `tracer` is in charge of ops on this thread."""
    _session.tracer = tracer
    try:
        # The tape notes ops above the tracer, so that `backward` finds, and records, ordinary tensors.
        with dispatch.pushed(tracer, under=tape):
            yield
    finally:
        _session.tracer = None


@contextmanager
def recording(programs: Programs) -> Iterator[None]:
    """Ops inside the block wait, at the latest until its end, an exception's included; a block inside another joins it."""
    if is_recording():
        yield
        return
    recorder = Recorder(programs)
    with tracing(recorder):
        try:
            yield
        finally:
            recorder.flush()


def _finish_reading(storage: Storage) -> None:
    tracer = _session.tracer
    if isinstance(tracer, Recorder) and tracer.reads(storage):
        tracer.flush()


before_exposure.append(_finish_reading)
