"""What each step of a graph touches and how it can be walked, found out once; and who uses a value each time that it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import assert_never

from tracejit.compiler.machine import Machine
from tracejit.compiler.members import accesses_of
from tracejit.compiler.walks import Walk, walk_down_product, walk_of_loops, walk_of_product
from tracejit.ir.cluster import Fused, Host, Product, Scan, Scatter, Step
from tracejit.ir.graph import Node
from tracejit.passes.layouts import Layouts


class Known:
    """The steps of one graph, for a machine. Those that are `whole` had better stay as they are."""

    def __init__(self, layouts: Layouts, whole: Container[Step], machine: Machine) -> None:
        self.layouts, self.whole, self.machine = layouts, whole, machine
        self._touched: dict[Step, tuple[frozenset[Node], frozenset[Node]]] = {}
        self._walks: dict[tuple[Step, int], tuple[Walk, ...]] = {}

    def reads(self, step: Step) -> frozenset[Node]:
        return self._look(step)[0]

    def writes(self, step: Step) -> frozenset[Node]:
        return self._look(step)[1]

    def read_by(self, steps: Iterable[Step]) -> set[Node]:
        return {root for step in steps for root in self.reads(step)}

    def written_by(self, steps: Iterable[Step]) -> set[Node]:
        return {root for step in steps for root in self.writes(step)}

    def walks(self, step: Step, depth: int) -> tuple[Walk, ...]:
        """Along so many axes, what keeps the last one first."""
        if (step, depth) not in self._walks:
            self._walks[step, depth] = tuple(filter(None, self._find_walks(step, depth)))
        return self._walks[step, depth]

    def kept(self, step: Step, depth: int) -> Walk | None:
        """The walk that a chain may begin with: nothing follows folds alone."""
        return next((walk for walk in self.walks(step, depth) if not walk.share), None)

    def _find_walks(self, step: Step, depth: int) -> tuple[Walk | None, ...]:
        match step:
            case Fused() if step not in self.whole:
                return (walk_of_loops(step, accesses_of(step, self.layouts), depth),)
            case Product():
                return (
                    walk_of_product(step, self.layouts, depth),
                    walk_down_product(step, self.layouts, depth),
                )
        return ()

    def _look(self, step: Step) -> tuple[frozenset[Node], frozenset[Node]]:
        if step not in self._touched:
            self._touched[step] = frozenset(self._find_reads(step)), frozenset(_made(step))
        return self._touched[step]

    def _find_reads(self, step: Step) -> Iterable[Node]:
        match step:
            case Fused():
                return (access.root for access in accesses_of(step, self.layouts).every_read())
            case Product(node=node) | Scatter(node=node) | Scan(node=node) | Host(node=node):
                return map(self.layouts.root, node.inputs)
            case _:
                assert_never(step)


def _made(step: Step) -> Iterable[Node]:
    return (each.target for each in step.stores) if isinstance(step, Fused) else (step.node,)


class Uses:
    """Of values, in a list of steps of which some make `again` what has been made before, once, for those that come after.

    counts   how many steps have to do with a value, each time that it is made
    """

    def __init__(self, steps: Sequence[Step], known: Known, again: Container[Step] = ()) -> None:
        self.again = again
        self.counts: Counter[tuple[Node, int]] = Counter()
        self._times: dict[Step, dict[Node, int]] = {}
        anew: set[Node] = set()
        for step in steps:
            anew |= known.writes(step) if step in again else set()
            touched = known.reads(step) | known.writes(step)
            self._times[step] = {root: int(root in anew) for root in touched}
            self.counts.update(self._times[step].items())

    def is_another(self, step: Step, before: Step) -> bool:
        """Whether the step makes again what one before it has to do with as it was."""
        now, then = self._times[step], self._times[before]
        return step in self.again and any(then[root] != now[root] for root in then.keys() & now)

    def times(self, step: Step) -> dict[Node, int]:
        """Of what the step touches: how often it has been made again by then."""
        return self._times[step]
