"""What a recorded call did between two decisions that depend on data: guards, then instructions, then how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tracejit._records import dataclass, field
from tracejit.eager import transferred
from tracejit.ir.aval import Aval
from tracejit.ir.graph import Graph, ScalarInput
from tracejit.ops.op import Layout
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage
from tracejit.tensor import Tensor, make
from tracejit.tracing.programs import LateProgram
from tracejit.tracing.replay.code import Pool, expression
from tracejit.tracing.replay.guards import Guard
from tracejit.tracing.replay.memory import private
from tracejit.tracing.replay.resizing import Resizing, slots_text


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A program: `inputs` are (slot, bytes from its start), `scalars` literals or symbols.

    written    slots of outside memory that it writes
    graph      what it computes, with the sizes of the recorded call
    sizes      slots of the open sizes that it is made for at each run
    whole      the graph in which these are open
    """

    run: Callable[..., list[Buffer]]
    inputs: tuple[tuple[int, Any], ...]
    scalars: tuple[Any, ...]
    outputs: tuple[int, ...]
    written: tuple[int, ...]
    graph: Graph
    sizes: tuple[int, ...]
    whole: Graph

    def line(self, pool: Pool) -> str:
        addresses = "".join(
            f"E[{slot}].address{_plus(pool, offset)}, " for slot, offset in self.inputs
        )
        scalars = "".join(f"{pool.literal(scalar)}, " for scalar in self.scalars)
        sizes = f"{slots_text(self.sizes)}, " if self.sizes else ""
        run = pool.name(self.run)
        if isinstance(self.run, LateProgram):
            run = f"{run}.run"  # which changes once it has been compiled
        call = f"{run}({sizes}({addresses}), ({scalars}))"
        if not self.outputs:
            return call
        return f"{''.join(f'E[{slot}], ' for slot in self.outputs)} = {call}".replace(",  =", ", =")

    @property
    def changes(self) -> set[int]:
        """Slots of all memory that it writes, the call's own as well."""
        nodes = [node for node in self.graph.inputs if not isinstance(node, ScalarInput)]
        slots = {node: slot for node, (slot, _) in zip(nodes, self.inputs)}
        return {slots[effect.target] for effect in self.graph.effects}


def _plus(pool: Pool, offset: Any) -> str:
    text = pool.literal(offset)
    return "" if text == "0" else f" + {text}"


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """A Python function of numbers, some of which were read from tensors."""

    slot: int
    function: Callable[..., Any]
    operands: tuple[Any, ...]

    def line(self, pool: Pool) -> str:
        return f"E[{self.slot}] = {expression(pool, self.function, self.operands)}"


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """The one element of a tensor as a Python number."""

    slot: int
    memory: int
    aval: Aval
    offset: Any
    """In bytes."""

    def line(self, pool: Pool) -> str:
        read = element if self.aval.device == "cpu" else fetched_element
        return (
            f"E[{self.slot}] = {pool.name(read)}(E[{self.memory}], "
            f"{pool.name(self.aval.dtype.numpy)}, {pool.literal(self.offset)})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A function that looks at the elements of a tensor, and raises where they are not what the next ops need."""

    function: Callable[..., Any]
    before: tuple[Any, ...]
    memory: int
    aval: Aval
    layout: Layout
    after: tuple[Any, ...]
    sizes: Resizing | None = None

    def line(self, pool: Pool) -> str:
        names = ", ".join(
            pool.name(each) if self.sizes is None else self.sizes.text(pool, each)
            for each in (self.aval, self.layout)
        )
        tensor = f"{pool.name(tensor_over)}(E[{self.memory}], {names})"
        operands = ", ".join(
            [*map(pool.literal, self.before), tensor, *map(pool.literal, self.after)]
        )
        return f"{pool.name(self.function)}({operands})"


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """The elements of a tensor in new memory of another device."""

    slot: int
    memory: int
    aval: Aval
    layout: Layout
    device: str
    sizes: Resizing | None = None

    def line(self, pool: Pool) -> str:
        names = ", ".join(
            pool.name(each) if self.sizes is None else self.sizes.text(pool, each)
            for each in (self.aval, self.layout)
        )
        tensor = f"{pool.name(tensor_over)}(E[{self.memory}], {names})"
        moved = f"{pool.name(transferred)}({tensor}, {self.device!r})"
        return f"E[{self.slot}] = {moved}.storage.buffer"


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Memory that holds the same at the start of every call."""

    slot: int
    template: Buffer

    def line(self, pool: Pool) -> str:
        return f"E[{self.slot}] = {pool.name(private)}({pool.name(self.template)})"


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Slots that a loop's head reads become others' values, all at once."""

    targets: tuple[int, ...]
    sources: tuple[int, ...]

    def line(self, pool: Pool) -> str:
        left = "".join(f"E[{slot}], " for slot in self.targets)
        right = "".join(f"E[{slot}], " for slot in self.sources)
        return f"{left}= {right}" if self.targets else "pass"


Instruction = Run | Compute | Element | Check | Transfer | Fresh | Move
RISKY = Compute | Check
"""What may raise."""


def element(buffer: Buffer, dtype: Any, offset: int) -> bool | int | float:
    return buffer.array(dtype, (), None, offset).item()


def fetched_element(buffer: Buffer, dtype: Any, offset: int) -> bool | int | float:
    """The same of memory that machine code cannot look into."""
    return element(buffer, dtype, offset)


def tensor_over(buffer: Buffer, aval: Aval, layout: Layout) -> Tensor:
    return make(Storage(aval.dtype, aval.size, buffer), layout, aval)


@dataclass(slots=True, eq=False)
class End:
    """How a segment ends.

    kind      "branch" on the value of `slot`, taken by `outcome`; "head" of a loop; "goto" the head at segment `target`
    """

    kind: str
    slot: int = -1
    outcome: Any = None
    target: int = -1
    where: str = ""


@dataclass(slots=True, eq=False)
class Segment:
    guards: list[tuple[Guard, str]] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    end: End | None = None

    def writes(self) -> Iterator[tuple[int, int]]:
        """(place of the instruction, slot of outside memory that it writes)"""
        for place, instruction in enumerate(self.instructions):
            if isinstance(instruction, Run):
                for slot in instruction.written:
                    yield place, slot


def last_risk(segment: Segment) -> int:
    """The place of the last instruction that may raise; -1 if there is none."""
    risky = [at for at, each in enumerate(segment.instructions) if isinstance(each, RISKY)]
    return risky[-1] if risky else -1
