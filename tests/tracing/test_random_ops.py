"""Random programs give the same bits eager, compiled, and compiled without fusion."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.tracing.random_ops import operands, program
from tracejit._config import config


def outcome(seed: int, function: Any) -> list[tuple[Any, ...]]:
    """Dtype, shape and bits of what the program gives, and of its arguments afterwards; any NaN equals any other."""
    rnd = Random(seed)
    arguments = operands(rnd)
    return [_bits(tensor) for tensor in [*function(rnd, *arguments), *arguments]]


def _bits(tensor: Any) -> tuple[Any, ...]:
    array = tensor.numpy()
    if tensor.dtype.kind == "f":
        array = array.astype(np.float64)
        array[np.isnan(array)] = np.nan
    return tensor.dtype.name, tensor.shape, array.tobytes()


@pytest.mark.parametrize("fuse", [True, False])
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_compiled_programs_have_the_bits_of_eager_ones(fuse: bool, seed: int) -> None:
    expected = outcome(seed, program)
    with config.scope(fuse=fuse):
        assert outcome(seed, tj.compile(program)) == expected
