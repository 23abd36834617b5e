"""Matrix products: which tasks one is cut into, from its shapes alone.

A product is a launch of the kernel `KERNELS[dtype]` with `SCRATCH_BYTES` of scratch, over the buffers (A, B, C):
C[b] = A[b] @ B[b], with A[b] of M x K, B[b] of K x N, both of any strides, and C[b] of M x N with rows of unit stride. Each
element of C is the same sum whatever the strides, the batch or the blocks: over each `depth` values of K by fused multiply-adds
from zero in ascending order, and these partial sums added in ascending order. K may be 0; C is then zero.

Where `adds` is 1 the partial sums are added to those that C holds: a product over many values of K in several launches, each
over a multiple of `depth` of them, is the same sum as in one.
"""

from __future__ import annotations

DEPTH = 256
"""Values of K in one partial sum, at the most and as a rule."""
_ROWS = 12
"""A multiple of the rows of each register tile."""
MOST_ROWS = 516
"""Rows of a block: each block packs its columns of B anew."""
_FEW_ROWS = 252
"""Of a block where there are few."""

GROUP_BYTES = 4 * 64
"""Of each row of B that a task packs at once: a register tile of the widest vectors across, several of others."""
TURNING = frozenset({"avx2", "sse"})
"""Levels whose kernels lay out the rows of a transposed A one after another: their tiles are of so few columns that it is read
more often than the nearest cache bears, which holds few lines of memory that are a page apart.
"""
TURNED_ROWS = 132
"""The most of them in a block."""
TURNED_COLUMNS = 64
"""Columns of a block from which that is worth it."""
BETWEEN_TURNED = 64
"""Bytes from the end of one to the next: the distance is no power of two, and a square may reach back."""

SCRATCH_BYTES = DEPTH * GROUP_BYTES + (TURNED_ROWS + 1) * (DEPTH * 8 + BETWEEN_TURNED)
"""What one task packs, and turns."""

KERNELS = {"float32": "tracejit_gemm_f32", "float64": "tracejit_gemm_f64"}
"""The kernel of each dtype that has one. The run time knows them: they are not among a plan's kernels."""

DIMS = (
    "M", "N", "K", "depth", "block_m", "block_n", "adds",
    "a_row", "a_column", "b_row", "b_column", "c_row",
    "a_batch", "b_batch", "c_batch",
)  # fmt: skip
"""The kernel's dims; strides in elements."""

_PANEL = 64
"""Columns that fill the widest register tile; a block of fewer columns wastes none, of another number some."""
_LEAST_WORK = 1 << 19
"""Multiply-adds that are worth a block of their own: about 5 us on a processor with AVX-512, 15 with AVX2."""
_WANTED = 8
"""Blocks to aim at, for as many threads."""
_WORTH_A_THREAD = 1 << 18
"""Multiply-adds of about 3 us."""

Strides = tuple[int, int, int]


def gemm_segment(
    batch: int,
    m: int,
    n: int,
    k: int,
    *,
    a: Strides,
    b: Strides,
    c: tuple[int, int] | None = None,
    depth: int = DEPTH,
    adds: bool = False,
    level: str = "",
) -> tuple[tuple[int, ...], int, int]:
    """The dims of a batched product, its number of tasks, and its grain.

    `a` and `b` are strides in elements: (batch, row, column). `c` is (batch, row), row-major where None. `level` is the kernel's.

    >>> dims, tasks, grain = gemm_segment(1, 128, 512, 784, a=(0, 784, 1), b=(0, 512, 1))
    >>> dict(zip(DIMS, dims))["block_n"], tasks, grain
    (64, 8, 1)
    """
    c_batch, c_row = c or (m * n, n)
    turned = level in TURNING and a[1] == 1 and a[2] != 1 and n >= TURNED_COLUMNS
    block_m, block_n = _blocks(m, n, k, turned)
    dims = (
        m, n, k, depth, block_m, block_n, int(adds), a[1], a[2], b[1], b[2], c_row, a[0], b[0], c_batch,
    )  # fmt: skip
    tasks = batch * _parts(m, block_m) * _parts(n, block_n)
    work = min(block_m, m) * min(block_n, n) * k
    return dims, tasks, max(1, _WORTH_A_THREAD // max(work, 1))


def _blocks(m: int, n: int, k: int, turned: bool) -> tuple[int, int]:
    """Rows and columns of a block: columns are split first, since each block of rows packs its columns of B anew; but rows are
    where each block of columns turns its rows of A anew.
    """
    block_m = _even(m, MOST_ROWS, _ROWS)
    block_n = _even(n, 4 * _PANEL, _PANEL)

    def blocks() -> int:
        return _parts(m, block_m) * _parts(n, block_n)

    def work() -> int:
        return min(block_m, m) * min(block_n, n) * k

    while not turned and block_n > _PANEL and blocks() < 2 * _WANTED and work() >= 2 * _LEAST_WORK:
        block_n -= _PANEL
    if turned:
        block_m = _even(m, TURNED_ROWS, _ROWS)
    elif blocks() < 2 * _WANTED:
        block_m = _even(m, _FEW_ROWS, _ROWS)
    if blocks() < _WANTED and work() >= 2 * _LEAST_WORK:
        parts = min(work() // _LEAST_WORK, _parts(_WANTED, blocks()))
        block_m = _even(block_m, _parts(block_m, parts), _ROWS)
    return block_m, block_n


def _even(size: int, most: int, multiple: int) -> int:
    """The least multiple that cuts `size` into no more parts than `most` would."""
    parts = _parts(size, most)
    return max(1, _parts(_parts(size, max(parts, 1)), multiple)) * multiple


def _parts(size: int, part: int) -> int:
    return -(-size // part)
