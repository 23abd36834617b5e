"""A recorded call as the records of an artifact: what it reads and writes, and the steps in between."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, assert_never

import numpy as np

from tracejit import dtypes
from tracejit._records import dataclass
from tracejit.eager import check_indices
from tracejit.executable import foreign_op
from tracejit.indexing import check_labels
from tracejit.ir.device import device_of
from tracejit.ir.graph import Graph, Input, ScalarInput, topological
from tracejit.runtime.buffer import copy_of
from tracejit.standalone.arguments import Given, GivenParameter
from tracejit.standalone.reads import ATOMS, Reads
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Baked,
    Body,
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    DictArgument,
    DictResult,
    Element,
    Finish,
    FixedArgument,
    GivenResult,
    Memory,
    NumberArgument,
    NumberResult,
    NumberState,
    NumberUpdate,
    Parameter,
    Require,
    Result,
    Run,
    SequenceArgument,
    SequenceResult,
    Slot,
    State,
    Step,
    TensorResult,
    TensorState,
    TensorUpdate,
    Update,
)
from tracejit.standalone.results import slots_of
from tracejit.symbols import SYMBOLS
from tracejit.tensor import Tensor
from tracejit.tracing.replay import segments as s
from tracejit.tracing.replay.finish import last_effects
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.writes import EffectOf
from tracejit.tracing.stand_in import StandIn, is_number


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A call, its programs' graphs and its constants.

    call      whose state has no values yet
    places    where the value of each piece of state is found
    written   slots of memory, of arguments and state, that programs write
    decisive  the sources of arguments that are numbers whose value was looked at
    """

    call: Call
    graphs: tuple[Graph, ...]
    constants: dict[str, np.ndarray]
    places: tuple[Source, ...]
    baked: tuple[Baked, ...]
    written: frozenset[int]
    decisive: frozenset[Any]


def script_of(recording: Recording, given: Given, function: Any, result: Any) -> Script:
    """Raises ExportError for what an artifact cannot carry."""
    return _Writer(recording, given, function).run(result)


