"""Tiles of matrix products, and which of them a product is computed by: for speed alone, no bit depends on it."""

from __future__ import annotations

from typing import Final

from tracejit._records import dataclass
from tracejit.codegen.kernel.grain import WARPS

PROCESSORS: Final = 132
"""Of a large GPU; a smaller one has the same tiles."""
WARP_ROWS, WARP_COLUMNS = 4, 8
"""Threads of a warp, down and across a tile: what they read of A and B at once is least, and lies in different banks."""


WITH_JOINING: Final = 1.6
"""Times as long as partial sums alone take, roughly, they, adding them up, and what is no epilogue then."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What a block computes of C.

    rows, columns  of the tile
    down, across   of each thread's part of it
    step           values of K that are copied to shared memory at a time
    stages         such pieces that are there or on their way
    blocks         that a processor is to have room for, by their registers
    rate           multiply-adds per cycle, as part of what the processor can do, where each processor has a block or more
    """

    rows: int
    columns: int
    down: int
    across: int
    step: int
    blocks: int
    rate: float
    stages: int = 3

    @property
    def threads(self) -> int:
        return self.rows // self.down * (self.columns // self.across)

    @property
    def warps_across(self) -> int:
        return self.columns // self.across // WARP_COLUMNS

    @property
    def name(self) -> str:
        return f"{self.rows}x{self.columns}"

    def count(self, m: int, n: int) -> int:
        """Tiles of a matrix of m x n."""
        return -(-m // self.rows) * -(-n // self.columns)


TILES: Final = {
    "float32": (
        Tile(128, 128, 8, 8, step=8, blocks=2, rate=1.0),
        Tile(128, 64, 8, 8, step=8, blocks=4, rate=0.9),
        Tile(64, 64, 8, 4, step=8, blocks=4, rate=0.75),
        Tile(32, 32, 2, 2, step=32, blocks=2, rate=0.3),
    ),
    "float64": (
        Tile(128, 64, 8, 4, step=8, blocks=2, rate=1.0, stages=2),
        Tile(64, 32, 4, 4, step=8, blocks=4, rate=0.7),
        Tile(32, 32, 4, 2, step=16, blocks=4, rate=0.5),
    ),
}
"""By dtype, the largest first. Rates are reckoned from the reads of shared memory for each multiply-add."""


def tile_of(dtype: str, batch: int, m: int, n: int, parts: int = 0) -> Tile:
    """The one by which the processor that has most to do is done first.

    Where there are several `parts`, each a partial sum, these are tasks of their own if there are too few without.

    >>> tile_of("float32", 1, 4096, 4096).name, tile_of("float32", 1, 128, 512).name
    ('128x128', '32x32')
    """

    def time(tile: Tile) -> float:
        tasks = batch * tile.count(m, n)
        if tasks < WARPS.products and parts:
            return time_of(tile, tasks * parts) * WITH_JOINING
        return time_of(tile, tasks) * max(parts, 1)

    return min(TILES[dtype], key=time)


def time_of(tile: Tile, tasks: int) -> float:
    """Of so many tiles, for each value of K: what one processor does of them, at the tile's rate."""
    return -(-tasks // PROCESSORS) * tile.rows * tile.columns / tile.rate
