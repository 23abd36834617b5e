"""Why a call fitted no recording: the guard that failed, what stands there now, the user's line, and the mend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracejit._records import dataclass
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.memory import Abandoned
from tracejit.tracing.replay.mends import (
    MEND_OF_ERROR,
    MEND_OF_FOREIGN,
    mend_of_branch,
    mend_of_guard,
)
from tracejit.tracing.replay.opened import as_open
from tracejit.tracing.replay.places import code_of
from tracejit.tracing.replay.tree import FEW_ROOTS, Node, Tree, _next

MOST_ENTRIES = 32
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Miss:
    """A guard of one recording that did not hold, or a decision that went a way that no recording went."""

    where: str
    what: str
    now: str
    mend: str
    subject: str
    """What the guard is about, whatever the values."""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"

    @property
    def text(self) -> str:
        """What is said without the line."""
        now = f"; now {self.now}" if self.now else ""
        return f"{self.what}{now}: {self.mend}"


def miss_of(tree: Tree, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Miss | None:
    """Why the call fits no recording: of the one that came nearest to fitting; None where there is none."""
    roots = tree.candidates(args, kwargs) or tree.roots[:FEW_ROOTS]
    found = [_miss_of_root(tree, root, (args, kwargs)) for root in roots]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _miss_of_root(tree: Tree, root: Node, call: Arguments) -> tuple[tuple[bool, float], Miss]:
    """How near the recording came to fitting, and what did not hold.

    How near is told by the number of guards that hold; recordings made before a number became an input do not count.
    """
    guard, where, _ = tree.miss(root, *call)
    if isinstance(guard, str):
        return (True, float("inf")), _miss_on_the_way(tree, root, call)
    nearness = not _is_input(tree, guard), root.guards.index(guard)
    return nearness, _miss_of_guard(tree, guard, where, call)


def _is_input(tree: Tree, guard: g.Guard) -> bool:
    """Whether the guard is on a number, or a size, that is known to change."""
    if isinstance(guard, g.TensorIs | g.ArrayIs):
        axes = len(guard.aval.shape if isinstance(guard, g.TensorIs) else guard.shape)
        keys = (as_open(guard.source, axis) for axis in range(axes))
        return any(key in tree.symbolic or ("fixed", *key) in tree.symbolic for key in keys)
    return isinstance(guard, g.Equals) and guard.source.identity in tree.symbolic


def _miss_of_guard(tree: Tree, guard: g.Guard, where: str, call: Arguments) -> Miss:
    value = _value_at(guard, call)
    source = getattr(guard, "source", None)
    mend = mend_of_guard(guard, value, is_input=_is_input(tree, guard))
    subject = type(guard).__name__ if source is None else str(source)
    return Miss(where, str(guard), _shown(guard, value, call), mend, subject)


def _miss_on_the_way(tree: Tree, root: Node, call: Arguments) -> Miss:
    """Why no recording goes on: the walk is done again up to there, which writes to copies only."""
    slots: list[Any] = [None] * tree.capacity
    node: Node | None = root
    last = root
    try:
        root.enter(slots, *call)
        while node is not None and node.end is not None:
            node.run(slots)
            last, node = node, _next(node, slots, *call)
    except Abandoned as reason:
        return Miss(last.where, str(reason), "", MEND_OF_FOREIGN, "memory")
    except Exception as error:
        return Miss(
            last.where, f"a replay raised {type(error).__name__}", "", MEND_OF_ERROR, "error"
        )
    where = last.where or root.wheres[0]
    what = "a decision that depends on data went a way that is not recorded"
    return Miss(where, what, "", mend_of_branch(tree.open_loops, where), "decision")


def _value_at(guard: g.Guard, call: Arguments) -> Any:
    """What stands now at the source of a guard; its length, where the guard is about that."""
    source = getattr(guard, "source", None)
    if source is None:
        return None
    try:
        value = source.follow(*call)
        return len(value) if isinstance(guard, g.LengthIs) else value
    except Exception:  # nothing stands there any more
        return g.MISSING


def _shown(guard: g.Guard, value: Any, call: Arguments) -> str:
    if value is g.MISSING:
        return "missing"
    match guard:
        case g.LengthIs():
            return str(value)
        case g.Is() if code_of(value) is not None:
            code = code_of(value)
            return f"another one, of line {code.co_firstlineno}" if code else "another one"
        case g.KeyIn():
            return "it is not" if guard.present else "it is"
        case g.SameObject():
            return "they are two" if guard.same else "they are one"
        case g.Is() | g.CodeIs():
            return "another one"
        case g.KeysAre():
            return f"they are {', '.join(map(repr, [*value][:8]))}"
        case g.TensorIs() if isinstance(value, Tensor):
            return _tensor_shown(guard, value)
        case g.ArrayIs() if type(value).__name__ == "ndarray":
            return f"{value.dtype}{list(value.shape)}"
    return guard.now(*call)


def _tensor_shown(guard: g.TensorIs, tensor: Tensor) -> str:
    if tensor.aval is not guard.aval:
        return str(tensor.aval)
    if tensor.layout != guard.layout:
        return f"{tensor.aval} with strides {tensor.layout.strides}"
    standing = "with" if tensor.requires_grad else "without"
    return f"{tensor.aval} {standing} a gradient{', a view' if tensor.origin else ''}"


class Log:
    """What happened, in the order of the last time, each with how often; of many kinds of entries the oldest are forgotten."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._most = most
        self._entries: dict[Any, tuple[str, int]] = {}

    def note(self, key: Any, text: str) -> None:
        """Entries with one key are one, which says what the last of them said."""
        _, count = self._entries.pop(key, ("", 0))
        self._entries[key] = text, count + 1
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def __iter__(self) -> Iterator[str]:
        for text, count in list(self._entries.values()):
            yield text if count == 1 else f"{text} ({count} times)"

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def texts(self) -> set[str]:
        """The entries without how often."""
        return {text for text, _ in list(self._entries.values())}

    @property
    def last(self) -> str:
        """The newest entry, without how often."""
        return next(reversed(self._entries.values()))[0] if self._entries else ""
