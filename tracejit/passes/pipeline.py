"""The passes in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from tracejit._config import config
from tracejit.ir.graph import Graph
from tracejit.ir.verify import verify_graph
from tracejit.passes.algebra import simplify
from tracejit.passes.cse import share_equal
from tracejit.passes.dce import drop_dead
from tracejit.passes.fold import fold_constants
from tracejit.passes.overwritten import drop_overwritten
from tracejit.passes.pads import join_pads

Hook = Callable[[str, Graph], None]


def optimize(graph: Graph, *, fastmath: bool = False, dump: Hook | None = None) -> Graph:
    """An equal graph with less to compute: bit for bit equal, unless `fastmath`. `dump` is shown every stage."""
    graph = _checked("trace", graph, dump)
    graph = _checked("share_equal", share_equal(graph), dump)
    graph = _checked("fold_constants", fold_constants(graph), dump)
    graph = _checked("simplify", simplify(graph, fastmath=fastmath), dump)
    graph = _checked("share_equal", share_equal(graph), dump)  # what has become equal by the rules
    graph = drop_overwritten(join_pads(graph))
    return _checked("drop_dead", drop_dead(graph), dump)


def _checked(stage: str, graph: Graph, dump: Hook | None) -> Graph:
    if dump is not None:
        dump(stage, graph)
    return verify_graph(graph, after=stage) if config.verify_ir else graph
