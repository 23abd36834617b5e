"""The steps of a fused graph as text: each with its loop space, its ops and what it stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from tracejit.ir.cluster import Fused, Host, Product, Scan, Scatter, Step
from tracejit.ir.graph import Graph, Input, Node
from tracejit.ir.printer import print_node


def print_steps(steps: list[Step], graph: Graph) -> str:
    """One paragraph a step; nodes have the names that they have in the graph's text."""
    names: dict[Node, str] = {node: f"%{place}" for place, node in enumerate(graph.nodes)}
    return "\n".join("\n".join(_step(step, names)) for step in steps)


def _step(step: Step, names: dict[Node, str]) -> Iterator[str]:
    match step:
        case Fused(space=space, axes=axes, members=members, stores=stores):
            fold = f", folded over {', '.join(map(str, axes))}" if axes else ""
            shared = ", shared among tasks" if step.split else ""
            yield f"fused over {list(space)}{fold}{shared}:"
            for member in members:
                yield f"  {print_node(member, names)}"
            for store in stores:
                where = (
                    ""
                    if store.target is store.value
                    else f" to part of {_name(store.target, names)}"
                )
                yield f"  store {_name(store.value, names)}{where}"
        case Product(node=node):
            yield f"product: {print_node(node, names)}"
        case Scatter(node=node):
            yield f"scatter: {print_node(node, names)}"
        case Scan(node=node):
            yield f"scan: {print_node(node, names)}"
        case Host(node=node):
            yield f"host: {print_node(node, names)}"
        case _:
            assert_never(step)


def _name(node: Node, names: dict[Node, str]) -> str:
    """An output's or a saved value's memory is no node of the graph."""
    return names.get(node, "output" if isinstance(node, Input) else "saved")
