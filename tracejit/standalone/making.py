"""The entries of a file for one target and one combination of sizes, or for the only sizes that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracejit._gate import late
from tracejit.ir.graph import Graph
from tracejit.portable import Plans
from tracejit.standalone import native
from tracejit.standalone.accounts import accounts_to_json
from tracejit.standalone.combinations import Values
from tracejit.standalone.container import Bytes
from tracejit.standalone.manifest import account_entry, object_entry, plan_entry
from tracejit.standalone.plans import plans_to_json
from tracejit.standalone.records import Call, Options, Target
from tracejit.standalone.ways import has_loops


def entries_for(
    graphs: Sequence[Graph],
    call: Call,
    sizes: Values,
    target: Target,
    options: Options,
    tensors: Mapping[str, np.ndarray],
) -> tuple[dict[str, Bytes], Plans, dict[str, bytes]]:
    """Plans and objects, for graphs and a call of these sizes; also as what they are."""
    plans, objects = native.compiled(graphs, target, options)
    contents: dict[str, Bytes] = {
        plan_entry(target, sizes): plans_to_json(plans),
        account_entry(target, sizes): accounts_to_json(plans),
    }
    if has_loops(call) and target.name == "cpu":
        loops = late("tracejit.standalone.loops")
        objects |= loops.objects_for(call, plans.plans, tensors, target)
    for name in sorted(objects):
        contents[object_entry(target, name)] = objects[name]
    return contents, plans, objects
