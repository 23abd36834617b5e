"""Which calls of an artifact are machine code: what it needs is made once Python has taken some calls."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from tracejit._errors import CompileError
from tracejit._gate import late
from tracejit._native.entry import PlainEntry
from tracejit.artifact import KernelSource
from tracejit.standalone.records import Call

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.homes import Home

PATIENCE = 64
"""Calls that Python takes before it is looked what can be machine code."""


class Settling:
    """Has machine code take an artifact's calls, from objects of its file, or where LLVM is loaded anyway.

    entry     what takes the calls
    offer     called with each way that is made, if others may take it as well
    objects   machine code of the file's, by `text_key`
    values    of the state by slot, as they are at any time
    locks     of whoever changes the state: the one that there is
    """

    def __init__(
        self,
        entry: PlainEntry,
        offer: Callable[[Any], None] | None,
        objects: Mapping[str, bytes],
        call: Call,
        programs: Sequence[AnyProgram],
        constants: Mapping[str, np.ndarray],
        values: dict[int, Any],
        locks: list[threading.Lock],
        home: Home,
    ) -> None:
        self._entry = ref(entry)
        self._offer = offer
        self._of = call, programs, constants, values, locks, home
        self._objects = objects
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self._ways: list[Any] = []
        self._tried: set[bool] = set()
        self.is_over = False
        """Whether no more of the calls will be."""

    def renew_lock(self) -> None:
        """In a child process: whoever held it is a thread of the parent's."""
        self._lock = threading.Lock()

    def note(self) -> None:
        """Python takes a call."""
        if next(self._count) % PATIENCE == 0:
            late("tracejit.tracing.background").BACKGROUND.do(self)

    def make(self) -> None:
        with self._lock:
            try:
                self._make()
            except (RecursionError, MemoryError, SystemError, CompileError):
                self.is_over = True
            if self.is_over:
                self._objects = {}

    def _make(self) -> None:
        entry, module = self._entry(), late("tracejit.standalone.entry")
        home = self._of[-1]
        if entry is None or not module.is_ready(home, self._objects, self._is_at_hand):
            self.is_over = True
            return
        kinds = module.kinds_of(self._of[0])
        for of_tensors in kinds:
            if of_tensors in self._tried or (of_tensors and "tracejit.tensor" not in sys.modules):
                continue
            self._tried.add(of_tensors)
            way = module.way_of_call(*self._of, of_tensors=of_tensors, wants=self._is_at_hand)
            if way is not None:
                self._ways.append(way)
                entry.take_ways(module.Ways(self._ways))
                if self._offer is not None:
                    self._offer(way)
        self.is_over = self._tried >= {*kinds}

    def _is_at_hand(self, source: KernelSource) -> bool:
        is_there: bool = late("tracejit.runtime.cpu.compile").load_at_hand(source, self._objects)
        return is_there
