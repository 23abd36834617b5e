"""A group: ops that fusion has found can share one loop nest, and where the dimensions of each lie in it."""

from __future__ import annotations

from dataclasses import field
from math import prod

from tracejit._records import dataclass
from tracejit.ir.cluster import Labels
from tracejit.ir.graph import Apply
from tracejit.ops.op import Reduction

SPLIT_LANES, SPLIT_ROWS = 262_144, 4_096
"""The superblocks of the fold trees (codegen.kernel.ir.Tree): where one fold can be shared among tasks."""
FEW_ROWS, FEW_COLUMNS = 4, 256
"""Folds so few that splitting each is worth a second launch."""


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
    single: bool = False
    """A step of its own: nothing joins it."""

    @property
    def split(self) -> bool:
        """Few folds, each long enough to share among tasks; such a group has no later stage."""
        return is_split(self.space, self.axes)

    def result_labels(self, node: Apply) -> Labels:
        """Labels of a member's value: of a reduction's, those of its input without the axes."""
        labels = self.labels[node]
        if isinstance(node.op.recipe, Reduction):
            return tuple(label for label in labels if label not in self.axes)
        return labels


def is_split(space: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether folds of a space over axes are few, and each is long enough to share among tasks."""
    if not axes:
        return False
    extent = prod(space[axis] for axis in axes)
    folds = prod(space[axis] for axis in range(len(space)) if axis not in axes)
    if axes[-1] == len(space) - 1:
        return folds <= FEW_ROWS and extent > SPLIT_LANES
    return folds <= FEW_COLUMNS and extent > SPLIT_ROWS
