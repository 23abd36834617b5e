"""The abstract state at a loop's head: what values are but for data, so that heads in the same state can be one.

All that a round can change is reached from the variables of its frame, from what functions there close over, or from outside
state that the call has written; it is described with its parts, and who shares them. What was there before the loop may be held
by others, too: it is described even where rounds have let go of it, and has to be the same object at each head. What has come
since is the loop's alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from types import CellType, FunctionType, MethodType
from typing import Any
from weakref import ref

from tracejit.autograd.node import Handle, Node, Saved
from tracejit.storage import Storage
from tracejit.symbols import SYMBOLS
from tracejit.tensor import Tensor
from tracejit.tracing.replay.kinds import ATOMS, is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.templates import slots
from tracejit.tracing.stand_in import StandIn

ON_THE_TAPE = "carries a gradient from round to round: leave the rounds to tj.no_grad(), or go on with what detach() gives"

HIDES = "holds a {}, which is not followed from round to round: have it after the loop, or outside of the function"


class Before:
    """What was there before the loop: tensors, as long as they live, and what else has been held since."""

    def __init__(self) -> None:
        self._tensors: dict[int, ref[Any]] = {}
        self._held: dict[int, Any] = {}

    def __contains__(self, value: Any) -> bool:
        key = id(value)
        return key in self._held or (key in self._tensors and self._tensors[key]() is value)

    def __iter__(self) -> Iterator[Any]:
        yield from (each for held in self._tensors.values() if (each := held()) is not None)
        yield from self._held.values()

    def note(self, tensors: Iterable[Any]) -> None:
        """Tensors, which are not held: those that nobody holds are not computed."""
        self._tensors |= {id(each): ref(each) for each in tensors}

    def hold(self, values: Iterable[Any]) -> None:
        self._held |= {id(each): each for each in values}


class State:
    """Describes values: structure, kinds, dtypes, shapes, sharing, and their places on the tape.

    has_made  whether what is in a slot is the last round's, which nobody but the loop holds; others are always the same
    waiting   storages that are older, though they have had no slot until now
    before    what was there before the loop
    why       what cannot be described, and the mend; "" while all can be
    slots     those of the last round's `values`, which take other slots at the head
    inside    ids of numbers that are a part of something, or stand in state
    on_tape   names of what gradients flow through
    met       what is told by its id
    """

    def __init__(
        self,
        recording: Recording,
        has_made: Callable[[int], bool],
        waiting: Collection[Storage],
        before: Before,
    ) -> None:
        self.why = ""
        self.slots: list[int] = []
        self.values: list[Any] = []
        self.inside: set[int] = set()
        self.on_tape: set[str] = set()
        self.met: dict[int, Any] = {}
        self._before = before
        self._recording = recording
        self._has_made = has_made
        self._waiting = waiting
        self._name = ""
        self._known: dict[int, Any] = {}

    @property
    def pattern(self) -> tuple[int, ...]:
        """Which of the values share a slot."""
        return tuple(map(self.slots.index, self.slots))

    def of_variables(self, named: Iterable[tuple[str, Any]]) -> tuple[Any, ...]:
        """Variables of the function, each with its name."""
        return tuple([(name, self._named(name, value)) for name, value in named])

    def of_outside(self) -> tuple[Any, ...]:
        """What the call has written to outside state, by the places."""
        return tuple(
            [
                (name, place, *self._parts((value,), name))
                for name, place, value in written_outside(self._recording)
            ]
        )

    def of_others(self) -> tuple[Any, ...]:
        """What was there before the loop, and is not among all that."""
        self._name = "what was there before the loop"
        found = [each for each in self._before if id(each) not in self._known]
        return tuple([(self._name, self._other(each)) for each in found])

    def _other(self, value: Any) -> Any:
        if isinstance(value, Node | MethodType) or (
            isinstance(value, Tensor) and value.storage not in self._recording.memory
        ):
            return None  # by itself it does not change, or nobody can use it
        return self._edge(value) if isinstance(value, Handle) else self._of(value)

    def _named(self, name: str, value: Any) -> Any:
        self._name = name
        return self._of(value)

    def _parts(self, values: Iterable[Any], name: str = "") -> tuple[Any, ...]:
        self._name = name or self._name
        parts = list(values)
        self.inside.update(id(part) for part in parts if type(part) in SYMBOLS)
        return tuple(map(self._of, parts))

    def _refuse(self, why: str) -> None:
        self.why = self.why or f"{self._name} {why}"

    def _of(self, value: Any) -> Any:
        kind = type(value)
        if kind in ATOMS and kind not in SYMBOLS:
            return ("atom", kind.__name__, repr(value) if kind is not str else value)
        known = self._known.get(id(value))
        if known is not None:
            return known
        self._count(value)
        if kind in SYMBOLS:
            is_own = self._has_made(value.slot) and value.slot not in self._recording.numbers
            return self._moved(value.slot, value, is_own, ("symbol", kind.__name__))
        if self._recording.is_fixed_object(value) or self._recording.is_outside(value):
            return ("object", id(value))
        if isinstance(value, Tensor) or kind is StandIn:
            return self._tensor(value, kind)
        return self._composed(value, kind)

    def _count(self, value: Any) -> None:
        """What is met again is known by its number."""
        self._known[id(value)] = ("seen", len(self._known))

    def _same(self, value: Any) -> int:
        """The object has to be the same one at each head."""
        self.met[id(value)] = value
        return id(value)

    def _identity(self, value: Any) -> int | None:
        """Of what was there before the loop; what has come since may be another in each round."""
        return id(value) if value in self._before else None

    def _moved(self, slot: int, value: Any, is_own: bool, described: Any) -> Any:
        """What is not the loop's own is always the same."""
        if not is_own:
            return (*described, slot)
        self.slots.append(slot)
        self.values.append(value)
        return described

    # What has parts

    def _composed(self, value: Any, kind: type) -> Any:
        parts = parts_of(self._recording, value)
        if parts is None:
            self._refuse(HIDES.format(kind.__name__))
            return None
        told: Any = self._same(kind)
        if kind is FunctionType:
            told = self._same(value.__code__)
        elif kind is CellType and id(value) in self._recording.cells:
            told = id(value)
        elif self._recording.is_made(value):
            told = (told, *slots(kind), *getattr(value, "__dict__", ()))
        return (kind.__name__, told, self._identity(value), *self._parts(parts))

    # Tensors

    def _tensor(self, tensor: Any, kind: type) -> Any:
        recording, storage = self._recording, tensor.storage
        slot = recording.memory.get(storage)
        if slot is None:
            self._refuse(f"is {tensor.aval}, of which nothing is known")
            return None
        is_outside = storage in recording.outside_storages
        is_own = not is_outside and storage not in self._waiting and self._has_made(slot)
        described = (kind.__name__, tensor.aval, tensor.layout)
        return (
            self._moved(slot, tensor, is_own, described),
            None if is_own else self._identity(tensor),
            self._origin(tensor.origin),
            self._handle(tensor.autograd, storage, is_own),
        )

    def _origin(self, origin: Any) -> Any:
        """What a view is a view of."""
        if origin is None:
            return None
        parent, op, params = origin
        is_window = id(params) in self._recording.windows
        return op.name, id(params) if is_window else tuple(params.items()), self._of(parent)

    # The tape

    def _handle(self, handle: Handle | None, storage: Storage, is_own: bool) -> Any:
        if handle is None:
            return None
        known = self._known.get(id(handle))
        if known is not None:
            return known
        self._count(handle)
        if handle.requires_grad:
            self.on_tape.add(self._name)
        if handle.hooks:
            self._refuse("has a hook, which a backward pass calls")
        place = None if handle.node is None else self._node(handle.node)
        if is_own and handle.requires_grad and not _is_over(handle.node):
            self._refuse(ON_THE_TAPE)
        return (
            self._identity(handle),
            handle.requires_grad,
            storage.version - handle.version,
            self._of(handle.grad),
            place,
        )

    def _node(self, last: Node) -> Any:
        """All nodes that lead to one, in the order in which they were made; what they hold, only the same nodes hold."""
        steps = []
        for node in sorted(self._new_nodes(last), key=lambda each: each.sequence):
            edges = tuple(map(self._edge, node.edges))
            self._count(node)
            rule = getattr(node.rule, "pullback", node.rule)
            steps.append((node.name, node.aval, node.loc, rule, edges, self._held_by(node)))
        return (self._edge(last), *steps)

    def _held_by(self, node: Node) -> Any:
        """What a node holds for a backward pass to come, which is the same node then."""
        if not (node.saved or node.hooks):
            return None
        saved = [each.tensor for each in node.saved if type(each) is Saved]
        return (self._same(node), *self._parts(saved))

    def _new_nodes(self, last: Node) -> list[Node]:
        found: list[Node] = []
        stack, seen = [last], {last}
        while stack:
            node = stack.pop()
            if id(node) in self._known or id(node) in self._recording.outside:
                continue
            found.append(node)
            new = [edge for edge in node.edges if isinstance(edge, Node) and edge not in seen]
            seen.update(new)
            stack += new
        return found

    def _edge(self, edge: Node | Handle | None) -> Any:
        if edge is None:
            return None
        if id(edge) in self._known:
            return self._known[id(edge)]
        if id(edge) in self._recording.outside or isinstance(edge, Node):
            return ("object", self._same(edge))
        self._count(edge)
        return ("leaf", self._identity(edge), self._of(edge.grad))