class _Writer(Reads):
    def __init__(self, recording: Recording, given: Given, function: Any) -> None:
        super().__init__(recording, given, function)
        self.graphs: list[Graph] = []
        self.constants: dict[str, np.ndarray] = {}
        self.containers: list[Any] = []
        """Those of the result that have been met."""

    def run(self, result: Any) -> Script:
        effects = last_effects(self.recording)
        for effect in effects:
            self.check_effect(effect)
        built = self.result(result, {})
        updates = [self.update(effect) for effect in effects]
        kept = self.needed(built, updates)
        returned = {*slots_of(built)}
        steps = [*self.early(), *self.steps(kept, returned)]
        written = {
            slot for step in steps if isinstance(step, Run) for slot in self.written_by(step)
        }
        parameters = tuple(self.parameter(each, written) for each in self.given.data)
        state = self.used_state(steps, updates, returned)
        call = Call(
            self.slots,
            parameters,
            tuple(each for each, _ in state),
            Body(tuple(steps), Finish(tuple(updates), built)),
        )
        places = tuple(place for _, place in state)
        baked = tuple(self.baked())
        return Script(
            call,
            tuple(self.graphs),
            self.constants,
            places,
            baked,
            frozenset(written),
            frozenset(self.decisive(steps)),
        )

    # The result

    def result(self, value: Any, known: dict[int, int]) -> Result:
        """`known` numbers the tensors that have been met."""
        kind = type(value)
        if kind in SYMBOLS or kind in ATOMS:
            return NumberResult(self.operand(value))
        if is_tensor(value):
            return self.tensor_result(value, known)
        if kind not in (list, tuple, dict):
            self.refuse(
                f"the call returns a {kind.__name__}: return tensors, numbers, lists, tuples and dicts"
            )
        if kind is not tuple and any(value is each for each in self.containers):
            self.refuse(f"the result holds one {kind.__name__} twice")
        self.containers.append(value)
        if kind is not dict:
            return SequenceResult(kind.__name__, tuple(self.result(part, known) for part in value))
        if not all(type(key) in (str, int) for key in value):
            self.refuse("the call returns a dict whose keys are neither text nor ints")
        return DictResult(tuple(value), tuple(self.result(part, known) for part in value.values()))

    def tensor_result(self, tensor: Tensor, known: dict[int, int]) -> Result:
        source = self.recording.outside.get(id(tensor))
        if source is not None and self.given.is_data(source):
            return GivenResult(self.first[source.identity])
        number = known.setdefault(id(tensor), len(known))
        memory = self.memory_of(tensor, "")
        if type(tensor) is StandIn:
            return TensorResult(number, memory, "scalar" if is_number(tensor) else "array")
        return TensorResult(number, memory, "tensor")

    # Effects

    def check_effect(self, effect: EffectOf) -> None:
        assert effect.kind in ("attribute", "item", "cell", "gradient"), "others end the recording"
        if self.given.is_data(effect.source):
            grad = "the gradient of " if effect.kind == "gradient" else ""
            what = f"{grad}{effect.source}, an argument, is written"
            self.refuse(f"{what}: return it instead", effect.where)

    def place(self, effect: EffectOf) -> Source:
        match effect.kind:
            case "item":
                return effect.source.item(effect.name)
            case "cell":
                return effect.source.attribute("cell_contents")
            case "gradient":
                return effect.source.attribute("grad")
            case _:
                return effect.source.attribute(effect.name)

    def update(self, effect: EffectOf) -> Update:
        place, value = self.place(effect), effect.value
        if is_tensor(value):
            return self.tensor_update(place, value, effect.where)
        slot = self.first.get(place.identity)
        if slot is None:
            slot = self.first[place.identity] = self.slot()
            self.state.append(NumberState(self.names.of(place), slot, None, None))
            self.places.append(place)
        return NumberUpdate(slot, self.operand(value, effect.where))

    def tensor_update(self, place: Source, value: Tensor, where: str) -> TensorUpdate:
        memory = self.memory_of(value, where)
        if memory.slot in self.argument_slots():
            self.refuse(
                f"{place} keeps an argument, which the caller may change: keep a copy", where
            )
        slot = self.first.get(place.identity)
        if slot is None:
            slot = self.first[place.identity] = self.slot()
            self.tensors[slot] = place, value
        return TensorUpdate(slot, memory)

    def argument_slots(self) -> set[int]:
        return {
            slot
            for storage, slot in self.recording.outside_storages.items()
            if self.given.is_data(self.recording.tensor_sources[storage])
        }

    # Steps

    def needed(self, built: Result, updates: list[Update]) -> list[s.Instruction]:
        """The instructions that the result, the state or a check depends on."""
        wanted = {*slots_of(built)}
        wanted |= {each.memory.slot for each in updates if isinstance(each, TensorUpdate)}
        kept: list[s.Instruction] = []
        for instruction in reversed(self.segment.instructions):
            match instruction:
                case s.Run(outputs=outputs):
                    if not instruction.graph.effects and wanted.isdisjoint(outputs):
                        continue
                    instruction = _pruned(instruction, wanted)
                    wanted |= {self.at(slot, 0)[0] for slot, _ in instruction.inputs}
                case s.Element(memory=memory) | s.Check(memory=memory):
                    wanted.add(self.at(memory, 0)[0])
                case s.Fresh(slot=slot):
                    if slot not in wanted:
                        continue
                case s.Compute():
                    pass
                case s.Transfer() | s.Move():
                    self.refuse("a value moves to another device, or round a loop")
                case _:
                    assert_never(instruction)
            kept.append(instruction)
        return kept[::-1]

    def steps(self, kept: list[s.Instruction], returned: set[int]) -> Iterator[Step]:
        risk = max((n for n, each in enumerate(kept) if isinstance(each, s.RISKY)), default=-1)
        changed = {
            self.at(slot, 0)[0] for each in kept if isinstance(each, s.Run) for slot in each.changes
        }
        copied: set[int] = set()
        for number, instruction in enumerate(kept):
            match instruction:
                case s.Run():
                    for slot in sorted({self.at(each, 0)[0] for each in instruction.written}):
                        if number < risk and slot not in copied:
                            copied.add(slot)
                            yield Copy(slot)
                    yield self.program(instruction)
                case s.Compute(slot=slot, function=function, operands=operands):
                    yield self.compute(slot, function, operands, "")
                case s.Element(slot=slot, memory=memory, aval=aval, offset=offset):
                    base, begin = self.at(memory, int(offset))
                    yield Element(slot, Memory(base, aval.dtype.name, (), (), begin))
                case s.Check():
                    yield self.check(instruction)
                case s.Fresh(slot=slot, template=template):
                    name = f"#{len(self.constants)}"  # which is no name of state
                    own = copy_of(template)
                    self.constants[name] = own.array(np.dtype(np.uint8), (own.nbytes,))
                    yield Constant(slot, name, slot in changed | returned)

    def program(self, run: s.Run) -> Run:
        if device_of(run.graph) != "cpu":
            self.refuse(
                "the call computes on another device: only what the CPU computes is exported"
            )
        foreign = foreign_op(run.graph)
        if foreign is not None:
            self.refuse(f"{foreign.op} is an op that is not tracejit's own", str(foreign.loc or ""))
        self.graphs.append(run.graph)
        inputs = tuple(self.at(slot, int(offset)) for slot, offset in run.inputs)
        scalars = tuple(self.operand(each) for each in run.scalars)
        return Run(len(self.graphs) - 1, inputs, scalars, run.outputs)

    def check(self, check: s.Check) -> Check:
        memory = self.memory(check.memory, check.aval.dtype, check.layout)
        if check.function is check_labels:
            return Check("labels", str(check.before[0]), memory, 0, operator.index(check.after[0]))
        if check.function is not check_indices:
            self.refuse(f"{check.function.__name__} looks at elements, which an artifact cannot")
        axis, size = map(operator.index, check.after)
        return Check("indices", check.before[0].name, memory, axis, size)

    # The call as a whole

    def decisive(self, steps: list[Step]) -> Iterator[Any]:
        looked_at = {step.slot for step in steps if isinstance(step, Require)}
        for source in self.given.numbers():
            if self.first.get(source.identity) in looked_at:
                yield source.identity

    def parameter(self, parameter: GivenParameter, written: set[int]) -> Parameter:
        argument = self.argument(parameter.source, parameter.value, written)
        return Parameter(parameter.name, parameter.is_keyword, argument)

    def written_by(self, run: Run) -> Iterator[int]:
        graph = self.graphs[run.program]
        arrays = [node for node in graph.inputs if isinstance(node, Input)]
        targets = {effect.target for effect in graph.effects}
        for node, (slot, _) in zip(arrays, run.inputs):
            if node in targets:
                yield slot

    def argument(self, source: Source, value: Any, written: set[int]) -> Argument:
        kind = type(value)
        slot = self.first.get(source.identity)
        if isinstance(value, Tensor | np.ndarray):
            slot = self.slot() if slot is None else slot
            dtype = (
                value.aval.dtype if isinstance(value, Tensor) else dtypes.from_numpy(value.dtype)
            )
            is_array = kind is np.ndarray
            return ArrayArgument(slot, dtype.name, tuple(value.shape), is_array, slot in written)
        if kind in (list, tuple):
            parts = tuple(
                self.argument(source.item(place), part, written) for place, part in enumerate(value)
            )
            return SequenceArgument(kind.__name__, parts)
        if kind is dict:
            parts = tuple(
                self.argument(source.item(key), part, written) for key, part in value.items()
            )
            return DictArgument(tuple(value), parts)
        return FixedArgument(value) if slot is None else NumberArgument(slot, kind.__name__)

    def used_state(
        self, steps: list[Step], updates: list[Update], returned: set[int]
    ) -> list[tuple[State, Source]]:
        """The state that the call uses, with the place of each piece, in the order of the names."""
        read = returned | {slot for step in steps for slot in slots_read(step)}
        read |= {
            each.value.slot
            for each in updates
            if isinstance(each, NumberUpdate) and isinstance(each.value, Slot)
        }
        read |= {each.memory.slot for each in updates if isinstance(each, TensorUpdate)}
        written = {each.slot for each in updates}
        for slot in sorted(
            read & set(self.recording.outside_storages.values()) - self.argument_slots()
        ):
            if slot not in self.tensors:
                self.refuse(
                    f"{self.source_of(slot)} is a view of a larger tensor: keep a copy in its place"
                )
        found: list[tuple[State, Source]] = [
            (each, place)
            for each, place in zip(self.state, self.places)
            if each.slot in read | written
        ]
        for slot, (source, tensor) in self.tensors.items():
            if slot in read | written:
                aval, is_array = tensor.aval, type(tensor) is StandIn
                name = self.names.of(source)
                made = TensorState(
                    name, slot, aval.dtype.name, tuple(aval.sizes), is_array, slot in read
                )
                found.append((made, source))
        return sorted(found, key=lambda pair: pair[0].name)

    def source_of(self, slot: int) -> Source:
        recording = self.recording
        return next(
            recording.tensor_sources[storage]
            for storage, each in recording.outside_storages.items()
            if each == slot
        )


