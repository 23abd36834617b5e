"""Comparing recorded with eager execution: Python runs once, eagerly, and what it did is run again as a program on copies."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from tracejit import dispatch
from tracejit.dispatch import Scalar
from tracejit.ir.aval import Aval
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Op, Params
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage, as_array
from tracejit.tensor import Tensor
from tracejit.tracing.programs import Programs, program_of
from tracejit.tracing.session import tracing
from tracejit.tracing.trace import graph_of
from tracejit.tracing.tracer import Tracer, is_exposed

if TYPE_CHECKING:
    from tracejit.tracing.compile import Compiled


def verified(compiled: Compiled, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function's result by eager execution; a RuntimeWarning names the first line where the program gives another."""
    witness = Witness(compiled.programs)
    try:
        with tracing(witness):
            return compiled.function(*args, **kwargs)
    finally:
        found = witness.divergence()
        if found is not None:
            compiled.divergences.append(found)
            warnings.warn(found, RuntimeWarning, stacklevel=4)


class Witness(Tracer):
    """Lets every op run at once, and traces it; inputs are copied, so that the program's writes are withheld."""

    def __init__(self, programs: Programs) -> None:
        super().__init__(programs)
        self._places: WeakKeyDictionary[Storage, int] = WeakKeyDictionary()
        self._before: dict[Storage, Buffer] = {}
        self._written: dict[Storage, tuple[int, Tensor]] = {}
        self._results: list[tuple[int, np.ndarray]] = []
        self._fresh: list[tuple[ref[Storage], Aval]] = []

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        places: list[int] | None = None
        if not _may_alias(op, args):
            places = [self.place_of(arg) for arg in args]
        result = dispatch.below(self).bind(op, args, params)
        if result.origin is not None:
            return result
        if places is None:
            places = [self.place_of(arg) for arg in args]
        place = self.apply(op, places, params).place
        self._places[result.storage] = place
        self._fresh.append((ref(result.storage), result.aval))
        self._results.append((place, as_array(result).copy()))
        return result

    def assign(self, target: Any, value: Any) -> None:
        storage = target.storage
        if is_exposed(storage):
            dispatch.below(self).assign(target, value)
            return
        base, place = self.write(target, self.place_of(value))
        if storage not in self._places:
            self._written[storage] = self._input(base), base.detach()
        dispatch.below(self).assign(target, value)
        self._places[storage] = place

    def _known(self, storage: Storage) -> int | None:
        return self._places.get(storage)

    def expose(self, storage: Storage) -> None:
        self._places.pop(storage, None)
        self._written.pop(storage, None)
        self._before.pop(storage, None)
        self._inputs = {
            key: place
            for key, place in self._inputs.items()
            if storage is not (key[0] if isinstance(key, tuple) else key)
        }

    def _memory(self, storage: Storage) -> Buffer:
        if storage not in self._before:
            buffer = storage.realize()
            copy = self._before[storage] = Buffer.allocate(buffer.nbytes)
            whole = np.dtype(np.uint8), (buffer.nbytes,)
            copy.array(*whole)[...] = buffer.array(*whole)
        return self._before[storage]

    # Afterwards

    def divergence(self) -> str | None:
        """What to say if the program gives other bits than eager execution has given."""
        alive = [(made, aval) for held, aval in self._fresh if (made := held()) is not None]
        fresh = [(made, aval) for made, aval in alive if made in self._places]
        outputs = tuple(self._places[storage] for storage, _ in fresh)
        effects = tuple((at, self._places[storage]) for storage, (at, _) in self._written.items())
        if not outputs and not effects:
            return None
        first = self._first_difference()  # before the effects change the copies
        program = self._programs.ending(self._last, (outputs, effects))
        buffers = program.executable.run(self._addresses, self._scalars)
        pairs = [
            (self._places[storage], _row_major(storage.realize(), aval), _row_major(buffer, aval))
            for (storage, aval), buffer in zip(fresh, buffers)
        ]
        pairs += [
            (self._places[storage], as_array(base), _like(base, self._before[storage]))
            for storage, (_, base) in self._written.items()
        ]
        differing = [at for at, eager, recorded in pairs if not alike(eager, recorded)]
        if first is None and differing:
            first = self._steps[min(differing)].node
        return (
            None
            if first is None
            else f"{_described(first)} differs between eager and recorded execution"
        )

    def _first_difference(self) -> Node | None:
        """The first op whose own result differs when each is an output."""
        places = tuple(place for place, _ in self._results)
        program = program_of(graph_of(self._last, (places, ())), fastmath=self._programs.fastmath)
        buffers = program.executable.run(self._addresses, self._scalars)
        for (place, eager), buffer in zip(self._results, buffers):
            if not alike(eager, buffer.array(eager.dtype, eager.shape)):
                return self._steps[place].node
        return None


def _may_alias(op: Op, args: tuple[Any, ...]) -> bool:
    """Whether the result may be a view, of which the trace learns when it is read."""
    return len(args) == 1 and not isinstance(args[0], Scalar) and hasattr(op.recipe, "layout")


def _described(node: Node) -> str:
    """`model.py:41: softmax -> f32[8,3]`"""
    what = f"{node.op} -> {node.aval}" if isinstance(node, Apply) else str(node.aval)
    return f"{node.loc}: {what}"


def _row_major(buffer: Buffer, aval: Aval) -> np.ndarray:
    return buffer.array(aval.dtype.numpy, aval.sizes)


def _like(tensor: Tensor, buffer: Buffer) -> np.ndarray:
    layout = tensor.layout
    dtype = tensor.aval.dtype.numpy
    return buffer.array(dtype, layout.shape, layout.strides, layout.offset * dtype.itemsize)


def alike(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether all bits are equal; NaNs are alike."""
    bits = f"u{x.itemsize}"
    same = x.view(bits) == y.view(bits)
    return bool(same.all()) or bool((same | ((x != x) & (y != y))).all())
