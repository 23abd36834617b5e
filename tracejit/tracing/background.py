"""The thread that compiles programs while calls go on without them."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import Protocol
from weakref import ref

from tracejit.runtime.device import leave


class Job(Protocol):
    """What is to be made."""

    def make(self) -> None: ...


class Background:
    """Jobs in the order in which they were asked for, and the one thread that does them.

    A job that nobody holds any more is not done. A forked child has the jobs, the one that was being done included, and begins a
    thread of its own when something is asked for. When the interpreter exits, nothing more is begun.
    """

    def __init__(self) -> None:
        self._jobs: dict[ref[Job], None] = {}
        """The first of them is being done."""
        self._held: set[Job] = set()
        """Jobs that nobody else holds."""
        self.at_once = False
        """Whether what nobody has asked for is made by the caller: tests want to know when it is there."""
        self._is_over = False
        self._renew()
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: self._changed.acquire(),
                after_in_parent=lambda: self._changed.release(),
                after_in_child=self._renew,
            )

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def want(self, job: Job) -> None:
        """Has a job done some time; asking again, even while it is being done, changes nothing."""
        with self._changed:
            if self._is_over:
                return
            self._jobs.setdefault(ref(job))
            with contextlib.suppress(
                RuntimeError
            ):  # no thread can be had now: the next to ask tries again
                self._start()

    def do(self, job: Job) -> None:
        """Has a job done some time, which is held until then; at once where `at_once` is set."""
        if self.at_once:
            job.make()
            return
        self._held.add(job)
        self.want(job)

    def wait(self) -> None:
        """Returns when no job is left; RuntimeError if no thread can be had."""
        with self._changed:
            self._start()
            while self._jobs:
                self._changed.wait()

    def _start(self) -> None:
        """There is a thread if there is anything to do. The lock is held."""
        if not self._jobs or self._thread is not None:
            self._changed.notify_all()
            return
        self._thread = threading.Thread(target=self._work, name="tracejit compiler", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            raise

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                held = next(iter(self._jobs))
            self._held.discard(_do(held))
            with self._changed:
                self._jobs.pop(held, None)
                self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            self._jobs.clear()
            self._held.clear()
            self._changed.notify_all()


def _do(held: ref[Job]) -> Job | None:
    job = held()
    if job is None:
        return None
    try:
        job.make()
    except (
        BaseException
    ):  # such as a warning that the filters make an error: told as any thread's last words are
        threading.excepthook(
            threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
        )
    finally:
        leave()
    return job


BACKGROUND = Background()


def synchronize() -> None:
    """Returns when all that is compiled in the background is there, or has failed: for tests, and before something is timed.

    >>> import tracejit as tj
    >>> @tj.compile(background=True)
    ... def double(x):
    ...     return x * 2
    >>> double(tj.tensor([1.0, 2.0]))
    tensor([2., 4.])
    >>> tj.synchronize()
    >>> tj.explain(double).compiling
    0
    """
    BACKGROUND.wait()
