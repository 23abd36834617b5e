"""A call as machine code, entered from this process with programs that are there: no step is Python's, and C is not needed."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import tracejit as tj
from tests.standalone.libraries import bits
from tests.standalone.test_roundtrip import batch, descend, network
from tracejit import optim, portable
from tracejit.demo import train_step
from tracejit.runtime.buffer import array_at
from tracejit.runtime.cpu.link import link
from tracejit.standalone.capture import capture
from tracejit.standalone.examples import Examples
from tracejit.standalone.exporting import _with_values
from tracejit.standalone.machine.bodies import call_code
from tracejit.standalone.machine.frame import (
    CONSTANTS,
    RUN,
    TABLES,
    THREADS,
    frame_of,
    leaves_of,
    results_of,
    workspace_bytes,
)
from tracejit.standalone.machine.steps import Placed
from tracejit.standalone.records import Finish, Memory, NumberState
from tracejit.standalone.ways import ways_of


class Machine:
    """What a call of a function does, and the frame that it does it in."""

    def __init__(self, function: Any, *args: Any) -> None:
        captured = capture(function, Examples(args, {}))
        state, tensors = _with_values(captured)
        self.call = call = replace(captured.script.call, state=state)
        level = portable.level_of(None)
        made = portable.compiled(captured.script.graphs, level, fastmath=False, memory_limit=None)
        self.programs = programs = portable.linked(*made)
        plans = [program.plan for program in programs]
        pieces = {name: np.ravel(each).view(np.uint8) for name, each in tensors.items()}
        self.frame = frame = frame_of(
            call, plans, {name: len(each) for name, each in pieces.items()}
        )
        pieces |= {str(n): np.frombuffer(p.constants, np.uint8) for n, p in enumerate(plans)}
        self.places = places = self.place(pieces)
        placed = Placed(places, [places[str(number)] for number in range(len(plans))])
        code = call_code("machine_call", call, plans, frame, placed, captured.where)
        self.failures = code.failures
        self.way = next(way for way in ways_of(call) if isinstance(way.end, Finish))
        address = link(portable.objects_of([code.source], level))["machine_call"]
        self.enter = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(address)
        fixed, scratch = workspace_bytes(plans)
        self.words = aligned(frame.workspace + fixed + 2 * scratch).view(np.int64)
        self.words[[THREADS, CONSTANTS]] = 2, self.constants.ctypes.data
        for number, program in enumerate(programs):
            self.words[RUN] = program.run_address
            (self.words[TABLES + number],) = program.tables or [0]
        for area in frame.areas:
            self.words[area.word] = self.words.ctypes.data + area.offset
        self.memory: list[np.ndarray] = []  # the first of state that calls change
        for each in frame.held:
            self.begin(each, tensors)

    def place(self, pieces: dict[str, np.ndarray]) -> dict[str, int]:
        """Puts bytes one after the other, and gives where each is."""
        places, size = {}, 0
        for name, each in pieces.items():
            places[name], size = size, size + -(-len(each) // 64) * 64
        self.constants = aligned(size)
        for name, each in pieces.items():
            self.constants[places[name] :][: len(each)] = each
        return places

    def begin(self, state: Any, tensors: dict[str, np.ndarray]) -> None:
        cell = self.frame.cells[state.slot]
        if isinstance(state, NumberState):
            self.put(cell, state.value)
        elif state.slot not in self.frame.changed:
            self.words[cell] = self.constants.ctypes.data + self.places[state.name]
        else:
            memory = aligned(self.frame.sizes[state.slot])
            self.memory.append(memory)
            self.words[cell] = memory.ctypes.data
            if state.is_read:
                self.state(state.name)[...] = tensors[state.name]

    def put(self, word: int, value: Any) -> None:
        kind = np.float64 if type(value) is float else np.int64
        is_array = isinstance(value, np.ndarray)
        self.words[word : word + 1].view(kind)[0] = value.ctypes.data if is_array else value

    def state(self, name: str) -> Any:
        found = next(each for each in self.frame.held if each.name == name)
        word = self.frame.cells[found.slot]
        if isinstance(found, NumberState):
            return self.words[word]
        return array_at(int(self.words[word]), np.dtype(found.dtype), found.shape, None)

    def __call__(self, *given: Any) -> list[np.ndarray] | str:
        """The arrays that are returned, or what has failed."""
        for leaf, value in zip(leaves_of(self.call), given, strict=True):
            self.put(self.frame.cells[leaf.slot], value)
        status = self.enter(self.words.ctypes.data)
        return self.failures[status - 1].text if status else [*self.results()]

    def results(self) -> Iterator[np.ndarray]:
        for result, place in zip(results_of(self.call, self.way), self.frame.returned, strict=True):
            assert isinstance(result, Memory)
            address = int(self.words[place.found])
            yield array_at(address, np.dtype(result.dtype), result.shape, None)


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that begin at a multiple of 64, as many as fill words."""
    size = -(-nbytes // 8) * 8
    memory = np.zeros(size + 64, np.uint8)
    return memory[-memory.ctypes.data % 64 :][:size]


def test_a_training_step_is_one_native_function() -> None:
    tj.random.seed(5)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    machine = Machine(train_step, model, optimizer, *batch(0))
    step = tj.compile(train_step)
    for n in range(4):
        expected = bits(step(model, optimizer, *batch(n)))
        assert bits(machine(*map(np.asarray, batch(n)))) == expected
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert bits(machine.state(f"model.{name}")) == bits(value)
    assert machine.state("optimizer.state[model.0.weight].step") == 4


def test_what_fails_changes_nothing() -> None:
    tj.random.seed(5)
    model = network()
    machine = Machine(train_step, model, optim.SGD(model.parameters(), lr=0.1), *batch(0))
    images, labels = map(np.asarray, batch(0))
    machine(images, labels)
    before = machine.words.copy()
    told = machine(images, labels + 1)
    assert isinstance(told, str)
    assert told.endswith("cross_entropy: a label is out of bounds for 4 classes")
    for state in machine.frame.held:
        cell = machine.frame.cells[state.slot]
        assert machine.words[cell] == before[cell]
    begin, end = 8 * machine.frame.words, machine.frame.workspace
    held = {machine.frame.cells[each.slot] for each in machine.frame.held}
    for area in machine.frame.areas:
        if area.word in held:
            bytes_ = slice(area.offset, area.offset + area.nbytes)
            assert begin <= area.offset <= end
            now = machine.words.view(np.uint8)[bytes_]
            assert now.tobytes() == before.view(np.uint8)[bytes_].tobytes()


def test_arguments_are_written_and_results_are_views() -> None:
    def f(w, x, rate):
        loss = descend(w, x, rate)
        return loss, w[::-1], x * 2

    w, x = np.array([1, 2], np.float32), np.array([1, 0.5], np.float32)
    machine, twin = Machine(f, tj.tensor(w), tj.tensor(x), 0.5), tj.tensor(w)
    for rate in (0.5, 0.25):
        assert bits(machine(w, x, rate)) == bits(f(twin, tj.tensor(x), rate))
    assert bits(w) == bits(twin)
