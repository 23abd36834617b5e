"""Sums of padded parts: the gradient of what was read in parts, each of which adds its own with zeros around it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Constant, Graph, Node, with_inputs
from tracejit.ops import elementwise as e
from tracejit.ops.registry import REGISTRY
from tracejit.passes.algebra import apply, constant, is_splat

pad = REGISTRY["pad"]
concat = REGISTRY["concat"]


class Part(NamedTuple):
    """`value`, which has zeros before and after it along `axis`."""

    axis: int
    start: int
    stop: int
    value: Node


def join_pads(graph: Graph) -> Graph:
    """No sum of parts padded with zeros is left that overlap nowhere: they are concatenated, each with 0 added.

    The 0 is not for nothing: it makes 0.0 of -0.0, as the sum does.
    """
    parts = _parts_of_sums(graph)
    users, roots = graph.users(), set(graph.roots)
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        new[node] = with_inputs(node, new)
        is_whole = node in roots or any(user.op is pad or user not in parts for user in users[node])
        if is_whole and isinstance(node, Apply) and len(parts.get(node, ())) > 1:
            new[node] = _concatenated(node, parts[node], new)
    return graph.substitute(new)


def _parts_of_sums(graph: Graph) -> dict[Node, tuple[Part, ...]]:
    """The parts, in order, of each padded part and of each sum of them."""
    parts: dict[Node, tuple[Part, ...]] = {}
    for node in graph.applies:
        found = _padded(node) if node.op is pad else _sum(node, parts)
        if found:
            parts[node] = found
    return parts


def _padded(node: Apply) -> tuple[Part, ...]:
    """The one part of a value that has zeros around it along one axis only."""
    value, fill = node.inputs
    padded = [axis for axis, widths in enumerate(node.kwargs["widths"]) if any(widths)]
    if len(padded) != 1 or not node.aval.dtype.is_float or not is_splat(fill, 0.0):
        return ()
    axis = padded[0]
    before, _ = node.kwargs["widths"][axis]
    return (Part(axis, before, before + value.aval.sizes[axis], value),)


def _sum(node: Apply, parts: dict[Node, tuple[Part, ...]]) -> tuple[Part, ...]:
    """The parts of a sum of two, if they follow one another along one axis."""
    if node.op is not e.add or any(source.aval is not node.aval for source in node.inputs):
        return ()
    first, second = (parts.get(source, ()) for source in node.inputs)
    both = tuple(sorted((*first, *second), key=lambda part: part[:3]))
    is_disjoint = all(a.axis == b.axis and a.stop <= b.start for a, b in pairwise(both))
    return both if first and second and is_disjoint else ()


def _concatenated(node: Apply, parts: tuple[Part, ...], new: dict[Node, Node]) -> Apply:
    axis = parts[0].axis
    zero = Constant(aval(node.aval.dtype), 0.0)
    pieces: list[Node] = []
    end = 0
    for part in parts:
        pieces += _zeros(node, axis, part.start - end)
        pieces.append(apply(e.add, new[part.value], zero, like=node))
        end = part.stop
    pieces += _zeros(node, axis, node.aval.sizes[axis] - end)
    return apply(concat, *pieces, like=node, axis=axis)


def _zeros(node: Apply, axis: int, extent: int) -> list[Node]:
    """What lies between two parts."""
    shape = tuple(extent if at == axis else n for at, n in enumerate(node.aval.sizes))
    return (
        [apply(constant, like=node, shape=shape, dtype=node.aval.dtype, value=0)] if extent else []
    )
