"""How work is cut into tasks, for speed alone: for cores with vectors, and for the warps of a GPU."""

from __future__ import annotations

from typing import Final

from tracejit._records import dataclass


@dataclass(frozen=True, slots=True)
class Grain:
    """Of one kind of device."""

    columns: int
    """Columns that one task folds."""
    short_run: int
    """Elements of a run that take no longer than finding out where it begins, a few divisions: a task does many such runs."""
    many_tasks: int
    """As many as keep all threads busy."""
    products: int
    """Tasks of a matrix product that keep all of the device busy."""
    by_blocks: bool
    """Whether a long fold is shared among tasks by blocks rather than by superblocks."""
    whole_rows: int
    """Elements from which folds down columns read whole rows, in the order in which they lie; 0 where they never do."""
    row_bytes: int
    """Of memory that is near, for rows: what several loops along one read is kept there, if it fits."""
    scattered: int
    """Elements of each update's row that one task of a scatter adds."""
    scatters: int
    """Tasks of a scatter that are worth a look of each at all indices: a task adds to some rows alone."""
    chains: int
    """Rows, or blocks, of a scan that are done side by side, in scalars; 0 where each is a lane's."""
    ahead: int
    """Elements of a scan that are read before the first of them is written: what a processor does not find out by itself."""


CORES: Final = Grain(
    columns=64,  # 256 bytes of float32 in each memory row
    short_run=256,
    many_tasks=64,
    products=2,  # more share the bandwidth of memory well enough
    by_blocks=False,
    whole_rows=1 << 19,  # 2 MiB of float32: less is read from a cache
    row_bytes=0,  # the first cache keeps them
    scattered=256,
    scatters=1,
    chains=4,
    ahead=1,
)
WARPS: Final = Grain(
    columns=32,  # one for each thread of a warp
    short_run=0,
    many_tasks=0,
    products=120,
    by_blocks=True,
    whole_rows=0,  # a warp asks for 32 columns of many rows at once
    row_bytes=96 << 10,
    scattered=128,
    scatters=4096,
    chains=0,
    ahead=8,
)
