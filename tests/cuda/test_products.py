"""Products and what follows them on a GPU have the CPU's bits, at sizes at which each tile is chosen."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit as tj
from tracejit.codegen.cuda.product_tile import TILES, tile_of
from tracejit.nn import functional as F

SIZES = {"128x128": (1990, 2047), "128x64": (1001, 1022), "64x64": (508, 514), "32x32": (70, 66)}
"""m and n, for float32; float64 has other tiles at these."""


def test_each_tile_is_chosen() -> None:
    assert [tile.name for tile in TILES["float32"]] == list(SIZES)
    assert [tile_of("float32", 1, *size).name for size in SIZES.values()] == list(SIZES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("finished", [False, True])
def test_bits_are_the_cpus(device: str, name: str, dtype: str, finished: bool) -> None:
    m, n = SIZES[name]
    rng = np.random.default_rng(m)
    shapes = ((m, 9), (9, n), (n,))
    arrays = [tj.tensor(rng.standard_normal(s).astype(dtype)) for s in shapes]

    def layer(x: tj.Tensor, w: tj.Tensor, bias: tj.Tensor) -> tj.Tensor:
        return F.relu(x @ w + bias) if finished else x @ w

    expected = layer(*arrays).numpy()
    compiled = tj.compile(layer)
    found = compiled(*(each.to(device) for each in arrays))
    assert found.cpu().numpy().tobytes() == expected.tobytes()
    assert len(tj.explain(compiled).kernels) == 1
