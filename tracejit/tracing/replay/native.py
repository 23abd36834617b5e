"""Which recordings of a function are machine code, and who is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tracejit._errors import CompileError
from tracejit._gate import late
from tracejit.tracing.programs import LateProgram, SizedProgram
from tracejit.tracing.replay.segments import Run
from tracejit.tracing.replay.tree import below

if TYPE_CHECKING:
    from tracejit._native.entry import PlainEntry
    from tracejit.runtime.cpu.native.ways import Way, Ways
    from tracejit.tracing.replay.engine import Replays
    from tracejit.tracing.replay.tree import Node, Tree

MOST = 8
"""Recordings of one function that are machine code: each that a call does not fit costs it some guards."""
MOST_GONE = 256
"""Counters that are kept for calls that may still be under way."""
PATIENCE = 64
"""Calls that Python has replayed since machine code was to take them, before that is looked at again."""


class NativeReplays:
    """The recordings of one function that are machine code, which its entry tries first, the newest before others."""

    def __init__(self, entry: PlainEntry, replays: Replays) -> None:
        self._entry = entry
        self._replays = replays
        self._tree = tree = replays.tree
        self._ways: dict[Node, list[Way]] = {}
        self._nodes: dict[Node, set[Node]] = {}
        """What the machine code of each recording was made from."""
        self._in_table: list[Node] = []
        self._seen: dict[Node, int] = {}
        """The calls of each recording's machine code that the tree knows of."""
        self._before = 0
        """The calls of machine code that has been let go of long ago."""
        self._gone: list[np.ndarray] = []
        """Counters of what has been let go of; a call of another thread may still be in it."""
        self.wanted: dict[Node, None] = {}
        """Recordings that Python has replayed often, since they were last looked at."""
        tree.refresh = self.follow

    @property
    def calls(self) -> int:
        """How many calls have been replayed by machine code; from here on the recordings know which were theirs."""
        with self._tree.lock:
            self._mark()
            now = sum(way.calls for ways in self._ways.values() for way in ways)
            return self._before + now + sum(int(counter[0]) for counter in self._gone)

    def make(self) -> None:
        """Makes machine code of the recordings that are wanted."""
        with self._tree.lock:
            self._mark()
            while self.wanted:
                self._consider(self.wanted.popitem()[0])
            self._arrange()

    def _consider(self, root: Node) -> None:
        """A recording whose machine code is passed over more often than not is better left to Python."""
        if any(_is_late(node) for node in below(root)):
            pass  # a program is still in the making
        elif root.has_grown:
            root.has_grown = False
            self._replace(root, _made(root, self._tree))
        elif root in self._in_table and sum(way.calls for way in self._ways[root]) < PATIENCE:
            self._replace(root, [])
        root.due = root.times + PATIENCE

    def _replace(self, root: Node, ways: list[Way]) -> None:
        """The calls that were counted so far are marked."""
        self._gone += [way.counter for way in self._ways.get(root, ())]
        while len(self._gone) > MOST_GONE:
            self._before += int(self._gone.pop(0)[0])
        self._ways[root] = ways
        self._nodes[root] = {*below(root)}
        self._seen[root] = 0

    def follow(self) -> None:
        """Tells the tree which recordings are in use, and lets go of those that it has let go of: its lock is held."""
        self._mark()
        pruned = [root for root, nodes in self._nodes.items() if not nodes <= {*below(root)}]
        for root in pruned:
            self._replace(root, [])
            root.has_grown = True  # what is left of its ways to go on is to be machine code again
        if pruned or not self._ways.keys() <= {*self._tree.roots}:
            self._arrange()

    def _mark(self) -> None:
        for root, ways in self._ways.items():
            calls = sum(way.calls for way in ways)
            if calls != self._seen[root]:
                root.hits += calls - self._seen[root]
                self._seen[root] = calls
                root.used = next(self._tree.replays)
                self._replays.barren = 0

    def _arrange(self) -> None:
        """Those that were used last are in the table; the others keep their machine code for when they are again."""
        kept = [root for root in self._tree.roots if root in self._ways]
        for root in self._ways.keys() - kept:
            self._replace(root, [])
        self._ways = {root: self._ways[root] for root in kept}
        self._nodes = {root: self._nodes[root] for root in kept}
        self._seen = {root: self._seen[root] for root in kept}
        recent = sorted(filter(self._ways.get, kept), key=lambda root: root.used)[-MOST:]
        self._in_table = [root for root in kept if root in recent]
        ways = [way for root in self._in_table for way in self._ways[root]]
        self._entry.take_ways(_table(ways))


def _made(root: Node, tree: Tree) -> list[Way]:
    """The machine code of a recording, if there is room to make it: the call that asks for it has its result already."""
    # Loaded in the thread that needs it: it takes long.
    translation = late("tracejit.tracing.replay.translation")
    try:
        ways: list[Way] = translation.native_ways(root, tree)
    except (RecursionError, MemoryError, SystemError, CompileError):
        return []
    return ways


def _is_late(node: Node) -> bool:
    """Whether a program of the node runs op by op until it has been compiled; of one with open sizes, that of the first."""
    runs = [each.run for each in node.instructions if isinstance(each, Run)]
    owners = [getattr(run, "__self__", None) for run in runs]
    programs = [each.first for each in owners if isinstance(each, SizedProgram)]
    return any(isinstance(each, LateProgram) and each.is_late for each in (*runs, *programs))


def _table(ways: list[Way]) -> Ways | None:
    if not ways:
        return None
    module = late("tracejit.runtime.cpu.native.ways")
    table: Ways = module.Ways(ways)
    return table
