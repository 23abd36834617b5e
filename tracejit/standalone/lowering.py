"""Programs of an artifact from its graph's text: loaded where there is no native code to run, or none is to be run."""

from __future__ import annotations

from collections.abc import Sequence

from tracejit._errors import ArtifactError, CompileError
from tracejit.artifact import Plan
from tracejit.backends import AnyProgram
from tracejit.ir.device import device_of
from tracejit.ir.graph import Graph
from tracejit.ir.parser import parse_graph
from tracejit.ir.resize import Misfit, resized
from tracejit.ir.verify import verify_graph
from tracejit.ops.registry import REGISTRY
from tracejit.passes.interface import without_steps
from tracejit.standalone import native as code
from tracejit.standalone.combinations import NONE
from tracejit.standalone.manifest import GRAPH
from tracejit.standalone.plans import MOST_MEMORY
from tracejit.standalone.records import Manifest, Open
from tracejit.standalone.sizes import sizes_of

_NO_GRAPH = (
    Misfit,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    CompileError,
    RecursionError,
    MemoryError,
)


def interfaces_of(graphs: Sequence[Graph]) -> list[Plan]:
    """What their programs take and give."""
    return [*map(without_steps, graphs)]


def lowered(graphs: Sequence[Graph], manifest: Manifest, device: str) -> Sequence[AnyProgram]:
    try:
        return code.lowered(graphs, manifest.options, device)
    except (
        CompileError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        MemoryError,
    ) as error:
        raise ArtifactError(f"entry {GRAPH}: it cannot be compiled: {error}") from error


def graphs_of(text: str, sizes: Open = NONE, atoms: Sequence[int] = ()) -> list[Graph]:
    """The graphs that an entry shows, for these values of their open sizes. Raises ArtifactError for what shows none, or one that
    is not well-formed."""
    try:
        parts = text.split("\n\n") if text else []
        of = sizes_of(sizes) if sizes.names else None
        graphs = [parse_graph(part, REGISTRY, of) for part in parts]
        if of is not None:
            graphs = [resized(graph, atoms) for graph in graphs]
        for graph in graphs:
            verify_graph(graph)
    except _NO_GRAPH as error:
        raise ArtifactError(f"entry {GRAPH}: {error}") from None
    for graph in graphs:
        if device_of(graph) != "cpu":
            raise ArtifactError(f"entry {GRAPH}: its values are on {device_of(graph)}")
        if any(node.aval.nbytes > MOST_MEMORY for node in graph.nodes):
            raise ArtifactError(f"entry {GRAPH}: a value is larger than {MOST_MEMORY} bytes")
    return graphs
