"""Results that are shared among tasks are joined in the order of the parts, and after what parts before these have given."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.harness import Machine
from tests.codegen.kernels import (
    EMITTED,
    EMULATED,
    assert_emitted_as_interpreted,
    samples,
    skip_unless_emulated,
)
from tracejit.codegen.kernel.grain import CORES, WARPS
from tracejit.codegen.kernel.ir import Combine
from tracejit.codegen.kernel.parts import join_parts
from tracejit.dtypes import float32
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Temporary
from tracejit.ir.graph import Input

RESULTS, PARTS = 141, 5


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("machine", EMITTED, ids=lambda machine: machine.target.name)
def test_parts_are_joined_in_their_order(machine: Machine, goes_on: bool) -> None:
    if machine is EMULATED:
        skip_unless_emulated()
    partial, target = Temporary(float32, PARTS * RESULTS), Input(aval(float32, (RESULTS,)))
    grain = WARPS if machine is EMULATED else CORES
    lowered = join_parts(Combine.SUM, partial, target, RESULTS, PARTS, grain, goes_on=goes_on)
    parts, whole = samples(float32, PARTS * RESULTS, 1), samples(float32, RESULTS, 2)
    *_, found = assert_emitted_as_interpreted(
        lowered.kernel, machine, [parts, whole], lowered.dims, tasks=lowered.tasks
    )
    total = whole if goes_on else np.full(RESULTS, -0.0, np.float32)
    with np.errstate(all="ignore"):
        for part in parts.reshape(PARTS, RESULTS):
            total = total + part
    np.testing.assert_array_equal(found, total)
    np.testing.assert_array_equal(np.signbit(found)[total == 0], np.signbit(total)[total == 0])
