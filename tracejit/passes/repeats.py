"""Rounds in a graph: what an unrolled loop has left, the same ops again and again on other values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator

import numpy as np

from tracejit._records import dataclass
from tracejit.ir.graph import Apply, Constant, Graph, Node, ScalarInput
from tracejit.ops.op import Pointwise
from tracejit.passes.layouts import Layouts

LEAST_NODES = 4096
"""Compiling so many takes seconds; of fewer, ops of one round may be fused with those of the next."""
LEAST_ROUNDS = 8
_LEAST_SHARE = 0.5
"""Of the nodes that are in rounds."""
_MOST_PERIODS = 8
"""Periods that are tried, the most frequent first."""


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """`period` ops each, from `start` on: the same ops, on values of their own round alike and on `given` ones.

    ops     of the graph, but for views that are only another layout of a value: those belong to whoever reads them
    given   for each round the values from outside that it reads, in the same order
    """

    ops: tuple[Apply, ...]
    start: int
    period: int
    given: tuple[tuple[Node, ...], ...]

    @property
    def count(self) -> int:
        return len(self.given)

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count


def may_have_rounds(graph: Graph) -> bool:
    """Whether it is long enough to be looked through."""
    return len(graph.applies) >= LEAST_NODES


def rounds_of(graph: Graph, layouts: Layouts) -> Rounds | None:
    """The longest run of rounds that is worth being compiled as one; None where there is none."""
    ops = tuple(node for node in graph.applies if not layouts.is_alias(node))
    keys = _numbers_of(ops, layouts)
    runs = [_longest_run(keys, period) for period in _periods(keys)]
    start, length, period = max(runs, key=lambda run: run[1], default=(0, 0, 1))
    if length < LEAST_ROUNDS * period:
        return None
    start += _narrowest(ops, layouts, start + length // period // 2 * period, period)
    rounds = _Matcher(ops, layouts, start, period, (length - period) // period).rounds()
    if rounds is None or rounds.count * period < _LEAST_SHARE * len(ops):
        return None
    return rounds if _ends_fusion(ops[rounds.start : rounds.start + period], layouts) else None


def _numbers_of(ops: tuple[Apply, ...], layouts: Layouts) -> np.ndarray:
    """Equal for nodes that do the same to values of the same kinds."""
    numbers: dict[Hashable, int] = {}

    def key(node: Apply) -> Hashable:
        return node.op, repr(node.params), node.aval, tuple(map(kind, node.inputs))

    def kind(value: Node) -> Hashable:
        match value:
            case Constant(aval=aval, value=number):
                return aval, repr(number)
            case ScalarInput(aval=aval):
                return aval, "number"
        return value.aval, layouts.layout(value).strides

    return np.array([numbers.setdefault(key(node), len(numbers)) for node in ops])


def _periods(keys: np.ndarray) -> list[int]:
    """Distances at which the same is done again, the most frequent first."""
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    gaps = Counter((order[1:] - order[:-1])[same].tolist())
    return [gap for gap, _ in gaps.most_common(_MOST_PERIODS)]


def _longest_run(keys: np.ndarray, period: int) -> tuple[int, int, int]:
    """(start, length, period) of the longest stretch in which all is done again `period` later, that included."""
    breaks = np.flatnonzero(keys[:-period] != keys[period:])
    ends = np.concatenate(([-1], breaks, [len(keys) - period]))
    lengths = np.diff(ends) - 1
    longest = int(lengths.argmax())
    return int(ends[longest]) + 1, int(lengths[longest]) + period, period


def _narrowest(ops: tuple[Apply, ...], layouts: Layouts, middle: int, period: int) -> int:
    """The place in a round, from `middle` on, by which fewest bytes go from the ops before to those that follow."""
    last: dict[Node, int] = {}
    for number, node in enumerate(ops):
        last.update((layouts.root(source), number) for source in node.inputs)
    living = np.zeros(period + 1, np.int64)
    for at, node in enumerate(ops):
        end = last.get(node, -1)
        if end >= middle and at < middle + period:
            living[max(at + 1 - middle, 0)] += node.aval.nbytes
            living[min(end + 1 - middle, period)] -= node.aval.nbytes
    return int(np.cumsum(living)[:period].argmin())


class _Matcher:
    """Compares rounds with the one in the middle."""

    def __init__(
        self, ops: tuple[Apply, ...], layouts: Layouts, start: int, period: int, count: int
    ) -> None:
        self._ops, self._layouts = ops, layouts
        self._start, self._period, self._count = start, period, count
        self._place: dict[Node, int] = {node: number for number, node in enumerate(ops)}

    def rounds(self) -> Rounds | None:
        if self._count < LEAST_ROUNDS:
            return None
        middle = self._count // 2
        shape, given = self._seen(middle)
        before = [*self._alike(range(middle - 1, -1, -1), shape)]
        after = [*self._alike(range(middle + 1, self._count), shape)]
        everything = (*reversed(before), given, *after)
        if len(everything) < LEAST_ROUNDS:
            return None
        start = self._start + (middle - len(before)) * self._period
        return Rounds(self._ops, start, self._period, everything)

    def _alike(
        self, rounds: range, shape: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[Node, ...]]:
        """What is given to rounds, as long as they are of this shape."""
        for number in rounds:
            found, given = self._seen(number)
            if found != shape:
                return
            yield given

    def _seen(self, number: int) -> tuple[tuple[tuple[int, int], ...], tuple[Node, ...]]:
        """Where each op of a round finds its values, and those that are given to it.

        A value is (an op of the round, the offset in its memory), or (-1, which of the given ones it is).
        """
        first = self._start + number * self._period
        found: list[tuple[int, int]] = []
        given: dict[Node, int] = {}
        for node in self._ops[first : first + self._period]:
            for source in node.inputs:
                if isinstance(source, Constant):
                    continue
                at = self._place.get(self._layouts.root(source), -1)
                if first <= at < first + self._period:
                    found.append((at - first, self._layouts.layout(source).offset))
                else:
                    found.append((-1, given.setdefault(source, len(given))))
        return tuple(found), tuple(given)


def _ends_fusion(ops: tuple[Apply, ...], layouts: Layouts) -> bool:
    """Whether one round cannot be computed element by element along with the one before."""
    if not all(isinstance(node.op.recipe, Pointwise) for node in ops):
        return True
    made = set(ops)
    return any(
        layouts.root(source).aval.size > source.aval.size
        for node in ops
        for source in node.inputs
        if layouts.root(source) in made
    )
