"""Values in a trace: how a tensor, as it is now, is found or entered there."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit._errors import user_location
from tracejit.dispatch import Scalar, below
from tracejit.ir.aval import Aval
from tracejit.ir.dim import plain
from tracejit.ir.graph import Apply, Input, Node, ScalarInput, params_key
from tracejit.ops.arguments import check_devices
from tracejit.ops.op import Op, Params
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.buffer import Buffer, RemoteBuffer
from tracejit.storage import Storage, as_array, is_surely_row_major
from tracejit.tracing.programs import Programs
from tracejit.tracing.trace import Step


class Tracer(ABC):
    """Builds a trace. A value is known by its place there.

    A storage that was written, or made, since the trace began has a place; a view of it is derived from that place when it is
    read, so that it shows the last write to its base. All other storages are inputs.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._begin()

    def _begin(self) -> None:
        self._last: Step = self._programs.root()
        self._steps: list[Step] = []
        self._inputs: dict[Any, int] = {}
        self._views: dict[tuple[Any, ...], int] = {}
        self._copies: dict[Any, tuple[int, np.ndarray]] = {}
        self._storages: dict[Storage, int] = {}
        self._kept: list[Buffer] = []
        self._addresses: list[int] = []
        self._scalars: list[bool | int | float] = []

    @abstractmethod
    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any: ...

    @abstractmethod
    def assign(self, target: Any, value: Any) -> None: ...

    @abstractmethod
    def expose(self, storage: Storage) -> None:
        """Others will write to the memory, which is in no trace: from here on it is an input wherever it is read."""

    @abstractmethod
    def _known(self, storage: Storage) -> int | None:
        """The place of a storage's content; None where its memory holds it."""

    @abstractmethod
    def _memory(self, storage: Storage) -> Buffer:
        """Where a program finds the content of a storage that has no place."""

    def _is_exposed(self, storage: Storage) -> bool:
        """Whether the memory may change at any time, and every write must be seen at once."""
        return is_exposed(storage)

    def place_of(self, value: Any) -> int:
        """Where in the trace `value`, as it is now, stands."""
        if type(value) is Scalar:
            entered = self._enter(value.aval, ScalarInput, value.aval)
            self._scalars.append(value.value)  # last: what comes before may raise RecursionError
            return entered
        place = self._known(value.storage)
        if place is None:
            return self._input(value)
        return place if value.origin is None else self._seen(value, place)

    def apply(self, op: Op, places: list[int], params: Params) -> Step:
        """Goes on to the step that applies `op`."""
        return self._to(self.step(op, places, params))

    def step(self, op: Op, places: list[int], params: Params) -> Step:
        """The next step, if it applies `op`; only one that is new costs more than a look-up."""
        key = (op, *places, *map(distinct, params.items())) if params else (op, *places)
        step = self._last.after.get(key)
        if step is None:
            inputs = tuple(self._steps[place].node for place in places)
            check_devices(op.name, [n.aval for n in inputs if type(n) is not ScalarInput])
            aval = op.infer(*(node.aval for node in inputs), **params)
            self._check_place(aval.device)
            node = Apply(op, inputs, params_key(params), aval, user_location())
            step = self._new(key, node)
        return step

    def _check_place(self, device: str) -> None:  # noqa: B027  # most take any
        """Asked before a new step is made of an op, whose result is on that device."""

    def write(self, target: Any, place: int) -> tuple[Any, int]:
        """The tensor that `target` is a view of, and its place after `target` has become the value at `place`."""
        while target.origin is not None:
            target, op, params = target.origin
            name, keeps_rest, params = INVERSES[op.name](target, params)
            places = [self.place_of(target), place] if keeps_rest else [place]
            place = self.apply(REGISTRY[name], places, params).place
        return target, place

    def _new(self, key: Any, node: Node) -> Step:
        self._programs.grown()
        return self._last.then(key, node)

    def _to(self, step: Step) -> Step:
        self._last = step
        self._steps.append(step)
        return step

    def _enter(self, key: Any, kind: Callable[..., Any], *args: Any) -> int:
        step = self._last.after.get(key)
        if step is None:
            step = self._new(key, kind(*args))
        return self._to(step).place

    def _seen(self, view: Any, place: int) -> int:
        """A view of a storage whose content stands at `place`."""
        chain = []
        while view.origin is not None:
            view, op, params = view.origin
            chain.append((op, params))
        for op, params in reversed(chain):
            key = (place, op, *map(distinct, params.items()))
            known = self._views.get(key)
            if known is None:
                known = self._views[key] = self.apply(op, [place], params).place
            place = known
        return place

    def _input(self, tensor: Any) -> int:
        """A tensor whose memory holds its value."""
        storage = tensor.storage
        if storage.escaped and self._is_exposed(storage):
            return self._copy(tensor)
        key = self._key(tensor)
        place = self._inputs.get(key)
        if place is None:
            place = self._inputs[key] = self._read(tensor)
        return place

    def _key(self, tensor: Any) -> Any:
        """Equal for tensors that are the same elements of the same memory."""
        return tensor.storage if tensor.origin is None else (tensor.storage, tensor.layout)

    def _read(self, tensor: Any) -> int:
        aval, layout, storage = tensor.aval, tensor.layout, tensor.storage
        memory = self._storages.setdefault(storage, len(self._storages))
        strides = None if is_surely_row_major(layout) else layout.strides
        buffer = self._memory(storage)
        address = buffer.address + plain(layout.offset) * aval.dtype.itemsize
        place = self._enter((aval, strides, memory), _input_node, aval, strides, memory)
        self._kept.append(buffer)
        self._addresses.append(address)
        return place

    def _copy(self, tensor: Any) -> int:
        """Memory that others can write to is read as of the op: by way of a copy, renewed where it has become old."""
        if tensor.aval.device != "cpu":
            return self._copy_there(tensor)
        now = as_array(tensor)
        key = (tensor.storage, tensor.layout)
        if key in self._copies:
            place, copy = self._copies[key]
            if same_bits(now, copy):
                return place
        buffer = Buffer.allocate(tensor.aval.nbytes)
        copy = buffer.array(now.dtype, now.shape)
        copy[...] = now
        address = buffer.address
        place = self._enter((tensor.aval, None, None), _input_node, tensor.aval, None, None)
        self._kept.append(buffer)
        self._addresses.append(address)
        self._copies[key] = place, copy
        return place

    def _copy_there(self, tensor: Any) -> int:
        """The same on a GPU, renewed each time."""
        aval = tensor.aval
        copy = below(self).bind(REGISTRY["astype"], (tensor,), {"dtype": aval.dtype})
        place = self._enter((aval, None, None), _input_node, aval, None, None)
        buffer = copy.storage.realize()
        self._kept.append(buffer)
        self._addresses.append(buffer.address)
        return place


