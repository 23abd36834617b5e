"""The tree of recorded calls: guards at its roots, a branch for each outcome of a decision, what to return at its leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from tracejit._config import config
from tracejit._dump import open_dump
from tracejit._errors import DeviceMemoryError
from tracejit.symbols import concrete
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay import MISS
from tracejit.tracing.replay.code import Pool, Writer, constants_of, function_of
from tracejit.tracing.replay.guards import Guard
from tracejit.tracing.replay.memory import private
from tracejit.tracing.replay.output import broken_off
from tracejit.tracing.replay.segments import Instruction, Run, Segment, last_risk
from tracejit.tracing.replay.signatures import OPEN, Signature, signature_of
from tracejit.tracing.replay.speculate import AFTER, Speculation, speculate

MOST_ROOTS = 256
MOST_ALIKE = 24
"""Variants of calls whose arguments have the same types, dtypes and shapes."""
FEW_ROOTS = 4
"""So many are tried one after the other, whatever the arguments are."""
MOST_NODES = 600
MOST_CONSTANTS = 50_000
"""What generated code refers to is kept for all variants together; with so much of it the tree begins anew."""
NATIVE_AFTER = 12
"""Replays of a recording before it is to become machine code: making that takes milliseconds."""
NEAR_FRONT = 3
"""A variant further back than this comes to the front when it is used."""


class Node:
    """One segment of recorded calls.

    enter     enter(E, args, kwargs): 0 where all guards hold, else 1 + the place of one that does not
    run       run(E): the instructions; E[-1] becomes true where memory from outside is written
    commit    commit(E, args, kwargs), at a leaf: does what the call did to outside state, and gives its result
    end       ("branch", slot), ("head",), ("goto", node), or None at a leaf
    children  by the outcome of the branch, in the order in which they are tried
    where     the user's line that decides
    copied    the slots of memory from outside that has been copied by the end of it
    sizes     at a root: the slots of open sizes
    used      at a root: when it was used last, as the tree counts its replays
    times     at a root: how often it was replayed by Python, `due` from how many times on machine code is to take over, and
              `has_grown` whether there are ways to go on that the machine code does not know
    """

    __slots__ = (
        "children", "commit", "copied", "due", "end", "enter", "guards", "has_grown", "hits",
        "instructions", "leaf", "lines", "run", "signature", "sizes", "speculation", "streak",
        "text", "times", "used", "where", "wheres", "withheld",
    )  # fmt: skip

    enter: Callable[[list[Any], tuple[Any, ...], dict[str, Any]], int]
    run: Callable[[list[Any]], None]
    commit: Callable[[list[Any], tuple[Any, ...], dict[str, Any]], Any]

    def __init__(self, text: tuple[Any, ...], guards: list[tuple[Guard, str]]) -> None:
        self.text = text
        self.guards = [guard.kept() for guard, _ in guards]
        self.wheres = [where for _, where in guards]
        self.lines: list[int] = []
        self.children: dict[Any, list[Node]] = {}
        self.end: tuple[Any, ...] | None = None
        self.signature: Signature = ()
        self.sizes: tuple[int, ...] = ()
        self.used = self.times = 0
        self.due = NATIVE_AFTER
        self.has_grown = True
        self.where = ""
        self.copied: frozenset[int] = frozenset()
        self.hits = 0
        self.instructions: list[Instruction] = []
        self.speculation: Speculation | None = None
        """At a root: the path that its calls have gone again and again, as one program."""
        self.leaf: Node | None = None
        """At a root: where the last call ended, and `streak` how many before it have, too."""
        self.streak = 0
        self.withheld: list[str] | None = None
        """At a leaf: the lines of a commit where all writes to outside memory have gone to new memory."""

    def constants(self) -> set[str]:
        """The names of the objects that the node refers to."""
        enter, run, _, commit = self.text
        ahead = self.speculation.lines if self.speculation else ()
        return constants_of([enter, run, commit or "", *(self.withheld or ()), *ahead])

    def learn(self, functions: dict[str, tuple[str, list[str]]], pool: Pool, label: str) -> None:
        """Its functions, parameters and lines by name; they are made when the guards are first asked: many never are."""

        def enter(slots: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
            for name, (parameters, lines) in functions.items():
                made, _ = function_of(name, parameters, lines, pool, label)
                setattr(self, name, made)
            return self.enter(slots, args, kwargs)

        self.enter = enter


class Tree:
    """What is known of one compiled function's calls. Calls of several threads may walk it at once."""

    def __init__(self, name: str, programs: Programs, gradients: Programs) -> None:
        self.name = name
        self._make = programs.program
        self.gradients = gradients
        """The programs of backward passes through what calls give."""
        self.pool = Pool()
        self.roots: list[Node] = []
        self.alike: dict[Signature, list[Node]] = {}
        """The roots by what they say of the arguments."""
        self.replays = count()
        self.nodes = 0
        self.evicted = 0
        """Variants that had to make room for others."""
        self.capacity = 8
        self.symbolic: set[tuple[Any, ...]] = set()
        """Sources of numbers that have changed from call to call: they are inputs from then on."""
        self.unrolls = False
        """Whether loops are not to be closed any more."""
        self.open_loops: dict[str, str] = {}
        """Why loops were not closed, and the mends, by their lines."""
        self.settled: list[Node] = []
        """Roots that have been replayed often enough to be worth machine code."""
        self.refresh: Callable[[], None] = _nothing
        """Has who takes calls past `replay` say which roots they have used, and let go of those that are gone."""
        self.lock = threading.RLock()

    def replay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's result without running Python; MISS, and nothing done, where no recording fits."""
        for place, root in enumerate(self.candidates(args, kwargs)):
            slots = [None] * self.capacity
            try:
                if root.enter(slots, args, kwargs):
                    continue
            except Exception:  # what a guard reads is gone
                continue
            result = self._walk(root, slots, args, kwargs)
            if result is not MISS:
                root.used = next(self.replays)
                root.times += 1
                if root.times >= root.due:
                    self.settled.append(root)
                if place > NEAR_FRONT:
                    self._bring_to_front(root)
                return result
        return MISS

    def candidates(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Node]:
        """The roots that the call may fit."""
        if len(self.roots) <= FEW_ROOTS:
            return self.roots
        return [*self.alike.get(signature_of(args, kwargs), ()), *self.alike.get(OPEN, ())]

    def is_first_of(self, signature: Signature) -> bool:
        """Whether there is one variant for such arguments, and room for those of others."""
        return len(self.alike.get(signature, ())) == 1 and len(self.roots) < MOST_ROOTS

    def _walk(
        self, root: Node, slots: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node: Node | None = root
        ahead = root.speculation
        if ahead is not None and ahead.pays and ahead.attempt(slots, args, kwargs):
            return ahead.commit(slots, args, kwargs)
        path: dict[Node, None] = {}  # of a loop, however often it goes round, each node once
        try:
            while node is not None:
                path[node] = None
                node.run(slots)
                if node.end is None:
                    slots[-1] = True
                    result = node.commit(slots, args, kwargs)
                    self._has_gone([*path])
                    return result
                node = _next(node, slots, args, kwargs)
        except Exception as error:
            if isinstance(error, DeviceMemoryError) and (not slots[-1] or _is_untouched(path)):
                raise  # nothing has been done
            if slots[-1]:
                raise broken_off(error, self.name)  # noqa: B904  # says itself what it comes from
        return MISS

    def _bring_to_front(self, root: Node) -> None:
        """What is used often is tried early, and stays when others have to go."""
        with self.lock:
            self._arrange([root, *(each for each in self.roots if each is not root)])

    def make_room(self, signature: Signature) -> None:
        """Lets the variants go that have not been used for longest, for one with this signature: the lock is held."""
        self.refresh()
        gone = self.pool.gone()
        if gone:
            self._keep([root for root in self.roots if gone.isdisjoint(root.constants())])
            for root in self.roots:
                _prune(root, gone)
            self._keep(self.roots)
        while len(self.alike.get(signature, ())) >= MOST_ALIKE:
            self._drop_least_used(self.alike[signature])
        while self.roots and (len(self.roots) >= MOST_ROOTS or self.nodes >= MOST_NODES):
            self._drop_least_used(self.roots)
        self.forget_constants()
        if len(self.pool.names) > MOST_CONSTANTS:
            self.forget()

    def forget(self) -> None:
        """Begins anew: the lock is held."""
        self._keep([])
        self.pool = Pool()

    def _drop_least_used(self, among: list[Node]) -> None:
        least = min(among, key=lambda root: root.used)
        self._keep([root for root in self.roots if root is not least])

    def _arrange(self, roots: list[Node]) -> None:
        alike: dict[Signature, list[Node]] = {}
        for root in roots:
            alike.setdefault(root.signature, []).append(root)
        self.roots, self.alike = roots, alike

    def _keep(self, roots: list[Node]) -> None:
        self.evicted += len(self.roots) - len(roots)
        self._arrange(roots)
        self.nodes = len({node for root in roots for node in below(root)})
        self.refresh()

    def forget_constants(self) -> None:
        """Lets go of what only variants that are gone, and calls that could not be recorded, refer to: the lock is held."""
        nodes = [node for root in self.roots for node in below(root)]
        self.pool.forget_all_but({name for node in nodes for name in node.constants()})

    def _has_gone(self, path: list[Node]) -> None:
        """A call has gone this way; a way that so many have gone, one after the other, becomes one program."""
        root, leaf = path[0], path[-1]
        leaf.hits += 1
        if leaf is root:
            return
        root.streak = root.streak + 1 if root.leaf is leaf else 1
        root.leaf = leaf
        if root.streak == AFTER and root.speculation is None:
            with self.lock:
                root.speculation = speculate(path, self.pool, self.name, self._make)
                _has_grown(root)

    # Growing

    def add(
        self,
        segments: list[Segment],
        jumps: dict[int, int],
        body: list[str],
        withheld: list[str] | None,
        capacity: int,
        signature: Signature,
        sizes: tuple[int, ...],
    ) -> list[Node] | None:
        """Adds a recorded call, whose last segment ends with `body`; its nodes, or None where a loop's rounds are not alike."""
        with self.lock:
            self.capacity = max(self.capacity, capacity)
            level = [*self.alike.get(signature, ())]
            path: list[Node] = []
            for place, segment in enumerate(segments):
                jump = jumps.get(place)
                if jump is not None:
                    level = [path[jump]]
                is_last = place == len(segments) - 1
                node = self._node(level, segment, path, body if is_last else None, jump)
                if node is None:
                    return None
                if place == 0 and node not in self.roots:
                    node.signature, node.sizes = signature, sizes
                    node.used = next(self.replays)
                    self._arrange([node, *self.roots])
                path.append(node)
                level = _after(node, segment)
            path[-1].withheld = withheld
            _has_grown(path[0])
            return path

    def _node(
        self,
        level: list[Node],
        segment: Segment,
        path: list[Node],
        body: list[str] | None,
        jump: int | None,
    ) -> Node | None:
        """The node for a segment: one that is there already, or a new one, which is tried first."""
        before = (len(path) if jump is None else jump) - 1
        copied = path[before].copied if before >= 0 else frozenset()
        enter, ends = self._enter_lines(segment)
        run, copied = self._run_lines(segment, copied, is_last=body is not None)
        end = (
            None
            if segment.end is None
            else (segment.end.kind, segment.end.slot, segment.end.target)
        )
        text = ("\n".join(enter), "\n".join(run), end, None if body is None else "\n".join(body))
        for node in level:
            if node.text == text:
                return node
        if jump is not None:
            return None
        node = Node(text, segment.guards)
        node.lines = ends
        node.copied = copied
        node.instructions = segment.instructions
        label = f"<replay of {self.name}>"
        functions = {
            "run": ("E", run),
            "commit": ("E, args, kwargs", body or []),
            "enter": ("E, args, kwargs", [*enter, "return 0"]),
        }
        node.learn(functions, self.pool, label)
        if body is None and segment.end is not None:
            target = path[segment.end.target] if segment.end.kind == "goto" else segment.end.slot
            node.end = (segment.end.kind, target)
            node.where = segment.end.where
        self.nodes += 1
        _dump(enter, run, body)
        level.insert(0, node)
        return node

    def _enter_lines(self, segment: Segment) -> tuple[list[str], list[int]]:
        """Lines that end with the place of the first guard that does not hold; and the last line of each guard."""
        writer = Writer(self.pool)
        ends = []
        for place, (guard, _) in enumerate(segment.guards, 1):
            for condition in guard.conditions(writer):
                writer.add(f"if not ({condition}): return {place}")
            ends.append(len(writer.lines))
        return writer.lines, ends

    def _run_lines(
        self, segment: Segment, before: frozenset[int], *, is_last: bool
    ) -> tuple[list[str], frozenset[int]]:
        """Writes to outside memory before the last thing that can fail or decide go to copies, one of each memory: which there
        are by the end, and which there were `before`, comes with the lines."""
        lines = []
        risk = last_risk(segment) if is_last else len(segment.instructions)
        copied = {*before}
        writes = dict[int, list[int]]()
        for place, slot in segment.writes():
            writes.setdefault(place, []).append(slot)
        for place, instruction in enumerate(segment.instructions):
            if place >= risk and place in writes and "E[-1] = True" not in lines:
                lines.append("E[-1] = True")  # from here on there is no way back
            for slot in writes.get(place, ()):
                if place < risk and slot not in copied:
                    copied.add(slot)
                    lines.append(f"E[{slot}] = {self.pool.name(private)}(E[{slot}])")
            lines.append(instruction.line(self.pool))
        return lines, frozenset(copied)

    # Telling

    def described(self) -> list[str]:
        """The guards of the newest variant, with the lines that depend on them."""
        return [
            f"{where}: {guard}"
            for root in self.roots[:1]
            for guard, where in zip(root.guards, root.wheres)
        ]

    def miss(
        self, root: Node, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Guard | str, str, str]:
        """The guard of a root that does not hold, the user's line that needs it, and what is there now."""
        found = self.failing(root, [None] * self.capacity, args, kwargs)
        if not found:
            return "a decision that depends on data went another way", root.wheres[0], ""
        guard = root.guards[found - 1]
        return guard, root.wheres[found - 1], guard.now(args, kwargs)

    def failing(
        self, root: Node, slots: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> int:
        """1 + the place of a guard that does not hold; 0 where all do."""
        try:
            return root.enter(slots, args, kwargs)
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code is not root.enter.__code__:
                trace = trace.tb_next
            line = trace.tb_lineno - 1 if trace is not None else 0
            return next(
                (at for at, end in enumerate(root.lines, 1) if line <= end), len(root.lines)
            )


def _has_grown(root: Node) -> None:
    """There is another way to go on from a root."""
    root.has_grown = True
    root.due = root.times + NATIVE_AFTER


def _nothing() -> None:
    pass


def _dump(enter: list[str], run: list[str], body: list[str] | None) -> None:
    """The code of a node, for `tj.config.dump_dir`."""
    dump = open_dump(config.dump_dir, "replay")
    if dump is not None:
        for stage, lines in (("enter", enter), ("run", run), ("commit", body or [])):
            dump.write(stage, "\n".join(lines), "py")


def _is_untouched(path: Iterable[Node]) -> bool:
    """Whether a program that had no memory was the first that writes: each takes its memory before it does anything."""
    nodes = list(path)
    if any(node.end is not None and node.end[0] != "branch" for node in nodes):
        return False  # a loop may have been round before
    runs = [each for node in nodes for each in node.instructions if isinstance(each, Run)]
    return not any(run.written for run in runs[:-1])


def _next(
    node: Node, slots: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Node | None:
    """Where the walk goes on; None where no recorded call has gone."""
    assert node.end is not None
    kind, target = node.end
    if kind == "goto":
        return target
    key = key_of(slots[target]) if kind == "branch" else None
    for child in node.children.get(key, ()):
        try:
            if not child.enter(slots, args, kwargs):
                return child
        except Exception:  # what a guard reads is gone
            continue
    return None


def _after(node: Node, segment: Segment) -> list[Node]:
    """The children among which a path goes on."""
    if segment.end is None or segment.end.kind == "goto":
        return []
    key = key_of(segment.end.outcome) if segment.end.kind == "branch" else None
    return node.children.setdefault(key, [])


def below(root: Node) -> list[Node]:
    """A root and all that it leads to, of several ways the newest first."""
    found: dict[Node, None] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack += reversed([child for ways in node.children.values() for child in ways])
    return list(found)


def _prune(root: Node, gone: set[str]) -> None:
    """Takes away the ways that refer to any of these constants."""
    for node in below(root):
        left = {
            key: [child for child in ways if gone.isdisjoint(child.constants())]
            for key, ways in node.children.items()
        }
        if left != node.children:
            node.children = left
            root.speculation, root.leaf, root.streak = None, None, 0


def newest_guards(root: Node) -> list[Guard]:
    """The guards of all ways from a root, of each source the one that was recorded last."""
    found: dict[Any, Guard] = {}
    for node in below(root):
        for guard in node.guards:
            source = getattr(guard, "source", None)
            found.setdefault(guard if source is None else source.identity, guard)
    return list(found.values())


def key_of(value: Any) -> tuple[Any, ...]:
    """A key under which only outcomes of the same type and bits meet."""
    value = concrete(value)
    return (type(value), repr(value) if type(value) is float else value)