def written_outside(recording: Recording) -> list[tuple[str, Any, Any]]:
    """What the call has put into outside state: names, places, and what stands there."""
    placed = [(str(each.place), place, each.value) for place, each in recording.placed.items()]
    appended = [
        (str(each.source), id(each.target), each.value)
        for each in recording.effects
        if each.kind == "append"
    ]
    taken = [
        (str(recording.outside[key]), key, part)
        for key, container in recording.taken.items()
        for part in _items_of(container)
    ]
    return [*placed, *appended, *taken]


def reached(
    recording: Recording, named: Iterable[tuple[str, Any]]
) -> tuple[list[Any], list[Any], str]:
    """The tensors and the other values that variables lead to; and, if something hides what it holds, its name and kind."""
    tensors: list[Any] = []
    others: list[Any] = []
    seen: set[int] = set()
    stack = [*named]
    while stack:
        name, value = stack.pop()
        if id(value) in seen or _is_plain(recording, value):
            continue
        seen.add(id(value))
        parts = parts_of(recording, value)
        if parts is None:
            return tensors, others, f"{name} {HIDES.format(type(value).__name__)}"
        is_tensor = isinstance(value, Tensor) or type(value) is StandIn
        (tensors if is_tensor else others).append(value)
        stack += [(name, part) for part in parts]
    return tensors, others, ""