def _input_node(aval: Aval, strides: tuple[int, ...] | None, memory: int | None) -> Input:
    return Input(aval, strides, user_location(), memory)


def distinct(param: tuple[str, Any]) -> tuple[Any, ...]:
    """A key in which 0.0, -0.0, 0 and False differ."""
    value = param[1]
    return (*param, str(value), type(value)) if type(value) in (float, bool, int) else param


def is_exposed(storage: Storage) -> bool:
    """Whether others may write to the memory with no notice."""
    if not storage.escaped or storage.buffer is None:
        return False
    # An array over a buffer holds it: where only the storage does (and this call), what `numpy()` gave is gone.
    is_seen = storage.buffer.foreign or isinstance(storage.buffer, RemoteBuffer)
    if not is_seen and sys.getrefcount(storage.buffer) == 2:
        storage.escaped = False
    return storage.escaped


def same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    bits = f"u{x.itemsize}"
    return np.array_equal(x.view(bits), y.view(bits))


# How a write to a view becomes a new value of its parent: (op, whether it needs the parent's former value, parameters)

Inverse = tuple[str, bool, Params]


def _into_shape(parent: Any, params: Params) -> Inverse:
    return "reshape", False, {"shape": parent.aval.shape}


def _into_order(parent: Any, params: Params) -> Inverse:
    axes = params["axes"]
    return "permute", False, {"axes": tuple(sorted(range(len(axes)), key=axes.__getitem__))}


def _into_part(parent: Any, params: Params) -> Inverse:
    return "update", True, params


INVERSES: dict[str, Callable[[Any, Params], Inverse]] = {
    "reshape": _into_shape,
    "permute": _into_order,
    "slice": _into_part,
    "broadcast_to": _into_shape,  # a view that is written repeats nothing
    "stop_gradient": _into_shape,
}
