"""Where the values of a graph lie in memory: which views are only another layout of a value, and which must be copied."""

from __future__ import annotations

from tracejit.ir.cluster import Labels
from tracejit.ir.graph import Apply, Graph, Input, Node
from tracejit.ops.op import Layout, View


def row_major(shape: tuple[int, ...], offset: int = 0) -> Layout:
    if not shape:
        return _SCALAR if offset == 0 else Layout((), (), offset)
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return Layout(shape, tuple(strides), offset)


_SCALAR = Layout((), ())


class Layouts:
    """For each node its root, the node whose memory it is seen in, and its layout there."""

    def __init__(self, graph: Graph) -> None:
        self.position = {node: place for place, node in enumerate(graph.nodes)}
        self._root: dict[Node, Node] = {}
        self._layout: dict[Node, Layout] = {}
        for node in graph.nodes:
            self.add(node)

    def root(self, node: Node) -> Node:
        return self._root[node]

    def layout(self, node: Node) -> Layout:
        return self._layout[node]

    def is_alias(self, node: Node) -> bool:
        """A view that costs nothing: another layout of its input's memory."""
        return self._root[node] is not node

    def move(self, node: Node, root: Node, layout: Layout) -> None:
        """The node, of which there are no views, is a part of another's memory."""
        self._root[node], self._layout[node] = root, layout

    def add(self, node: Node) -> None:
        """Takes in a node whose inputs are known."""
        if type(node) is Apply and type(recipe := node.op.recipe) is View:
            source = node.inputs[0]
            seen = recipe.layout(self._layout[source], **dict(node.params))
            if seen is not None:
                self._root[node], self._layout[node] = self._root[source], seen
                return
        self._root[node] = node
        shape = node.aval.sizes
        if isinstance(node, Input) and node.strides is not None:
            self._layout[node] = Layout(shape, node.strides)
        else:
            self._layout[node] = row_major(shape)


def relabel(view: Apply) -> Labels | None:
    """For each dimension of a view the input's dimension that it is (None: of one element, or repeated).

    None for a view that does more than permute, repeat, add and drop dimensions. Found by giving the view's rule a row-major
    array, in which a stride tells the dimension.
    """
    assert isinstance(view.op.recipe, View)
    source = row_major(view.inputs[0].aval.sizes)
    seen = view.op.recipe.layout(source, **view.kwargs)
    if seen is None or seen.offset != 0 or 0 in source.shape:
        return None
    axis_of = {
        stride: axis
        for axis, (stride, extent) in enumerate(zip(source.strides, source.shape, strict=True))
        if extent > 1
    }
    places: list[int | None] = []
    for stride, extent in zip(seen.strides, seen.shape, strict=True):
        place = None if extent == 1 or stride == 0 else axis_of.get(stride, -1)
        if place is not None and (place < 0 or source.shape[place] != extent):
            return None
        places.append(place)
    used = [place for place in places if place is not None]
    missing = [a for a, extent in enumerate(source.shape) if extent > 1 and a not in used]
    return tuple(places) if not missing else None