def _is_plain(recording: Recording, value: Any) -> bool:
    """Whether a value never changes, or is outside state."""
    kind = type(value)
    if kind in ATOMS or kind in SYMBOLS or is_numpy_number(value):
        return True
    return recording.is_fixed_object(value) or recording.is_outside(value)


def parts_of(recording: Recording, value: Any) -> list[Any] | None:
    """What a value holds, in its order; None where that is not known."""
    kind = type(value)
    if isinstance(value, Tensor) or kind is StandIn:
        return [*((value.origin or ())[:1]), value.autograd]
    if isinstance(value, Handle):
        return [value.grad, value.node]
    if isinstance(value, Node):
        return [*value.edges, *(each.tensor for each in value.saved if type(each) is Saved)]
    if kind in (list, dict, deque, tuple) or (
        isinstance(value, tuple) and hasattr(kind, "_fields")
    ):
        return _items_of(value)
    if kind is frozenset:
        return [*value]
    if kind is MethodType:
        return [value.__func__, value.__self__]
    if kind is CellType:
        return [] if id(value) in recording.cells else _content_of(value)
    if kind is FunctionType:
        parts = value.__defaults__, value.__kwdefaults__, value.__dict__
        return [*parts, *(value.__closure__ or ())]
    if not recording.is_made(value):
        return None
    names = [name for name in slots(kind) if hasattr(value, name)]
    return [*(getattr(value, name) for name in names), *getattr(value, "__dict__", {}).values()]


def _items_of(container: Any) -> list[Any]:
    if type(container) is dict:
        return [*container.keys(), *container.values()]
    return [container.maxlen, *container] if type(container) is deque else [*container]


def _content_of(cell: CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not assigned yet
        return []


def _is_over(last: Node | None) -> bool:
    """Whether nothing that leads to a node holds anything: no backward pass is to come that needs what a round has made."""
    stack: list[Node] = [] if last is None else [last]
    seen = {*stack}
    while stack:
        node = stack.pop()
        if node.saved:
            return False
        new = [edge for edge in node.edges if isinstance(edge, Node) and edge not in seen]
        seen.update(new)
        stack += new
    return True
