"""Products of a matrix and a vector: sixteen threads for each element of C, one for each accumulator.

The sums are the CPU's: over each 4,096 values of K, value k joins accumulator k mod 16 by a fused multiply-add, the accumulators
are added in halves, and these partial sums in ascending order. Neighbouring threads read along the dimension of the matrix whose
elements are neighbours in memory.
"""

from __future__ import annotations

from functools import cache
from string import Template
from typing import Final

from tracejit.artifact import KernelSource, LaunchShape
from tracejit.codegen.cuda.launch import segment_text
from tracejit.codegen.cuda.product import SEGMENTS, TYPES, Strides

THREADS: Final = 256
OUTPUTS: Final = 16
"""Elements of C that a block computes at a time: 256 threads."""
DIMS: Final = (
    "outputs", "K", "out", "down", "vector_down", "matrix_batch", "vector_batch", "c_batch", "matrix_is_b",
)  # fmt: skip
"""The kernel's dims; strides in elements. Its buffers are A, B and C."""


def vector_segment(
    batch: int, m: int, n: int, k: int, *, a: Strides, b: Strides, c: tuple[int, int] | None = None
) -> tuple[tuple[int, ...], int, int]:
    """The dims of a batched product of one row or one column, its number of tasks, and its grain.

    >>> vector_segment(1, 1000, 1, 500, a=(0, 500, 1), b=(0, 1, 1))[1:]
    (63, 1)
    """
    c_batch = c[0] if c else m * n
    if n == 1:
        dims = (m, k, a[1], a[2], b[1], a[0], b[0], c_batch, 0)
    else:
        dims = (n, k, b[2], b[1], a[2], b[0], a[0], c_batch, 1)
    return dims, batch * -(-dims[0] // OUTPUTS), 1


def vector_shape() -> LaunchShape:
    """Of a launch."""
    return LaunchShape(THREADS, 1)


@cache
def vector_source(dtype: str) -> KernelSource:
    """The kernel for a dtype, of launches of up to SEGMENTS segments."""
    name = f"tracejit_vector_product_{dtype}"
    text = Template(_KERNEL).substitute(
        NAME=name,
        T=TYPES[dtype],
        FMA={"float32": "fmaf", "float64": "fma"}[dtype],
        ARGUMENTS=segment_text(3, len(DIMS), SEGMENTS),
    )
    return KernelSource(name, text)


_KERNEL: Final = """\
$ARGUMENTS
enum { OUTPUTS = 16, ACCUMULATORS = 16, DEPTH = 4096 };

extern "C" __global__ void __launch_bounds__(256)
$NAME(const __grid_constant__ Segments segments) {
  __shared__ $T sums[OUTPUTS][ACCUMULATORS + 1];
  const int high = threadIdx.x / 16, low = threadIdx.x % 16;
  long long task = blockIdx.x;
  for (int s = 0; s < SEGMENTS; ++s) {
    const Segment &segment = segments.segment[s];
    const long long *const dims = segment.dims;
    const long long outputs = dims[0], K = dims[1], out = dims[2], down = dims[3], vector_down = dims[4];
    const $T *const matrices = (const $T *)segment.buffers[dims[8] ? 1 : 0];
    const $T *const vectors = (const $T *)segment.buffers[dims[8] ? 0 : 1];
    const long long parts = (outputs + OUTPUTS - 1) / OUTPUTS;
    const bool is_along_outputs = out == 1 && down != 1;
    const int output = is_along_outputs ? low : high, accumulator = is_along_outputs ? high : low;
    for (; task < segment.tasks; task += gridDim.x) {
      const long long batch = task / parts, first = task % parts * OUTPUTS;
      const $T *const row = matrices + batch * dims[5] + (first + output) * out;
      const $T *const vector = vectors + batch * dims[6];
      const bool is_inside = first + output < outputs;
      $T total = 0;
      for (long long begin = 0; begin < K; begin += DEPTH) {
        const long long end = K - begin < DEPTH ? K : begin + DEPTH;
        $T sum = 0;
        if (is_inside) {
          #pragma unroll 8
          for (long long k = begin + accumulator; k < end; k += ACCUMULATORS)
            sum = $FMA(row[k * down], vector[k * vector_down], sum);
        }
        sums[output][accumulator] = sum;
        __syncthreads();
        $T part = sums[high][low];
        #pragma unroll
        for (int half = ACCUMULATORS / 2; half > 0; half /= 2) part += __shfl_down_sync(0xffffffffu, part, half);
        total = begin == 0 ? part : total + part;
        __syncthreads();
      }
      if (low == 0 && first + high < outputs) (($T *)segment.buffers[2] + batch * dims[7])[first + high] = total;
    }
    task -= segment.tasks;
  }
}
"""
