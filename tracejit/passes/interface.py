"""What a graph's program is given, gives and writes, whatever its steps are."""

from __future__ import annotations

from tracejit.artifact import BufferSpec, Plan
from tracejit.ir.graph import Graph, Input, Node, ScalarInput
from tracejit.ops.op import Layout
from tracejit.passes.layouts import row_major


def without_steps(graph: Graph) -> Plan:
    """The plan of a graph, of which the steps are still to come."""
    arrays = [node for node in graph.inputs if isinstance(node, Input)]
    scalars = [node for node in graph.inputs if isinstance(node, ScalarInput)]
    targets = {effect.target for effect in graph.effects}
    return Plan(
        kernels=(),
        steps=(),
        inputs=tuple(_given(node) for node in arrays),
        outputs=tuple(BufferSpec(node.aval.dtype.name, node.aval.sizes) for node in graph.outputs),
        scalars=tuple(node.aval.dtype.name for node in scalars),
        written=tuple(n for n, node in enumerate(arrays) if node in targets),
    )


def spec_of(node: Node, layout: Layout) -> BufferSpec:
    """The array of a value that lies in memory like this."""
    plain = layout.strides == row_major(layout.shape).strides
    return BufferSpec(node.aval.dtype.name, layout.shape, None if plain else layout.strides)


def _given(node: Input) -> BufferSpec:
    shape = node.aval.sizes
    return spec_of(node, Layout(shape, node.strides or row_major(shape).strides))
