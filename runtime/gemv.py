"""Products of a matrix and a vector: `tracejit.runtime.gemm` of one row or one column, with sums of their own.

Such a product is a launch of the kernel `KERNELS[dtype]` with `SCRATCH_BYTES` of scratch, over the same buffers. Each element of
the matrix is used once, and the sums are shaped so that vectors can run along either of its dimensions.
Over each `DEPTH` values of K, value k joins accumulator k mod 16 by a fused multiply-add, from zero in ascending order; the
accumulators are added in halves, a[k] + a[k + 8] for k < 8, then 4, 2, 1; and these partial sums are added in ascending order.
"""

from __future__ import annotations

from tracejit.runtime.gemm import Strides

ACCUMULATORS = 16
DEPTH = 4096
"""Values of K in one partial sum: so many of the vector stay in the first cache."""
SCRATCH_BYTES = 2 * 8 * DEPTH
"""Of what is not side by side in memory: a part of the vector, and one of the matrix; or the accumulators of some columns."""

KERNELS = {"float32": "tracejit_gemv_f32", "float64": "tracejit_gemv_f64"}

DIMS = (
    "outputs", "K", "block", "out", "down", "vector_down", "matrix_batch", "vector_batch", "c_batch",
    "matrix_is_b",
)  # fmt: skip
"""The kernel's dims: elements of C in a matrix of the batch, and in a task; strides, in elements, of the matrix along C and along
K, and of the vector along K."""

_COLUMNS = 64
"""Elements of C that fill the widest tile."""
_WORTH_A_TASK = 1 << 16
"""Multiply-adds of about 4 us."""


def is_vector(shape: tuple[int, ...]) -> bool:
    """Whether a product of this shape is of a matrix and a vector."""
    return 1 in shape[-2:]


def gemv_segment(
    batch: int, m: int, n: int, k: int, *, a: Strides, b: Strides, c: tuple[int, int] | None = None
) -> tuple[tuple[int, ...], int, int]:
    """As `gemm_segment`, of one row or one column.

    >>> dims, tasks, grain = gemv_segment(1, 1000, 1, 500, a=(0, 500, 1), b=(0, 1, 1))
    >>> dict(zip(DIMS, dims))["block"], tasks, grain
    (192, 6, 1)
    """
    c_batch = c[0] if c else m * n
    is_column = n == 1
    outputs = m if is_column else n
    if is_column:
        matrix, vector, down, out = a, b[1], a[2], a[1]
    else:
        matrix, vector, down, out = b, a[2], b[1], b[2]
    other = b if is_column else a
    block = _COLUMNS * -(-_WORTH_A_TASK // (max(k, 1) * _COLUMNS))
    dims = (outputs, k, block, out, down, vector, matrix[0], other[0], c_batch, int(not is_column))
    work = min(block, outputs) * k
    return dims, batch * -(-outputs // block), max(1, _WORTH_A_TASK // max(work, 1))
