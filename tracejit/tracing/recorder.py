"""The interpreter of a compiled call: ops wait until somebody looks at a value, and then run as one program."""

from __future__ import annotations

import threading
from typing import Any, NoReturn
from weakref import ref

from tracejit import dispatch
from tracejit._errors import CompileError, at_user_line, user_location
from tracejit.autograd.tape import is_grad_enabled
from tracejit.eager import check_indices
from tracejit.ops.arguments import SCALARS, number_as
from tracejit.ops.op import Gather, Op, Params, Pointwise, ScatterAdd, Transfer, View
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage
from tracejit.tensor import Tensor, make, view_of
from tracejit.tracing.programs import Program, Programs
from tracejit.tracing.trace import Step
from tracejit.tracing.tracer import Tracer


class Recorder(Tracer):
    """Records the ops of one call, on whichever thread they run.

    A storage whose content is still to be computed says at which place of the trace it stands (`pending`). Storages that are
    still alive when the trace ends are its outputs; those that had memory before are written.
    """

    def __init__(self, programs: Programs) -> None:
        self._lock = threading.RLock()
        self._budget = programs.budget
        self._part = 0
        super().__init__(programs)

    def _begin(self) -> None:
        super()._begin()
        self._fresh: list[ref[Storage]] = []
        self._written: dict[Storage, int] = {}

    # The interpreter

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Tensor:
        recipe = type(op.recipe)
        if recipe is not Pointwise:
            if recipe is View and (view := view_of(args[0], op, params)) is not None:
                return view
            if recipe is Transfer:
                return self._transfer(op, args[0], params)
            if recipe in (Gather, ScatterAdd):  # they can fail: here, not when they run
                axis = params["axis"]
                self._check_indices(op, args[1], axis, args[0].aval.sizes[axis])
        try:
            with self._lock:
                tensor = self._result(self.step(op, [self.place_of(arg) for arg in args], params))
                if self._last.place >= self._budget:
                    self._cut("that is enough for one program")
                return tensor
        except _Elsewhere as found:
            found.storage.realize()
            return self.bind(op, args, params)
        except _OtherDevice:
            self._cut("what follows is computed on another device")
            return self.bind(op, args, params)

    def _check_place(self, device: str) -> None:
        if self._last.device not in (None, device):
            raise _OtherDevice

    def _transfer(self, op: Op, tensor: Tensor, params: Params) -> Tensor:
        """The elements on another device: at once, as a program is of one device."""
        self._cut("a value moves to another device")
        moved: Tensor = dispatch.below(self).bind(op, (tensor,), params)
        return moved

    def _check_indices(self, op: Op, indices: Tensor, axis: int, extent: int) -> None:
        check_indices(op, indices, axis, extent)

    def again(self, op: Op, args: tuple[Any, ...]) -> Tensor | None:
        """The result of an op that has stood here before, on whole values and at most one Python number.

        The step tells all that coercing, the tape and inference would, which led to it before. None where they may tell
        something else, or where more is to be done than to look the step up.
        """
        with self._lock:
            places: list[int | None] = []
            number = dtype = None
            for arg in args:
                if (type(arg) is float or type(arg) is int) and number is None:
                    number = arg
                    places.append(None)
                    continue
                if type(arg) is not Tensor or arg.origin is not None:
                    return None
                if arg.autograd is not None and is_grad_enabled():
                    return None
                pending = arg.storage.pending
                if pending is not None and pending[0] is not self:
                    return None
                places.append(self._input(arg) if pending is None else pending[1])
                dtype = arg.aval.dtype
            if number is None:
                return self._follow(self._last, op, places)
            if dtype is None or not dtype.is_float:
                return None
            scalar = self._last.after.get(SCALARS[dtype])
            if scalar is None:
                return None
            places[places.index(None)] = scalar.place
            before, number = len(self._steps), number_as(number, dtype)
            found = self._follow(scalar, op, places)
            if found is not None:
                self._steps.insert(before, scalar)
                self._scalars.append(number)
            return found

    def _follow(self, last: Step, op: Op, places: list[int | None]) -> Tensor | None:
        """The value of the step after `last` that applies `op`, if there is one and it ends no program."""
        step = last.after.get((op, *places))
        return None if step is None or step.place >= self._budget else self._result(step)

    def _result(self, step: Step) -> Tensor:
        """The value of the next step, which waits."""
        aval = step.aval
        storage = Storage(aval.dtype, aval.size, None, (self, step.place))
        tensor = make(storage, step.layout, aval)
        self._fresh.append(ref(storage))
        self._last = step  # nothing from here on can raise RecursionError, and the trace is whole at any time
        self._steps.append(step)
        return tensor

    def assign(self, target: Tensor, value: Tensor) -> None:
        storage = target.storage
        if self._is_exposed(storage):
            # Others may look at the memory as soon as this statement is done.
            self._cut("memory that is shared with NumPy is written")
            dispatch.below(self).assign(target, value)
            return
        try:
            with self._lock:
                self._check_place(target.aval.device)
                base, place = self.write(target, self.place_of(value))
                if self._known(storage) is None:
                    self._written[storage] = self._input(base)
                storage.pending = (self, place)
                storage.note_write()
        except _Elsewhere as found:
            found.storage.realize()
            self.assign(target, value)
        except _OtherDevice:
            self._cut("what follows is computed on another device")
            self.assign(target, value)

    def realize(self, storage: Storage) -> None:
        """Gives `storage` its memory; with it all other values that wait."""
        self._cut("a value is looked at")

    def expose(self, storage: Storage) -> None:
        if storage in self._storages:
            self._cut("memory is shared with NumPy")

    def _known(self, storage: Storage) -> int | None:
        pending = storage.pending
        if pending is None:
            return None
        if pending[0] is not self:
            raise _Elsewhere(storage)
        place: int = pending[1]
        return place

    def _memory(self, storage: Storage) -> Buffer:
        assert storage.buffer is not None
        return storage.buffer

    def waiting(self) -> list[Storage]:
        """The storages that are still to be given their memory."""
        return [storage for held in self._fresh if (storage := held()) is not None]

    # Running

    def _cut(self, why: str) -> None:
        if not self._steps:
            return
        self._programs.cuts[f"{user_location()}: {why}"] += 1
        self.flush()

    def flush(self) -> None:
        """Runs what was recorded: afterwards every tensor has its memory, and every write has been made."""
        with self._lock:
            if not self._steps:
                return
            fresh = self.waiting()
            written = self._written
            try:
                if fresh or written:
                    self._run(fresh, written)
            except BaseException as error:
                _lose(fresh, written, error)
                raise
            finally:
                self._begin()

    def _run(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        outputs = tuple([storage.pending[1] for storage in fresh])  # type: ignore[index]  # those that wait
        effects = tuple([(target, storage.pending[1]) for storage, target in written.items()])  # type: ignore[index]
        program = self._programs.ending(self._last, (outputs, effects), self._part)
        self._part += 1
        self.last_program = program
        buffers = self._execute(program)
        for storage, buffer in zip(fresh, buffers, strict=True):
            storage.buffer = buffer
            storage.pending = None
        for storage in written:
            storage.pending = None

    def _execute(self, program: Program) -> list[Buffer]:
        return program.run(self._addresses, self._scalars)


class _OtherDevice(Exception):
    """An op is computed on another device than those recorded before."""


class _Elsewhere(Exception):
    """Another thread's recorder holds the value. It is asked without a lock held, as it may be asking for one of ours."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage


def _lose(fresh: list[Storage], written: dict[Storage, int], error: BaseException) -> None:
    """The values of a program that failed do not exist; whoever asks for one is told why."""
    for storage in fresh:
        storage.pending = (_Lost(error), None)
    for storage in written:
        storage.pending = None


class _Lost:
    """Stands for a recorder whose program failed."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def realize(self, storage: Storage) -> NoReturn:
        raise CompileError(
            at_user_line("the value was lost when its program failed")
        ) from self.error
