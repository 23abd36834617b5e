"""Templates: code that builds what a call returned or stored, with the same structure, sharing and identities."""

from __future__ import annotations

from collections import deque
from types import CellType, FunctionType, MemberDescriptorType, MethodType
from typing import Any

import numpy as np

from tracejit.autograd import tape
from tracejit.autograd.late import LateNode, Step
from tracejit.autograd.node import Handle, Node, Saved
from tracejit.dispatch import Scalar
from tracejit.dtypes import DType
from tracejit.ops.op import Params
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage
from tracejit.symbols import SYMBOLS
from tracejit.tensor import Tensor, make, view_of
from tracejit.tracing.gradients import remember_node
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.functions import own_names, plain_code
from tracejit.tracing.replay.kinds import ATOMS, is_numpy_number
from tracejit.tracing.replay.order import SETS, comes_back
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.resizing import open_sizes_of
from tracejit.tracing.stand_in import StandIn, is_number

RULES = (tape._Apply, tape._Replace)


class Irreproducible(Exception):
    """A value that cannot be built without running Python."""


class Template:
    """Builds values in the lines of a writer; a value that is met again is the same variable."""

    def __init__(self, recording: Recording, writer: Writer, gradients: Programs) -> None:
        self._recording = recording
        self._gradients = gradients
        self._writer = writer
        self._pool = writer.pool
        self._known: dict[int, str] = {}
        self._held: list[Any] = []
        self._storages: dict[Storage, str] = {}

    def build(self, value: Any) -> str:
        """An expression for `value`, whose parts are built before."""
        kind = type(value)
        if kind in SYMBOLS:
            if value.owner is not self._recording:
                raise Irreproducible("a number of an earlier recording is returned or stored")
            return f"E[{value.slot}]"
        if kind in ATOMS or is_numpy_number(value) or self._recording.is_fixed_object(value):
            return self._writer.literal(value)
        found = self._known.get(id(value))
        if found is None:
            self._held.append(value)
            source = self._recording.outside.get(id(value))
            found = self._built(value, kind) if source is None else self._writer.read(source)
            self._known[id(value)] = found
        return found

    def _built(self, value: Any, kind: type) -> str:
        if kind is StandIn:
            return self._array(value)
        if isinstance(value, Tensor):
            return self._tensor(value)
        if kind in SETS and not comes_back(value):
            raise Irreproducible(f"a {kind.__name__} in an order that depends on how it was made")
        if kind in (list, dict, set, deque):
            return self._container(value, kind)
        if kind in (tuple, frozenset):
            parts = "".join(f"{self.build(part)}, " for part in value)
            return self._new(f"({parts})" if kind is tuple else f"frozenset(({parts}))")
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            parts = "".join(f"{self.build(part)}, " for part in value)
            return self._new(
                f"{self._pool.name(tuple.__new__)}({self._writer.name(kind)}, ({parts}))"
            )
        if kind is MethodType:
            parts = f"{self.build(value.__func__)}, {self.build(value.__self__)}"
            return self._new(f"{self._pool.name(MethodType)}({parts})")
        if self._recording.is_made(value):
            return self._function(value) if kind is FunctionType else self._object(value, kind)
        raise Irreproducible(
            f"the call returns or stores a {kind.__name__}, which cannot be made without Python"
        )

    def _new(self, expression: str) -> str:
        return self._writer.variable(expression)

    def _call(self, function: Any, *args: str) -> str:
        return self._new(f"{self._pool.name(function)}({', '.join(args)})")

    # Containers and objects. They are known before their parts are built, as these may lead back to them.

    def _container(self, value: Any, kind: type) -> str:
        size = ("()", repr(value.maxlen)) if kind is deque else ()
        made = self._known[id(value)] = self._call(kind, *size)
        self.fill(made, value)
        return made

    def fill(self, container: str, value: Any) -> None:
        """Puts the parts of `value` into an empty container."""
        add = self._writer.add
        if type(value) is dict:
            for key, part in value.items():
                add(f"{container}[{self.build(key)}] = {self.build(part)}")
        else:
            method = "add" if type(value) is set else "append"
            for part in value:
                add(f"{container}.{method}({self.build(part)})")

    def _object(self, value: Any, kind: type) -> str:
        if not _is_ordinary(kind):
            raise Irreproducible(f"the call returns or stores a {kind.__name__} that it has made")
        made = self._known[id(value)] = self._call(object.__new__, self._writer.name(kind))
        write = self._pool.name(object.__setattr__)
        for name in slots(kind):
            if hasattr(value, name):
                part = self.build(getattr(value, name))
                self._writer.add(f"{write}({made}, {name!r}, {part})")
        for name, part in getattr(value, "__dict__", {}).items():
            self._writer.add(f"{made}.__dict__[{name!r}] = {self.build(part)}")
        return made

    # Functions

    def _function(self, function: FunctionType) -> str:
        code = plain_code(function)
        if code is None:
            raise Irreproducible(
                f"the call returns or stores {function.__name__}, which it has made"
            )
        cells = function.__closure__ or ()
        fresh = [
            cell
            for cell in cells
            if id(cell) not in self._recording.cells and id(cell) not in self._known
        ]
        closure = "".join(f"{self._cell(cell)}, " for cell in cells)
        defaults = self.build(function.__defaults__)
        made = self._call(
            FunctionType, self._pool.name(code), self._globals(function.__globals__), "None", defaults,
            f"({closure})" if cells else "None",
        )  # fmt: skip
        self._known[id(function)] = made
        for cell in fresh:
            self._fill_cell(cell)
        if function.__kwdefaults__:
            self._writer.add(f"{made}.__kwdefaults__ = {self.build(function.__kwdefaults__)}")
        annotate = getattr(function, "__annotate__", None)
        if annotate is not None:  # from Python 3.14 on; who asks for annotations runs it
            self._writer.add(f"{made}.__annotate__ = {self.build(annotate)}")
        elif function.__annotations__:
            self._writer.add(f"{made}.__annotations__ = {self.build(function.__annotations__)}")
        for own, value in own_names(function, code):
            self._writer.add(f"{made}.{own} = {self.build(value)}")
        for own, value in function.__dict__.items():
            self._writer.add(f"{made}.__dict__[{own!r}] = {self.build(value)}")
        return made

    def _globals(self, names: dict[str, Any]) -> str:
        return self._writer.read(self._recording.globals(names))

    def _cell(self, cell: CellType) -> str:
        """A variable that functions share: one of the call's own, or one that was there before."""
        if id(cell) in self._recording.cells:
            return self._writer.read(self._recording.cell(cell, "?"))
        found = self._known.get(id(cell))
        if found is None:
            self._held.append(cell)
            found = self._known[id(cell)] = self._call(CellType)
        return found

    def _fill_cell(self, cell: CellType) -> None:
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            return
        self._writer.add(f"{self._known[id(cell)]}.cell_contents = {self.build(content)}")

    # Tensors

    def memory(self, storage: Storage) -> int:
        self._recording.fix_views(storage)
        slot = self._recording.memory.get(storage)
        if slot is None:
            raise Irreproducible("a tensor of unknown origin is returned or stored")
        return slot

    def _storage(self, storage: Storage) -> str:
        found = self._storages.get(storage)
        if found is None:
            slot = self.memory(storage)
            source = self._recording.tensor_sources.get(storage)
            if source is None:
                args = (self._pool.name(storage.dtype), self._sized(storage.size), f"E[{slot}]")
                found = self._call(storage_over, *args, str(storage.version))
            elif storage.buffer is not None and storage.buffer.foreign and self._is_array(storage):
                raise Irreproducible("a tensor over an array's memory is returned or stored")
            else:
                found = self._writer.read(source.attribute("storage"))
            self._storages[storage] = found
        return found

    def _sized(self, value: Any) -> str:
        """An aval, a layout or a size, at the sizes of the replay."""
        if open_sizes_of(value) is None:
            return self._pool.literal(value)
        resizing = self._recording.resizing()
        assert resizing is not None, "it has open sizes"
        return self._new(resizing.text(self._pool, value))

    def _params(self, params: Params) -> str:
        if open_sizes_of(tuple(params.values())) is None:
            return self._pool.name(params)
        return (
            f"{{{', '.join(f'{name!r}: {self._sized(value)}' for name, value in params.items())}}}"
        )

    def _is_array(self, storage: Storage) -> bool:
        return storage in self._recording.array_storages

    def _tensor(self, tensor: Tensor) -> str:
        if not type(tensor).__module__.startswith("tracejit."):
            raise Irreproducible(f"a {type(tensor).__name__} is returned or stored")
        made = self._view(tensor) or self._whole(tensor)
        if type(tensor) is not Tensor:
            self._writer.add(f"{made}.__class__ = {self._pool.name(type(tensor))}")
        self._known[id(tensor)] = made
        if tensor.autograd is not None:
            self._writer.add(f"{made}.autograd = {self._handle(tensor.autograd, tensor.storage)}")
        return made

    def _view(self, tensor: Tensor) -> str | None:
        """A view of one that came from outside and may begin anywhere in its base; None for any other tensor."""
        if tensor.origin is None or self._recording.window_of(tensor) is None:
            return None
        source = self._recording.source_of_part(tensor)
        if source is not None:
            return self._call(Tensor.detach, self._writer.read(source))
        parent, op, params = tensor.origin
        return self._call(view_of, self.build(parent), self._pool.name(op), self._params(params))

    def _whole(self, tensor: Tensor) -> str:
        origin = "None"
        if tensor.origin is not None:
            parent, op, params = tensor.origin
            names = f"{self._pool.name(op)}, {self._params(params)}"
            origin = f"({self.build(parent)}, {names})"
        storage = self._storage(tensor.storage)
        names = f"{self._sized(tensor.layout)}, {self._sized(tensor.aval)}"
        return self._call(make, storage, names, origin)

    def _array(self, stand_in: StandIn) -> str:
        """The NumPy array, or number, that the user takes a stand-in for."""
        slot = self.memory(stand_in.storage)
        layout, dtype = stand_in.layout, stand_in.aval.dtype.numpy
        offset = self._sized(layout.offset * dtype.itemsize)
        parts = self._pool.name(dtype), self._sized(layout), offset
        array = self._call(array_over, f"E[{slot}]", *parts)
        return f"{array}[()]" if is_number(stand_in) else array

    # The tape

    def _handle(self, handle: Handle, storage: Storage | None = None) -> str:
        """`storage`: of the tensor, which may have another version where it was there before the call."""
        found = self._known.get(id(handle))
        if found is not None:
            return found
        source = self._recording.outside.get(id(handle))
        if source is not None:
            return self._writer.read(source)
        if handle.hooks:
            raise Irreproducible("a tensor with hooks is returned or stored")
        self._held.append(handle)
        node = "None" if handle.node is None else self._node(handle.node)
        version = str(handle.version)
        if storage is not None and storage in self._recording.tensor_sources:
            version = f"{self._storage(storage)}.version - {storage.version - handle.version}"
        made = self._call(Handle, node, version, repr(handle.requires_grad))
        self._known[id(handle)] = made
        if handle.grad is not None:
            self._writer.add(f"{made}.grad = {self.build(handle.grad)}")
        return made

    def _node(self, node: Node) -> str:
        """All nodes that lead to `node`, in the order in which they were made."""
        nodes = sorted(self._unknown_nodes(node), key=lambda each: each.sequence)
        if nodes and not any(n.saved or n.hooks for n in nodes) and self._are_alone(nodes):
            self._held.append(node)
            self._known[id(node)] = self._late_node(nodes)
        else:
            for each in nodes:
                self._held.append(each)
                self._known[id(each)] = self._built_node(each)
        made = self._edge(node)
        if nodes and not any(each.is_freed for each in nodes):
            self._writer.add(
                f"{self._pool.name(remember_node)}({made}, {self._pool.name(self._gradients)})"
            )
        return made

    def _are_alone(self, nodes: list[Node]) -> bool:
        """Whether they lead to leaves only, by rules that hold nothing."""
        inner = set(nodes)
        edges = [edge for each in nodes for edge in each.edges if isinstance(edge, Node)]
        rules = all(isinstance(n.rule, RULES) or type(n.rule) is FunctionType for n in nodes)
        return rules and all(edge in inner for edge in edges)

    def _late_node(self, nodes: list[Node]) -> str:
        """A freed graph, which is built when somebody asks for it."""
        places: dict[Any, int] = {node: place for place, node in enumerate(nodes)}
        leaves: list[str] = []
        for node in nodes:
            for edge in node.edges:
                if isinstance(edge, Handle) and edge not in places:
                    places[edge] = -1 - len(leaves)
                    leaves.append(self._handle(edge))
        steps = tuple(
            Step(
                node.name,
                node.aval,
                tuple(None if edge is None else places[edge] for edge in node.edges),
                node.rule,
                node.loc,
            )
            for node in nodes
        )
        handles = "".join(f"{leaf}, " for leaf in leaves)
        return self._call(LateNode, self._sized(steps), f"({handles})")

    def _unknown_nodes(self, node: Node) -> list[Node]:
        found: list[Node] = []
        stack, seen = [node], {node}
        while stack:
            each = stack.pop()
            if id(each) in self._known or id(each) in self._recording.outside:
                continue
            found.append(each)
            edges = [*each.edges, *(s.edge for s in each.saved if type(s) is Saved)]
            new = [edge for edge in edges if isinstance(edge, Node) and edge not in seen]
            seen.update(new)
            stack += new
        return found

    def _built_node(self, node: Node) -> str:
        if node.hooks or not (isinstance(node.rule, RULES) or type(node.rule) is FunctionType):
            raise Irreproducible("a gradient with hooks is returned or stored")
        name = self._pool.name
        edges = "".join(f"{self._edge(edge)}, " for edge in node.edges)
        saved = "".join(f"{self._saved(value)}, " for value in node.saved)
        return self._call(
            Node, repr(node.name), self._sized(node.aval), f"({edges})", self._sized(node.rule), f"({saved})",
            name(node.loc),
        )  # fmt: skip

    def _edge(self, edge: Any) -> str:
        if edge is None:
            return "None"
        if isinstance(edge, Handle):
            return self._handle(edge)
        found = self._known.get(id(edge))
        return self._writer.read(self._recording.outside[id(edge)]) if found is None else found

    def _saved(self, value: Any) -> str:
        if type(value) is Scalar:
            return self._call(Scalar, self._pool.literal(value.value), self._pool.name(value.aval))
        if value.version != value.tensor.storage.version:
            raise Irreproducible("what a gradient needs has been overwritten")
        parts = self.build(value.tensor), repr(value.role), self._edge(value.edge)
        return self._call(saved_value, *parts, repr(value.is_result))


def storage_over(dtype: DType, size: int, buffer: Buffer, version: int) -> Storage:
    storage = Storage(dtype, size, buffer)
    storage.version = version
    return storage


def array_over(buffer: Buffer, dtype: Any, layout: Any, offset: int) -> np.ndarray:
    return buffer.array(dtype, layout.shape, layout.strides, offset)


def saved_value(tensor: Tensor, role: str, edge: Any, is_result: bool) -> Saved:
    return Saved(tensor, role, edge, is_result=is_result)


def _is_ordinary(kind: type) -> bool:
    """Whether `object.__new__` and its attributes make up the object."""
    return all(base is object or base.__module__ != "builtins" for base in kind.__mro__)


def slots(kind: type) -> list[str]:
    """Attributes that objects of the class keep in slots."""
    return [
        name
        for base in reversed(kind.__mro__)
        for name, member in base.__dict__.items()
        if type(member) is MemberDescriptorType
    ]
