"""Products whose kernels compute what follows from each of their elements: bias, activation, residual, mask.

Such a map is computed from the sums, before they are stored; the product itself is in memory only where somebody else reads it.
A step that folds what it also stores, such as the gradient of a bias beside that of what the bias was added to, is taken apart:
its folds read what the product's kernel has stored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from itertools import chain

from tracejit.codegen.kernel.rows import is_straight, lower_rows, reads_in_order
from tracejit.compiler.finished import Finished
from tracejit.compiler.known import Known
from tracejit.compiler.members import accesses_of, only
from tracejit.compiler.slabs import Slabs, steps_of
from tracejit.ir.cluster import Fused, Owner, Product, Step, Store
from tracejit.ir.graph import Input, Node
from tracejit.ops.op import Layout, Reduction
from tracejit.passes.layouts import relabel, row_major

Part = Step | Slabs


class Epilogues:
    """Of a list of steps; `kept` is what is needed after the last one, `may_have` says which products can be finished."""

    def __init__(
        self,
        parts: Sequence[Part],
        known: Known,
        kept: Container[Owner],
        may_have: Callable[[Product], bool],
    ) -> None:
        self.parts, self.layouts, self.kept, self.may_have = parts, known.layouts, kept, may_have
        self.readers: dict[Node, list[int]] = defaultdict(list)
        self.writers: dict[object, list[int]] = defaultdict(list)
        """Of memory that was there before: a product that reads it is not to be moved across them."""
        for number, part in enumerate(parts):
            for root in known.read_by(steps_of(part)):
                self.readers[root].append(number)
            for root in known.written_by(steps_of(part)):
                if isinstance(root, Input):
                    self.writers[_memory(root)].append(number)

    def found(self) -> list[Part | Finished]:
        """The steps, with each product that can be where the first step is that reads it, and done with it."""
        result: list[list[Part | Finished]] = [[part] for part in self.parts]
        for number in reversed(range(len(self.parts))):
            part = self.parts[number]
            if not isinstance(part, Product) or not self.may_have(part):
                continue
            readers = self.readers[part.node]
            if not readers or self._is_replaced(part, number, readers[0]):
                continue
            match result[readers[0]]:
                case [Fused() as step]:
                    is_kept = len(readers) > 1 or part.node in self.kept
                    if found := self._finished(part, step, is_kept):
                        result[number], result[readers[0]] = [], found
        return [*chain.from_iterable(result)]

    def _finished(self, product: Product, step: Fused, is_kept: bool) -> list[Part | Finished]:
        """The product finished by the step, as far as it is a map, and then what is left of it; nothing where that cannot be."""
        node, rest = product.node, list[Part | Finished]()
        if step.axes:
            stored = {store.value for store in step.stores if self._is_of_map(store, step)}
            own = {store.target for store in step.stores if store.value in stored}
            others = {store.target for store in step.stores} - own
            left = only(step, others, self.layouts, stored)
            if not stored or self._reads(left, node):
                return []
            step, rest = only(step, own, self.layouts), [left]
        if not self._reads_in_order(step, node) or step.space[-1] != node.aval.sizes[-1]:
            return []
        if is_kept:
            # A mere copy may turn out to be needless.
            if step.space != node.aval.sizes or not step.members:
                return []
            step = replace(step, stores=(*step.stores, Store(node, node, row_major(step.space))))
        rows = lower_rows(step, self._place, relabel)
        return [Finished(product, step, rows), *rest] if is_straight(rows) else []

    def _is_of_map(self, store: Store, step: Fused) -> bool:
        """Whether a step that folds stores, in memory of its own, an element for each of its space, and needs no fold for it."""
        if store.value is not store.target or store.value.aval.sizes != step.space:
            return False
        members = only(step, (store.target,), self.layouts).members
        return not any(isinstance(member.op.recipe, Reduction) for member in members)

    def _reads(self, step: Fused, root: Node) -> bool:
        return any(each.root is root for each in accesses_of(step, self.layouts).every_read())

    def _reads_in_order(self, step: Fused, root: Node) -> bool:
        return reads_in_order(accesses_of(step, self.layouts), root)

    def _is_replaced(self, product: Product, number: int, reader: int) -> bool:
        """Whether an operand's memory is written over after the product, and by the time that it would be read."""
        for source in product.node.inputs:
            writers = self.writers.get(_memory(self.layouts.root(source)), ())
            if bisect_left(writers, number) < bisect_right(writers, reader):
                return True
        return False

    def _place(self, node: Node) -> tuple[Node, Layout]:
        return self.layouts.root(node), self.layouts.layout(node)


def _memory(root: Node) -> object:
    """What inputs that lie in one memory have in common."""
    return root.memory if isinstance(root, Input) and root.memory is not None else root
