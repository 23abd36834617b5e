"""A group: ops that fusion has found can share one loop nest, and where the dimensions of each lie in it."""

from __future__ import annotations

from math import prod
from typing import Final

from tracejit._records import dataclass, field
from tracejit.ir.cluster import Labels
from tracejit.ir.graph import Apply
from tracejit.ops.op import Reduction

SPLIT_LANES, SPLIT_ROWS = 262_144, 4_096
"""The superblocks of the fold trees (codegen.kernel.ir.Tree): where one fold can be shared among tasks."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which folds are so few and so long that sharing each among tasks is worth further launches. No choice changes a bit."""

    few_rows: int
    lanes: int
    """Along rows: at most so many folds, of more elements than this."""
    few_columns: int
    rows: int
    """And down columns."""

    def splits(self, space: tuple[int, ...], axes: tuple[int, ...]) -> bool:
        """Whether folds of a space over axes are shared."""
        if not axes:
            return False
        extent = prod(space[axis] for axis in axes)
        folds = prod(space[axis] for axis in range(len(space)) if axis not in axes)
        if axes[-1] == len(space) - 1:
            return folds <= self.few_rows and extent > self.lanes
        return folds <= self.few_columns and extent > self.rows


CORES: Final = Sharing(few_rows=4, lanes=SPLIT_LANES, few_columns=256, rows=SPLIT_ROWS)
"""A superblock is a task."""
WARPS: Final = Sharing(few_rows=4, lanes=32_768, few_columns=16_384, rows=1024)
"""A block is a warp's: a GPU has room for thousands."""


@dataclass(slots=True, eq=False)
class Group:
    """A cluster under construction."""

    order: int
    """The place of its first member in the graph."""
    space: tuple[int, ...]
    axes: tuple[int, ...] = ()
    members: list[Apply] = field(default_factory=list)
    labels: dict[Apply, Labels] = field(default_factory=dict)
    needs: set[Group] = field(default_factory=set)
    """The groups that must run before, directly or not."""
    sharing: Sharing = CORES
    single: bool = False
    """A step of its own: nothing joins it."""

    @property
    def split(self) -> bool:
        """Few folds, each long enough to share among tasks; such a group has no later stage."""
        return self.sharing.splits(self.space, self.axes)

    def result_labels(self, node: Apply) -> Labels:
        """Labels of a member's value: of a reduction's, those of its input without the axes."""
        labels = self.labels[node]
        if isinstance(node.op.recipe, Reduction):
            return tuple(label for label in labels if label not in self.axes)
        return labels
