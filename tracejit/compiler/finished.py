"""A product that is computed together with what follows from each of its elements."""

from __future__ import annotations

from tracejit._records import dataclass
from tracejit.codegen.kernel.nest import Lowered
from tracejit.ir.cluster import Fused, Product
from tracejit.ir.graph import Node


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A product, and the map over its rows that its kernel computes from the sums, as a step and as a kernel of its own."""

    product: Product
    step: Fused
    rows: Lowered

    @property
    def private(self) -> frozenset[Node]:
        """The product, if nobody else reads it."""
        node = self.product.node
        is_stored = any(store.target is node for store in self.step.stores)
        return frozenset(() if is_stored else (node,))

    @property
    def sums(self) -> int:
        """Which of the map's buffers is the product that it reads."""
        node, buffers = self.product.node, self.rows.kernel.buffers
        pairs = enumerate(zip(self.rows.arguments, buffers, strict=True))
        return next(n for n, ((owner, _), each) in pairs if owner is node and not each.written)
