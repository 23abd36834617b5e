"""What fusion makes of a graph: steps, each one kernel, product or host call, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracejit._records import dataclass
from tracejit.dtypes import DType
from tracejit.ir.graph import Apply, Node

if TYPE_CHECKING:
    from tracejit.ops.op import Layout

Labels = tuple[int | None, ...]
"""For each dimension of a value the loop dimension it runs along; None for a dimension of one element."""


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """The value is written to the memory of `target`, seen as `layout`."""

    value: Node
    target: Node
    layout: Layout


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """One loop nest over `space`: its members are computed element by element, the reductions among them over `axes`.

    `labels` places each member in the space, a reduction by its input.
    """

    space: tuple[int, ...]
    axes: tuple[int, ...]
    members: tuple[Apply, ...]
    labels: dict[Apply, Labels]
    stores: tuple[Store, ...]
    split: bool = False
    """The folds are so long, and so few, that each is shared among tasks."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A contraction by the matrix-product kernels."""

    node: Apply


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """Updates added to the memory of `node`, which already holds the base."""

    node: Apply


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A recurrence along an axis."""

    node: Apply


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """An op computed by its NumPy `eval`."""

    node: Apply


Step = Fused | Product | Scatter | Scan | Host


@dataclass(frozen=True, slots=True, eq=False)
class Temporary:
    """Memory between the launches of one step."""

    dtype: DType
    elements: int

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize


Owner = Node | Temporary
"""What has memory."""
