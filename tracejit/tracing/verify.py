"""Comparing compiled with eager execution: Python runs, eagerly, and its outcome stands.

What it did is run again as a program, on copies. A call that can be replayed is, and that is taken back, before Python runs.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from tracejit import dispatch
from tracejit._errors import MemoryLimitError
from tracejit._records import dataclass, field
from tracejit.dispatch import Scalar
from tracejit.ir.aval import Aval, aval
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Op, Params
from tracejit.runtime.buffer import Buffer, ForeignBuffer, copy_of
from tracejit.storage import Storage, as_array, row_major
from tracejit.tensor import Tensor, make
from tracejit.tracing.programs import Programs, program_of
from tracejit.tracing.replay import MISS
from tracejit.tracing.replay.picture import Leaf, first_difference, picture, place_of_difference
from tracejit.tracing.replay.touched import Place, Touched, kept, printing_noted, printing_withheld
from tracejit.tracing.trace import graph_of
from tracejit.tracing.tracer import Tracer, is_exposed

if TYPE_CHECKING:
    from tracejit.tracing.replay.engine import Replays


@dataclass(slots=True)
class Rehearsal:
    """A replay that was taken back.

    leaves    what could be seen of its result, of the arguments and of all that it wrote, before it was taken back
    prints    whether any recorded call prints; `printed` what Python's call has printed
    found     the places that it, or another recorded call, writes
    failure   what it raised, if it did
    """

    replays: Replays
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    found: list[tuple[Place, Any]]
    leaves: list[Leaf]
    prints: bool
    printed: list[str] = field(default_factory=list)
    failure: str = ""

    def watched(self) -> AbstractContextManager[None]:
        """Python's call is made inside this block."""
        return printing_noted(self.printed) if self.prints else nullcontext()

    def difference(self, result: Any, witness: Witness) -> str | None:
        """What to say if Python's call has given, or done, something else."""
        definition = self.replays.definition
        if self.failure:
            return f"{definition}: the replay failed: {self.failure}"
        pair = first_difference(self.leaves, self._seen(result, "".join(self.printed)))
        if pair is None:
            return None
        replayed, eager = pair
        where = witness.line_of(eager.value) or self._line(eager.path) or definition
        at = place_of_difference(*pair)
        path = f"{eager.path}{[*at]}" if at else eager.path
        told = f"{_told(eager, at)}, not {_told(replayed, at)}"
        return f"{where}: {path} differs between eager and replayed execution: {told}"

    def raised(self, error: BaseException) -> str:
        """What to say of an exception of Python's."""
        return f"{self.replays.definition}: Python raised {type(error).__name__}, and the replay did not"

    def _line(self, path: str) -> str:
        """The line that wrote a place, when it was recorded."""
        return next((place.where for place, _ in self.found if path.startswith(str(place))), "")

    def _seen(self, result: Any, printed: str) -> list[Leaf]:
        function = self.replays.function
        return picture(
            {
                **{f"argument {place}": value for place, value in enumerate(self.args)},
                **{f"argument {name}": value for name, value in self.kwargs.items()},
                "the result": result,
                "what is printed": printed,
                **{str(place): _standing(place, target) for place, target in self.found},
                "what the function closes over": getattr(function, "__closure__", None)
                and function,
            }
        )


def rehearse(
    replays: Replays, touched: Touched, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Rehearsal | None:
    """A replay of the call with everything that it does taken back; None where no recording fits."""
    if touched.prints and getattr(sys.stdout, "closed", False):
        return None  # to such a stream no replay prints
    found = touched.found(args, kwargs)
    made = Rehearsal(replays, args, kwargs, found, [], touched.prints)
    undo = kept(found)
    printed: list[str] = []
    try:
        with printing_withheld(printed) if touched.prints else nullcontext():
            result = replays.tree.replay(args, kwargs)
        if result is MISS:
            return None
        made.leaves = made._seen(result, "".join(printed))
    except Exception as error:
        made.failure = f"{type(error).__name__}: {error}"
    finally:
        undo()
    return made


def _standing(place: Place, target: Any) -> Any:
    """What a place holds now."""
    match place.kind:
        case "entry":
            return dict.get(target, place.name)
        case "attribute" | "class attribute":
            return getattr(target, place.name, None)
        case "gradient":
            return target.grad
        case "cell":
            return [*_cell(target)]
        case "memory":
            return _content_of(target)
    return target


def _content_of(storage: Storage) -> Any:
    buffer = storage.realize()
    if isinstance(buffer, ForeignBuffer):
        return buffer.owner  # whose elements may lie anywhere around its address
    return make(storage, row_major((storage.size,)), aval(storage.dtype, (storage.size,)))


def _cell(cell: Any) -> Any:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not assigned yet
        return ()


def _told(leaf: Leaf, at: tuple[int, ...] | None) -> str:
    """A leaf, or its element at a place, in a line."""
    elements = leaf.elements() if at else None
    text = str(leaf).replace("\n", " ") if elements is None else str(elements[at])
    return text if len(text) <= 60 else f"{text[:57]}..."


class Witness(Tracer):
    """Lets every op run at once, and traces it; inputs are copied, so that the program's writes are withheld."""

    def __init__(self, programs: Programs) -> None:
        super().__init__(programs)
        self._places: WeakKeyDictionary[Storage, int] = WeakKeyDictionary()
        self._before: dict[Storage, Buffer] = {}
        self._written: dict[Storage, tuple[int, Tensor]] = {}
        self._results: list[tuple[int, np.ndarray]] = []
        self._fresh: list[tuple[ref[Storage], Aval]] = []
        self.found: str | None = None
        """What differed, once `finish` was asked."""

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
            self._written[storage] = self._input(base), Tensor.detach(base)
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
            self._before[storage] = copy_of(storage.realize())
        return self._before[storage]

    # Afterwards

    def line_of(self, value: Any) -> str:
        """The user's line that gave a tensor its value; "" where none did."""
        place = self._places.get(value.storage) if isinstance(value, Tensor) else None
        location = None if place is None else self._steps[place].node.loc
        return "" if location is None else str(location)

    def finish(self) -> None:
        """Compares; all results are to be alive."""
        self.found = self.divergence()

    def divergence(self) -> str | None:
        """What to say if the program gives other bits than eager execution has given."""
        alive = [(made, aval) for held, aval in self._fresh if (made := held()) is not None]
        fresh = [(made, aval) for made, aval in alive if made in self._places]
        outputs = tuple(self._places[storage] for storage, _ in fresh)
        effects = tuple((at, self._places[storage]) for storage, (at, _) in self._written.items())
        if not outputs and not effects:
            return None
        first = self._first_difference()  # before the effects change the copies
        try:
            program = self._programs.ending(self._last, (outputs, effects)).ready()
        except MemoryLimitError:  # of the whole call as one program, which other calls may not be
            return None
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
        options = replace(self._programs.options, memory_limit=None)
        program = program_of(graph_of(self._last, (places, ())), options=options)
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
