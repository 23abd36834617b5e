"""What the tape is made of: each node one op that ran, its edges the way a gradient takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from tracejit._errors import AutogradError, Location, at_user_line
from tracejit.ir.aval import Aval

if TYPE_CHECKING:
    from tracejit.tensor import Tensor

Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"
Edge: TypeAlias = "Node | Handle"
"""Where a gradient goes: on through a node, or to the handle of a leaf."""


class Handle:
    """What autograd knows of a tensor.

    node       the op that made the value; None for a leaf
    version    of the storage when `node` made it: a view whose storage has moved on asks its base again
    grad       the gradient that backward() has accumulated
    hooks      called with the gradient of a leaf; those of other values stand at their node
    """

    __slots__ = ("__weakref__", "grad", "hooks", "node", "requires_grad", "version")

    def __init__(self, node: Node | None, version: int, requires_grad: bool = True) -> None:
        self.node = node
        self.version = version
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.hooks: tuple[Hook, ...] = ()

    @property
    def edge(self) -> Edge:
        return self.node or self


class Saved:
    """A value that a gradient rule needs, as it was when the op ran.

    edge    where its own gradient goes, for gradients of gradients; of the op's result that is the op's node
    """

    __slots__ = ("edge", "is_result", "role", "tensor", "version")

    def __init__(self, tensor: Any, role: str, edge: Edge | None, *, is_result: bool) -> None:
        self.role = role
        self.edge = edge
        self.is_result = is_result
        self.keep(tensor)

    def keep(self, tensor: Any) -> None:
        self.tensor = tensor
        self.version: int = tensor.storage.version

    def unpack(self, node: Node, *, on_tape: bool) -> Any:
        """The value, with its place on the tape if asked; an error where it has been overwritten since."""
        if self.tensor.storage.version != self.version:
            raise AutogradError(at_user_line(self._overwritten(node)))
        edge = node if self.is_result else self.edge
        if edge is None or not on_tape:
            return self.tensor
        value = self.tensor.detach()
        value.autograd = Handle(edge, self.version) if isinstance(edge, Node) else edge
        return value

    def _overwritten(self, node: Node) -> str:
        storage = self.tensor.storage
        return (
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{node.name} at {node.loc} needs its {self.role} {self.tensor.aval}, which {storage.written} has "
            f"overwritten (version {storage.version}, expected {self.version})"
        )


Rule = Callable[["Node", Any], "tuple[Any, ...]"]
"""(node, cotangent of its value) -> the cotangent, or None, for each edge."""

next_sequence = count().__next__


class Node:
    """An op that ran.

    edges      one per differentiable argument, None where no gradient goes
    rule       gives the cotangents of the edges; None once the graph has been freed
    saved      the values that the rule needs
    sequence   grows with time: a node's edges lead to smaller numbers
    """

    __slots__ = (
        "__weakref__",
        "aval",
        "edges",
        "hooks",
        "loc",
        "name",
        "rule",
        "saved",
        "sequence",
    )

    def __init__(
        self,
        name: str,
        aval: Aval,
        edges: tuple[Edge | None, ...],
        rule: Rule,
        saved: tuple[Any, ...],
        loc: Location | None,
    ) -> None:
        self.name = name
        self.aval = aval
        self.edges = edges
        self.rule: Rule = rule
        self.saved: tuple[Any, ...] = saved
        self.loc = loc
        self.hooks: tuple[Hook, ...] = ()
        self.sequence: float = next_sequence()
        if aval.open is not None:
            aval.open.note(self)

    def __repr__(self) -> str:
        return f"<{self.name} at {self.loc}>"

    def backward(self, ct: Any) -> tuple[Any, ...]:
        return self.rule(self, ct)

    @property
    def is_freed(self) -> bool:
        """Whether a backward pass has dropped what the rule needs."""
        return self.rule is _freed

    def free(self) -> None:
        """Drops what was saved for the rule; a rule that needs nothing can run again."""
        if self.saved:
            self.saved = ()
            self.rule = _freed


def _freed(node: Node, ct: Any) -> tuple[Any, ...]:
    raise AutogradError(
        at_user_line(
            f"Trying to backward through the graph a second time: what {node.name} at {node.loc} had saved was freed by "
            "the first backward. Specify retain_graph=True the first time if you need to backward through the graph twice."
        )
    )
