"""Elements and numbers of a dtype, as machine code makes them: those of Python, bit by bit, or Python is asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.runtime.native.harness import MISSED, Code
from tracejit import dtypes
from tracejit.ops.arguments import number_as
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.native.install import installed
from tracejit.tracing.replay.segments import element

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")

DTYPES = [each.name for each in dtypes.ALL]
NUMBERS = [
    0, 1, -1, True, False, 127, 128, -128, -129, 255, 256, 32767, -32769, 65535, 65536, 2**31 - 1, 2**31, -(2**31) - 1, 2**32,
    2**63 - 1, -(2**63), 2**63, 2**70, 0.0, -0.0, 1.5, -2.75, 0.1, 1e-46, 1e39, -1e300, math.inf, math.nan,
]  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_elements_are_read_as_python_reads_them(name: str) -> None:
    dtype = dtypes.as_dtype(name).numpy
    content = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    content[:16] %= 2
    bits = content % 2 if name == "bool" else content
    buffer = Buffer.allocate(64)
    buffer.array(np.dtype(np.uint8), (64,))[...] = bits
    names = {"element": element, "b": buffer, "d": dtype}
    for offset in range(0, 64, dtype.itemsize):
        code = Code(run=[f"E[0] = element(b, d, {offset})"], commit=["return E[0]"], names=names)
        found = code.native(((), {}))()
        expected = element(buffer, dtype, offset)
        assert (type(found), repr(found)) == (type(expected), repr(expected))


@pytest.mark.parametrize("name", DTYPES)
def test_numbers_are_those_of_the_dtype_or_left_to_python(name: str) -> None:
    dtype = dtypes.as_dtype(name)
    code = Code(
        run=["E[0] = number_as(args[0], y)"],
        commit=["return E[0]"],
        names={"number_as": number_as, "y": dtype},
    )
    native = code.native(((1,), {}))
    left = 0
    for number in NUMBERS:
        found: Any = native(number)
        if found is MISSED:
            left += 1
            continue
        expected = number_as(number, dtype)
        assert (type(found), repr(found)) == (type(expected), repr(expected))
    assert left < len(NUMBERS) - 5