def is_tensor(value: Any) -> bool:
    """What stands for an array says of itself that it is one."""
    return type(value) is StandIn or isinstance(value, Tensor)


def slots_read(step: Step) -> Iterator[int]:
    """The slots that a step reads."""
    match step:
        case Compute(operands=operands):
            yield from (each.slot for each in operands if isinstance(each, Slot))
        case Require(slot=slot) | Copy(slot=slot):
            yield slot
        case Element(memory=memory) | Check(memory=memory):
            yield memory.slot
        case Run(inputs=inputs, scalars=scalars):
            yield from (slot for slot, _ in inputs)
            yield from (each.slot for each in scalars if isinstance(each, Slot))
        case Constant():
            pass
        case _:
            assert_never(step)


def _pruned(run: s.Run, wanted: set[int]) -> s.Run:
    """The program without the outputs that nobody wants, and without what only these needed."""
    graph = run.graph
    kept = [place for place, slot in enumerate(run.outputs) if slot in wanted]
    outputs = tuple(graph.outputs[place] for place in kept)
    roots = (*outputs, *(effect.value for effect in graph.effects))
    needed = {*topological(roots), *(effect.target for effect in graph.effects)}
    inputs = tuple(node for node in graph.inputs if node in needed)
    arrays = [node for node in graph.inputs if isinstance(node, Input)]
    scalars = [node for node in graph.inputs if isinstance(node, ScalarInput)]
    return s.Run(
        run.run,
        tuple(place for node, place in zip(arrays, run.inputs, strict=True) if node in needed),
        tuple(value for node, value in zip(scalars, run.scalars, strict=True) if node in needed),
        tuple(run.outputs[place] for place in kept),
        run.written,
        Graph(inputs, outputs, graph.effects),
    )
