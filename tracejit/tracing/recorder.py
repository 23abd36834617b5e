"""The interpreter of a compiled call: ops wait until somebody looks at a value, and then run as one program."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn
from weakref import ref

import numpy as np

from tracejit import dispatch
from tracejit._config import config
from tracejit._errors import CompileError, at_user_line, user_location
from tracejit.dispatch import Scalar
from tracejit.ir.aval import Aval
from tracejit.ir.graph import Apply, Input, ScalarInput, params_key
from tracejit.ops.op import Layout, Op, Params, View
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage, as_array, is_row_major
from tracejit.tensor import Tensor, make, view_of
from tracejit.tracing.programs import Programs
from tracejit.tracing.trace import Step


class Recorder:
    """Records the ops of one call, on whichever thread they run.

    A value is known by its place in the trace. A storage whose content is still to be computed says which place it is
    (`pending`); a view of it is derived from that place when it is read, so that it shows the last write to its base.
    Storages that are still alive when the trace ends are its outputs; those that had memory before are written.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._lock = threading.RLock()
        self._budget = config.node_budget
        self._begin()

    def _begin(self) -> None:
        self._last: Step = self._programs.root()
        self._steps: list[Step] = []
        self._fresh: list[ref[Storage]] = []
        self._written: dict[Storage, int] = {}
        self._inputs: dict[Any, int] = {}
        self._views: dict[tuple[Any, ...], int] = {}
        self._copies: dict[Any, tuple[int, np.ndarray]] = {}
        self._storages: dict[Storage, int] = {}
        self._kept: list[Buffer] = []
        self._addresses: list[int] = []
        self._scalars: list[bool | int | float] = []

    # The interpreter

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Tensor:
        with self._lock:
            if type(op.recipe) is View and (view := view_of(args[0], op, params)) is not None:
                return view
            step = self._apply(op, [self._place(arg) for arg in args], params)
            tensor = self._pending_tensor(step)
            if step.place >= self._budget:
                self.flush()
            return tensor

    def assign(self, target: Tensor, value: Tensor) -> None:
        storage = target.storage
        with self._lock:
            place = self._place(value)
            if is_exposed(storage):
                # Others may look at the memory as soon as this statement is done.
                self.flush()
                dispatch.below(self).assign(target, value)
                return
            if storage.pending is not None and storage.pending[0] is not self:
                storage.realize()
            base = target
            while base.origin is not None:
                base, op, params = base.origin
                place = self._put_back(op, params, base, place)
            if storage.pending is None:
                self._written[storage] = self._input(base)
            storage.pending = (self, place)
            storage.note_write()

    def realize(self, storage: Storage) -> None:
        """Gives `storage` its memory; with it all other values that wait."""
        self.flush()

    # The trace

    def _pending_tensor(self, step: Step) -> Tensor:
        aval = step.aval
        storage = Storage(aval.dtype, aval.size, None, (self, step.place))
        self._fresh.append(ref(storage))
        return make(storage, step.layout, aval)

    def _apply(self, op: Op, places: list[int], params: Params) -> Step:
        """The step that applies `op`; only one that is new costs more than a look-up."""
        key = (op, *places, *map(_distinct, params.items())) if params else (op, *places)
        step = self._last.after.get(key)
        if step is None:
            inputs = tuple(self._steps[place].node for place in places)
            aval = op.infer(*(node.aval for node in inputs), **params)
            node = Apply(op, inputs, params_key(params), aval, user_location())
            step = self._last.then(key, node)
        return self._to(step)

    def _to(self, step: Step) -> Step:
        self._last = step
        self._steps.append(step)
        return step

    def _place(self, value: Any) -> int:
        """Where in the trace `value`, as it is now, stands."""
        if type(value) is Scalar:
            return self._number(value)
        pending = value.storage.pending
        if pending is None:
            return self._input(value)
        if pending[0] is not self:
            value.storage.realize()
            return self._input(value)
        return pending[1] if value.origin is None else self._seen(value)  # type: ignore[no-any-return]

    def _number(self, scalar: Scalar) -> int:
        self._scalars.append(scalar.value)
        return self._enter(scalar.aval, ScalarInput, scalar.aval)

    def _seen(self, view: Any) -> int:
        """A view of a value that waits."""
        parent, op, params = view.origin
        base = self._place(parent)
        key = (base, op, *params.items())
        place = self._views.get(key)
        if place is None:
            place = self._views[key] = self._apply(op, [base], params).place
        return place

    def _put_back(self, op: Op, params: Params, parent: Any, place: int) -> int:
        """`parent` with the part that a view op shows replaced by the value at `place`."""
        name, keeps_rest, params = _INVERSES[op.name](parent, params)
        places = [self._place(parent), place] if keeps_rest else [place]
        return self._apply(REGISTRY[name], places, params).place

    # What comes from outside

    def _enter(self, key: Any, kind: Callable[..., Any], *args: Any) -> int:
        step = self._last.after.get(key)
        if step is None:
            step = self._last.then(key, kind(*args))
        return self._to(step).place

    def _input(self, tensor: Any) -> int:
        """A tensor whose memory holds its value."""
        storage = tensor.storage
        if storage.escaped and is_exposed(storage):
            return self._copy(tensor)
        key = storage if tensor.origin is None else (storage, tensor.layout)
        place = self._inputs.get(key)
        if place is None:
            place = self._inputs[key] = self._read(tensor.aval, tensor.layout, storage)
        return place

    def _read(self, aval: Aval, layout: Layout, storage: Storage) -> int:
        memory = self._storages.setdefault(storage, len(self._storages))
        strides = None if is_row_major(layout) else layout.strides
        assert storage.buffer is not None
        self._addresses.append(storage.buffer.address + layout.offset * aval.dtype.itemsize)
        return self._enter((aval, strides, memory), _input_node, aval, strides, memory)

    def _copy(self, tensor: Any) -> int:
        """Memory that others can write to is read as of the op: what is recorded is a copy, renewed when it has become old."""
        now = as_array(tensor)
        key = (tensor.storage, tensor.layout)
        if key in self._copies:
            place, copy = self._copies[key]
            if _same_bits(now, copy):
                return place
        buffer = Buffer.allocate(tensor.aval.nbytes)
        copy = buffer.array(now.dtype, now.shape)
        copy[...] = now
        self._kept.append(buffer)
        self._addresses.append(buffer.address)
        place = self._enter((tensor.aval, None, None), _input_node, tensor.aval, None, None)
        self._copies[key] = place, copy
        return place

    # Running

    def flush(self) -> None:
        """Runs what was recorded: afterwards every tensor has its memory, and every write has been made."""
        with self._lock:
            fresh = [storage for held in self._fresh if (storage := held()) is not None]
            fresh = [storage for storage in fresh if storage.pending is not None]
            written = self._written
            if fresh or written:
                try:
                    self._run(fresh, written)
                except BaseException as error:
                    _lose(fresh, written, error)
                    raise
                finally:
                    self._begin()
            else:
                self._begin()

    def _run(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        outputs = tuple([storage.pending[1] for storage in fresh])  # type: ignore[index]  # those that wait
        effects = tuple([(target, storage.pending[1]) for storage, target in written.items()])  # type: ignore[index]
        program = self._programs.ending(self._last, (outputs, effects))
        buffers = program.executable.run(self._addresses, self._scalars)
        for storage, buffer in zip(fresh, buffers, strict=True):
            storage.buffer = buffer
            storage.pending = None
        for storage in written:
            storage.pending = None


def is_exposed(storage: Storage) -> bool:
    """Whether others may write to the memory with no notice."""
    buffer = storage.buffer
    if not storage.escaped or buffer is None:
        return False
    # An array over a buffer holds it: where only the storage does, what `numpy()` gave is gone.
    if not buffer.foreign and sys.getrefcount(buffer) <= _OWN_REFERENCES:
        storage.escaped = False
    return storage.escaped


_OWN_REFERENCES = 3
"""References to a buffer that no array is over: the storage's, a local variable's and the argument's of `getrefcount`."""


def _input_node(aval: Aval, strides: tuple[int, ...] | None, memory: int | None) -> Input:
    return Input(aval, strides, user_location(), memory)


def _distinct(param: tuple[str, Any]) -> tuple[Any, ...]:
    """A key in which 0.0, -0.0, 0 and False differ."""
    value = param[1]
    return (*param, str(value), type(value)) if type(value) in (float, bool, int) else param


def _same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    bits = f"u{x.itemsize}"
    return np.array_equal(x.view(bits), y.view(bits))


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


# How a write to a view becomes a new value of its parent: (op, whether it needs the parent's former value, parameters)

Inverse = tuple[str, bool, Params]


def _into_shape(parent: Any, params: Params) -> Inverse:
    return "reshape", False, {"shape": parent.aval.shape}


def _into_order(parent: Any, params: Params) -> Inverse:
    axes = params["axes"]
    return "permute", False, {"axes": tuple(sorted(range(len(axes)), key=axes.__getitem__))}


def _into_part(parent: Any, params: Params) -> Inverse:
    return "update", True, params


_INVERSES: dict[str, Callable[[Any, Params], Inverse]] = {
    "reshape": _into_shape,
    "permute": _into_order,
    "slice": _into_part,
    "broadcast_to": _into_shape,  # a view that is written repeats nothing
    "stop_gradient": _into_shape,
}
