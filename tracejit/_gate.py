"""A passage that can be shut, over a fork and for good when the interpreter exits; and what is imported late, which passes it."""

from __future__ import annotations

import atexit
import os
import threading
from importlib import import_module
from typing import Any

from tracejit._collection import uncollected


class Gate:
    """`with gate:` lets any number of threads pass at a time, until one shuts it, which waits until nobody else is inside.

    Over a fork it is shut, so that a child never inherits what a thread of its parent's has half done. When the interpreter
    exits it stays shut for all threads but the main one: those left are daemons, which must not run native code that is being
    unloaded. Of several gates those made last are shut first, so whoever is inside one may pass those that were made before it.
    """

    def __init__(self) -> None:
        self._renew()
        atexit.register(self.shut)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.shut, after_in_parent=self.open, after_in_child=self._renew
            )

    def _renew(self) -> None:
        self._changed = threading.Condition()
        # By thread, not a count: the main thread, which alone is interrupted, cannot be left counted for ever.
        self._inside: set[int] = set()
        self._keeper: int | None = None

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._changed:
            while self._keeper not in (None, me):
                self._changed.wait()
            self._inside.add(me)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._inside.discard(threading.get_ident())
            self._changed.notify_all()

    @property
    def is_passed(self) -> bool:
        """Whether this thread is inside."""
        return threading.get_ident() in self._inside

    @property
    def is_kept(self) -> bool:
        """Whether this thread has shut it, so that no other can pass."""
        return self._keeper == threading.get_ident()

    def shut(self) -> None:
        """Afterwards only this thread is, or comes, inside."""
        me = threading.get_ident()
        with self._changed:
            while self._keeper not in (None, me):
                self._changed.wait()
            self._keeper = me  # from here on nobody comes in
            while self._inside - {me}:
                self._changed.wait()

    def open(self) -> None:
        """Lets all pass again."""
        with self._changed:
            self._keeper = None
            self._changed.notify_all()


_importing = Gate()


_there: dict[str, Any] = {}
"""Modules that have been imported late, as a whole."""


def late(name: str) -> Any:
    """A module that is imported at its first use: by any thread, while others may fork or leave.

    A child cannot import what a thread of its parent's was importing. What a module asks for while it is imported itself does not
    pass the gate again: it may have been shut since, until the first module is there. Garbage is not looked for meanwhile.
    """
    found = _there.get(name)
    if found is not None:
        return found
    if _importing.is_passed:
        return import_module(name)  # which may be the very one that is being imported
    with _importing, uncollected():
        found = _there[name] = import_module(name)
    return found
