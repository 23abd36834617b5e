"""Speculation: decisions that keep going one way do not cut a call into programs.

The programs of a path are joined to one, whose writes to outside memory become results. It runs to its end; then the decisions
are looked at, and only if all have gone the usual way do the results take the place of the memory that they are to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tracejit._errors import MemoryLimitError
from tracejit.ir.device import device_of
from tracejit.ir.graph import Apply, Graph, Input, Node, ScalarInput, params_key, with_inputs
from tracejit.ops.registry import REGISTRY
from tracejit.storage import row_major
from tracejit.symbols import SYMBOLS
from tracejit.tracing.programs import Program
from tracejit.tracing.replay.code import Pool, function_of
from tracejit.tracing.replay.segments import Check, Compute, Element, Fresh, Instruction, Run

if TYPE_CHECKING:
    from tracejit.tracing.replay.tree import Node as Place

AFTER = 4
"""So many replays of one path in a row make it one to speculate on."""
MOST_MISSES = 8
"""A speculation that has failed so often, and at every fourth call, is given up."""

Slot = int
Read = tuple[Slot, int, Any, Any]
"""Memory as a program reads it: the slot, the offset in bytes, the aval and the strides."""


class Speculation:
    """One path as one program."""

    def __init__(
        self,
        path: list[Place],
        program: Program,
        run: Any,
        commit: Any,
        programs: int,
        lines: list[str],
    ) -> None:
        self.hits = 0
        self.misses = 0
        self.programs = programs
        """How many programs became one."""
        self.path = path
        self.lines = lines
        """Of `run`, which end with the decisions."""
        self._awaited: Program | None = program
        self._rest = path[1:]
        self._run = run
        self._commit = commit

    @property
    def pays(self) -> bool:
        if self._awaited is not None:
            if not self._awaited.is_compiled:
                return False  # its programs may be
            self._awaited = None
        return self.misses < MOST_MISSES or 4 * self.misses < self.hits

    def attempt(self, slots: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the call has gone the usual way: then all is ready for `commit`, else nothing has been done."""
        before = slots.copy()
        try:
            usual = all(not place.enter(slots, args, kwargs) for place in self._rest)
            usual = usual and self._run(slots)
        except Exception:  # as in the ordinary walk, which comes next and finds out
            usual = False
        if usual:
            self.hits += 1
        else:
            self.misses += 1
            slots[:] = before
        return usual

    def commit(self, slots: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._commit(slots, args, kwargs)


def speculate(
    path: list[Place], pool: Pool, name: str, make: Callable[[Graph], Program]
) -> Speculation | None:
    """The path as one program, which `make` makes; None where its programs cannot be joined, or there is only one, or too little
    memory for one."""
    instructions = [each for place in path for each in place.instructions]
    runs = [each for each in instructions if isinstance(each, Run)]
    withheld = path[-1].withheld
    if len(runs) < 2 or withheld is None or not _can_wait(instructions):
        return None
    if any(run.sizes or any(type(at) in SYMBOLS for _, at in run.inputs) for run in runs):
        return None  # where memory lies, or how much of it, is known at each run
    if len({device_of(run.graph) for run in runs}) > 1:
        return None
    needed = _mentioned(withheld) | {
        each.memory for each in instructions if isinstance(each, Element)
    }
    joined = _Joined()
    for run in runs:
        if not joined.add(run):
            return None
    lines = [each.line(pool) for each in instructions if isinstance(each, Check | Fresh)]
    try:
        program, line = joined.program(pool, needed, make)
    except MemoryLimitError:
        return None
    lines.append(line)
    lines += _decisions(path, pool)
    label = f"<speculation on {name}>"
    run, _ = function_of("run", "E", [*lines, "return True"], pool, label)
    commit, _ = function_of("commit", "E, args, kwargs", withheld, pool, label)
    program.want()
    return Speculation(path, program, run, commit, len(runs), lines)


def _can_wait(instructions: Iterable[Instruction]) -> bool:
    """Whether no program, and no check, needs a number or memory that is known only after another program has run.

    Numbers are read after all programs: not from memory that a program has written since.
    """
    late: set[Slot] = set()
    made: set[Slot] = set()
    looked_at: set[Slot] = set()
    for each in instructions:
        match each:
            case Run():
                if any(type(x) in SYMBOLS and x.slot in late for x in each.scalars):
                    return False
                if not looked_at.isdisjoint(each.changes):
                    return False
                made.update(each.outputs, each.changes)
            case Element():
                late.add(each.slot)
                looked_at.add(each.memory)
            case Compute():
                late.add(each.slot)
            case Check():
                if each.memory in made or any(
                    type(x) in SYMBOLS and x.slot in late for x in (*each.before, *each.after)
                ):
                    return False
            case Fresh():
                pass
            case _:
                return False
    return True


def _mentioned(lines: Iterable[str]) -> set[Slot]:
    return {int(slot) for line in lines for slot in re.findall(r"E\[(\d+)\]", line)}


def _decisions(path: list[Place], pool: Pool) -> list[str]:
    """Numbers are read, and compared with how the path goes on."""
    lines = []
    for at, place in enumerate(path):
        lines += [
            each.line(pool) for each in place.instructions if isinstance(each, Element | Compute)
        ]
        if place.end is not None:
            key = next(key for key, ways in place.children.items() if path[at + 1] in ways)
            slot = place.end[1]
            lines.append(f"if {_other(pool, slot, key)}: return False")
    return lines


def _other(pool: Pool, slot: Slot, key: tuple[Any, ...]) -> str:
    """Whether the value in a slot is another one than that of a branch's key."""
    kind, value = key
    if kind is bool:
        return f"E[{slot}] is not {value}"
    shown = f"repr(E[{slot}])" if kind is float else f"E[{slot}]"
    return f"type(E[{slot}]) is not {pool.name(kind)} or {shown} != {pool.literal(value)}"


class _Joined:
    """Graphs put one after the other: what one gives, the next reads as a value, or as a view of one."""

    def __init__(self) -> None:
        self._inputs: dict[Read, Input] = {}
        self._scalars: list[Any] = []
        self._order: list[Input | ScalarInput] = []
        self._values: dict[Slot, Node] = {}
        """What slots hold that programs have written: their outputs, and outside memory."""
        self._written: dict[Slot, None] = {}

    def add(self, run: Run) -> bool:
        """Whether the program could be added.

        What it reads of others must be whole values, their axes in any order, and what it writes memory without gaps, from
        its beginning on: the new value takes its place byte by byte.
        """
        graph: Graph = run.graph
        new: dict[Node, Node] = {}
        reads, scalars = iter(run.inputs), iter(run.scalars)
        slot_of: dict[Node, Slot] = {}
        targets = {effect.target for effect in graph.effects}
        for node in graph.inputs:
            if isinstance(node, ScalarInput):
                scalar = ScalarInput(node.aval, node.loc)
                new[node] = scalar
                self._order.append(scalar)
                self._scalars.append(next(scalars))
                continue
            slot, offset = next(reads)
            if node in targets and (offset or node.strides is not None):
                return False
            slot_of[node] = slot
            value = self._values.get(slot)
            seen = self._input(node, slot, offset) if value is None else _seen(value, node, offset)
            if seen is None:
                return False
            new[node] = seen
        for each in graph.nodes:
            if each not in new:
                new[each] = with_inputs(each, new)
        changed = {slot_of[effect.target]: new[effect.value] for effect in graph.effects}
        self._values.update(zip(run.outputs, (new[output] for output in graph.outputs)))
        self._values.update(changed)
        self._written.update(dict.fromkeys(slot for slot in changed if slot in run.written))
        return True

    def _input(self, node: Input, slot: Slot, offset: int) -> Input:
        key = (slot, offset, node.aval, node.strides)
        found = self._inputs.get(key)
        if found is None:
            found = self._inputs[key] = Input(node.aval, node.strides, node.loc, slot)
            self._order.append(found)
        return found

    def program(
        self, pool: Pool, needed: set[Slot], make: Callable[[Graph], Program]
    ) -> tuple[Program, str]:
        """The one program, and its call, which gives what is needed of its values."""
        slots = [slot for slot in self._values if slot in needed or slot in self._written]
        graph = Graph(tuple(self._order), tuple(self._values[slot] for slot in slots))
        program = make(graph)
        inputs = tuple((slot, offset) for slot, offset, _, _ in self._inputs)
        call = Run(program.runner, inputs, tuple(self._scalars), tuple(slots), (), graph, (), graph)
        return program, call.line(pool)


def _seen(value: Node, read: Input, offset: int) -> Node | None:
    """A value as another program reads its memory; None where that is not all of it."""
    if offset or read.aval.size != value.aval.size or read.aval.dtype is not value.aval.dtype:
        return None
    shape = read.aval.sizes
    if read.strides is None:
        return _applied("reshape", value, shape=shape)
    strides = read.strides
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
    in_memory = tuple(shape[axis] for axis in order)
    if row_major(in_memory).strides != tuple(strides[axis] for axis in order):
        return None
    back = tuple(order.index(axis) for axis in range(len(shape)))
    return _applied("permute", _applied("reshape", value, shape=in_memory), axes=back)


def _applied(name: str, value: Node, **params: Any) -> Node:
    op = REGISTRY[name]
    aval = op.infer(value.aval, **params)
    return (
        value
        if aval is value.aval and name == "reshape"
        else Apply(op, (value,), params_key(params), aval)
    )
