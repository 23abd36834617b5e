"""Tensors and their memory, as a recorded call reads and writes them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from types import CodeType
from typing import Any

from tracejit.autograd.tape import handle_of
from tracejit.ops.op import Layout, Params
from tracejit.storage import Storage
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.opened import Opened, Opening
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.stand_in import StandIn, as_array_of, raises_nothing


class Tensors(Opened):
    """Each tensor's memory has a slot in the replay, or nothing is known of the tensor."""

    def __init__(self, outermost: CodeType, definition: str, arrays: Arrays) -> None:
        super().__init__(outermost, definition)
        self.arrays = arrays
        self.visits = 0
        """Of heads of loops."""
        self.memory: weakref.WeakKeyDictionary[Storage, int] = weakref.WeakKeyDictionary()
        """Storage -> the slot that holds its memory in a replay."""
        self.outside_storages: dict[Storage, int] = {}
        self.tensor_sources: dict[Storage, Source] = {}
        self.changed_memory: set[Storage] = set()
        """Outside storages that the call has written."""
        self.versions: dict[Storage, int] = {}
        """How often outside memory had been written when it was first seen."""
        self.array_storages: set[Storage] = set()
        self.windows: dict[int, tuple[int, Source, Tensor]] = {}
        """id of the parameters that made an outside view -> the slot of its memory from its first element on, its source, itself.

        What `detach` gives of a view is made by the same parameters, from another tensor over the same storage.
        """
        self.handles: dict[int, Tensor] = {}
        """id of a handle of the tape -> the outside tensor that it belongs to."""

    def memory_of(self, tensor: Tensor) -> tuple[int, Layout] | None:
        """The slot of a tensor's memory and the layout there; where nothing is known of it None, and the recording ends."""
        window = self.window_of(tensor)
        if window is not None:
            return window
        slot = self.memory.get(tensor.storage)
        if slot is None:
            self.deny(
                f"{tensor.aval}: a tensor that was not reached by way of anything that is guarded"
            )
            return None
        return slot, tensor.layout

    def window_of(self, tensor: Tensor) -> tuple[int, Layout] | None:
        """The same of a tensor that is, or is seen through, a view from outside that may begin anywhere."""
        if not self.windows:
            return None
        layout = tensor.layout
        while tensor.origin is not None:
            found = self.windows.get(id(tensor.origin[2]))
            if found is not None and found[2].storage is tensor.storage:
                begin = tensor.layout.offset
                return found[0], Layout(layout.shape, layout.strides, layout.offset - begin)
            tensor = tensor.origin[0]
        self.fix_views(tensor.storage)  # of which this one may be made
        return None

    def source_of_part(self, tensor: Tensor) -> Source | None:
        """Where the view comes from that is the same part of the same storage, and may begin anywhere."""
        found = None if tensor.origin is None else self.windows.get(id(tensor.origin[2]))
        return found[1] if found is not None and found[2].storage is tensor.storage else None

    def note_write(self, storage: Storage) -> None:
        """The call writes to a storage from outside."""
        self.changed_memory.add(storage)
        seen = [source for _, source, view in self.windows.values() if view.storage is storage]
        if seen and self.visits:  # the next round of a loop would still look through the window
            self.symbolic.update(map(_as_fixed, seen))
            self.deny("memory is written in a loop that was read through a view before")
        self.fix_views(storage)

    def fix_views(self, storage: Storage) -> None:
        """From here on it counts which parts of a storage the views are that came from outside."""
        for key, (_, source, view) in list(self.windows.items()):
            if view.storage is storage:
                del self.windows[key]
                self.guard(g.ViewIs(source, g.view_path(view)))

    def _read_tensor(
        self, source: Source, tensor: Tensor, openings: tuple[Opening, ...] = ()
    ) -> None:
        if not type(tensor).__module__.startswith("tracejit."):
            self.deny(f"{source} is of class {type(tensor).__name__}, a tensor of its own kind")
            return
        storage = tensor.storage
        grad = _standing(tensor)
        if grad == "view" and tensor.requires_grad:
            self.deny(f"{source} is a view with a gradient")
            return
        slot = self.outside_storages.get(storage)
        if slot is None and self.memory.get(storage) is not None:
            self.deny(f"{source} shares memory with what the call has made")
            return
        if slot is None:
            slot = self.slot()
            self.outside_storages[storage] = slot
            self.memory[storage] = slot
            self.tensor_sources[storage] = source
            self.versions[storage] = storage.version
            self.refuse_overlap(storage, self.changed_memory)
        else:
            first = self.tensor_sources[storage]
            self.guard(g.SameObject(source.attribute("storage"), first.attribute("storage"), True))
            slot = self.slot()  # the first one may hold a copy by now, which the call has written
        if type(tensor) is StandIn:
            self._read_array(source, tensor, slot, openings)
            return
        window = None if tensor.origin is None else self.slot()
        layout = tensor.layout
        kind = tensor.__class__
        self.guard(g.TensorIs(source, kind, tensor.aval, layout, grad, slot, window, openings))
        if tensor.origin is not None and window is not None:
            self._note_window(source, tensor, window, tensor.origin[2])
        handle = tensor.autograd
        if handle is not None:
            self.outside[id(handle)] = source.attribute("autograd")
            self._held.append(handle)
            self.handles[id(handle)] = tensor
            if handle.node is not None:
                self.outside[id(handle.node)] = source.attribute("autograd").attribute("node")

    def _note_window(self, source: Source, view: Tensor, slot: int, params: Params) -> None:
        storage = view.storage
        is_like_another = not params or id(params) in self.windows
        if is_like_another:
            self.fix_views(storage)
        self.windows[id(params)] = slot, source, view
        if is_like_another or storage in self.changed_memory or _as_fixed(source) in self.symbolic:
            self.fix_views(storage)

    def _read_array(
        self, source: Source, stand_in: StandIn, slot: int, openings: tuple[Opening, ...]
    ) -> None:
        array = as_array_of(stand_in)
        self.array_storages.add(stand_in.storage)
        if not raises_nothing():
            self.deny("np.errstate asks for errors, which compiled code does not look for")
        mode = g.ModeIs("np.errstate raises nothing", raises_nothing, True)
        self.once(("np.errstate",), mode)
        self.guard(g.ArrayIs(source, array.dtype, array.shape, array.strides, slot, openings))

    def refuse_overlap(self, storage: Storage, others: Iterable[Storage]) -> None:
        """Programs take storages that are not the same to lie apart."""
        if storage.buffer is None:
            return
        begin, end = g.extent(storage.buffer)
        for other in others:
            if other is storage or other.buffer is None:
                continue
            if not (storage.buffer.foreign or other.buffer.foreign):
                continue  # each has memory of its own
            low, high = g.extent(other.buffer)
            if begin < high and low < end:
                self.deny("memory is written that is reached in another way as well")
                return

    def tensor_of_handle(self, handle: Any) -> Tensor | None:
        """The outside tensor that a handle of the tape belongs to."""
        return self.handles.get(id(handle))


def _as_fixed(source: Source) -> tuple[Any, ...]:
    """What a tree notes of a view to be told recordings to come: it has to be the same part of its base."""
    return "fixed", source.identity


def _standing(tensor: Tensor) -> str:
    if tensor.origin is not None:
        return "view"
    handle = handle_of(tensor)
    if handle is None or (handle.node is None and not handle.requires_grad):
        return "none"
    return "leaf" if handle.node is None else "made"
