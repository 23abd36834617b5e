"""Which recorder is in charge on this thread."""

from __future__ import annotations

import threading

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


class tracing(dispatch.pushed):  # noqa: N801  # used as a function would be
    """Inside the block `tracer` is in charge of ops on this thread."""

    __slots__ = ("_tracer",)

    def __init__(self, tracer: Tracer) -> None:
        # The tape notes ops above the tracer, so that `backward` finds, and records, ordinary tensors.
        super().__init__(tracer, under=tape)
        self._tracer = tracer

    def __enter__(self) -> Tracer:
        super().__enter__()
        _session.tracer = self._tracer
        return self._tracer

    def __exit__(self, *error: object) -> None:
        _session.tracer = None
        super().__exit__(*error)


class recording:  # noqa: N801  # used as a function would be
    """Ops inside the block wait, at the latest until its end, an exception's included; a block inside another joins it."""

    __slots__ = ("_programs", "_recorder", "_tracing")

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._recorder: Recorder | None = None

    def __enter__(self) -> None:
        if is_recording():
            return
        self._recorder = Recorder(self._programs)
        self._tracing = tracing(self._recorder)
        self._tracing.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.flush()
        finally:
            self._tracing.__exit__(*error)


def _expose(storage: Storage) -> None:
    if _session.tracer is not None:
        _session.tracer.expose(storage)


before_exposure.append(_expose)
