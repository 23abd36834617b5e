"""Matrix products: tiles of C in the registers of a block's threads, over tiles of A and B in shared memory.

C[b] = A[b] @ B[b], with A[b] of M x K, B[b] of K x N, both of any strides, and C[b] of M x N with rows of unit stride. Each
element of C is the same sum as the CPU's: over each 256 values of K by fused multiply-adds from zero in ascending order, and
these partial sums added in ascending order. So the tile changes no bit. K may be 0; C is then zero.
"""

from __future__ import annotations

from functools import cache
from string import Template
from typing import Final

from tracejit.artifact import KernelSource, LaunchShape
from tracejit.codegen.cuda.launch import PRELUDE, segment_text

DIMS: Final = (
    "M", "N", "K", "a_row", "a_column", "b_row", "b_column", "c_row", "a_batch", "b_batch", "c_batch",
)  # fmt: skip
"""The kernel's dims; strides in elements. Its buffers are A, B and C."""
TYPES: Final = {"float32": "float", "float64": "double"}
"""The dtypes that have kernels."""
TILES: Final = {"float32": (128, 64, 32), "float64": (64, 32)}
"""Rows and columns of a tile, by dtype: as many as leave room for 64 (16) sums a thread in registers."""
STEPS: Final = {"float32": {128: 8, 64: 16, 32: 32}, "float64": {64: 8, 32: 16}}
"""Values of K that are fetched at a time, by tile: a small one computes little meanwhile, and waits the fewer times."""
ENOUGH: Final = 120
"""Tiles that give each processor of a large GPU one."""
THREADS: Final = 256
SEGMENTS: Final = 8

Strides = tuple[int, int, int]


def tile_of(dtype: str, batch: int, m: int, n: int) -> int:
    """The largest that leaves nothing idle: neither processors nor most of a tile."""
    *larger, smallest = TILES[dtype]
    for tile in larger:
        if min(m, n) > tile // 2 and batch * _parts(m, tile) * _parts(n, tile) >= ENOUGH:
            return tile
    return smallest


def product_segment(
    tile: int,
    batch: int,
    m: int,
    n: int,
    k: int,
    *,
    a: Strides,
    b: Strides,
    c: tuple[int, int] | None = None,
) -> tuple[tuple[int, ...], int]:
    """The dims of a batched product and its number of tasks.

    `a` and `b` are strides in elements: (batch, row, column). `c` is (batch, row), row-major where None.

    >>> product_segment(64, 1, 128, 500, 784, a=(0, 784, 1), b=(0, 500, 1))[1]
    16
    """
    c_batch, c_row = c or (m * n, n)
    dims = (m, n, k, a[1], a[2], b[1], b[2], c_row, a[0], b[0], c_batch)
    return dims, batch * _parts(m, tile) * _parts(n, tile)


def product_shape() -> LaunchShape:
    """Of a launch of any product kernel."""
    return LaunchShape(THREADS, 1)


@cache
def product_source(dtype: str, tile: int) -> KernelSource:
    """The kernel for a dtype and a tile, of launches of up to SEGMENTS segments."""
    name = f"tracejit_product_{dtype}_{tile}"
    each = tile // 16
    run = min(each, 16 // (4 if dtype == "float32" else 8))
    text = Template(_KERNEL).substitute(
        NAME=name,
        T=TYPES[dtype],
        BYTES={"float32": 4, "float64": 8}[dtype],
        FMA={"float32": "fmaf", "float64": "fma"}[dtype],
        TILE=tile,
        STEP=STEPS[dtype][tile],
        BLOCKS=2 if tile < TILES[dtype][0] else 1,
        EACH=each,
        RUN=run,
        ARGUMENTS=segment_text(3, len(DIMS), SEGMENTS),
        PRELUDE=PRELUDE,
    )
    return KernelSource(name, text)


def _parts(size: int, part: int) -> int:
    return -(-size // part)


_KERNEL: Final = """\
$PRELUDE
#ifndef EMULATED
// Copies to shared memory that go on while the thread does other things, and in which no register takes part.
static __device__ __forceinline__ void copy_ahead($T *to, const $T *from) {
  const unsigned place = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.ca.shared.global [%0], [%1], $BYTES;" ::"r"(place), "l"(from) : "memory");
}
static __device__ __forceinline__ void end_of_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> static __device__ __forceinline__ void await_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}
#endif

$ARGUMENTS
// TILE     rows and columns of a block's tile; 16 x 16 threads have EACH x EACH elements of it, in runs of RUN
// STEP     values of K in shared memory at a time; STAGES such pieces are there or on their way
// DEPTH    values of K in one partial sum
enum {
  TILE = $TILE, EACH = $EACH, RUN = $RUN, STEP = $STEP, STAGES = 4, DEPTH = 256, LOADS = TILE * STEP / 256, PAD = 4
};

typedef $T Tile[STEP][TILE + PAD];

// The place in a tile of a thread's element number e.
static __device__ __forceinline__ int place(int thread, int e) { return e / RUN * (16 * RUN) + thread * RUN + e % RUN; }

// A thread's part of a TILE x STEP piece of A, or of B turned over. `line` runs along the tile, `step` down K. Neighbouring
// threads read along the dimension whose elements are neighbours in memory.
struct Piece {
  const $T *from;   // its first element
  long long step, jump;
  int first_line, first_step, more_lines, more_steps, lines;

  __device__ __forceinline__ Piece(const $T *base, long long line, long long step, long long left) : step(step) {
    const bool is_down = step == 1;
    const int thread = threadIdx.x;
    first_line = is_down ? thread / STEP : thread % TILE;
    first_step = is_down ? thread % STEP : thread / TILE;
    more_lines = is_down ? 256 / STEP : 0;
    more_steps = is_down ? 0 : 256 / TILE;
    from = base + first_line * line + first_step * step;
    jump = more_lines * line + more_steps * step;
    lines = left < TILE ? (int)left : TILE;
  }
  // Begins to copy the piece from value k on; what lies outside is left as it is, and is not used.
  __device__ __forceinline__ void copy(Tile &tile, long long k, long long K) const {
    const $T *const first = from + k * step;
    const int steps = K - k < STEP ? (int)(K - k) : STEP;
    #pragma unroll
    for (int n = 0; n < LOADS; ++n) {
      const int at_line = first_line + n * more_lines, at_step = first_step + n * more_steps;
      if (at_line < lines && at_step < steps) copy_ahead(&tile[at_step][at_line], first + n * jump);
    }
  }
};

extern "C" __global__ void __launch_bounds__(256, $BLOCKS)
$NAME(const __grid_constant__ Segments segments) {
  __shared__ __align__(16) Tile left[STAGES], right[STAGES];
  const int row = threadIdx.x / 16, column = threadIdx.x % 16;
  long long task = blockIdx.x;
  for (int s = 0; s < SEGMENTS; ++s) {
    const Segment &segment = segments.segment[s];
    const long long *const dims = segment.dims;
    const long long M = dims[0], N = dims[1], K = dims[2], c_row = dims[7];
    const long long down = (M + TILE - 1) / TILE, across = (N + TILE - 1) / TILE;
    for (; task < segment.tasks; task += gridDim.x) {
      const long long batch = task / (down * across), within = task % (down * across);
      const long long first_row = within / across * TILE, first_column = within % across * TILE;
      const $T *const a = (const $T *)segment.buffers[0] + batch * dims[8] + first_row * dims[3];
      const $T *const b = (const $T *)segment.buffers[1] + batch * dims[9] + first_column * dims[6];
      $T *const c = ($T *)segment.buffers[2] + batch * dims[10] + first_row * c_row + first_column;
      const long long rows = M - first_row, columns = N - first_column;
      const bool is_packed = (unsigned long long)c % (sizeof($T) * RUN) == 0 && c_row % RUN == 0;
      const Piece of_a(a, dims[3], dims[4], rows), of_b(b, dims[6], dims[5], columns);
      $T sums[EACH][EACH];
      #pragma unroll
      for (int i = 0; i < EACH; ++i)
        #pragma unroll
        for (int j = 0; j < EACH; ++j) sums[i][j] = 0;
      #pragma unroll
      for (int n = 0; n < STAGES - 1; ++n) {
        of_a.copy(left[n], n * STEP, K);
        of_b.copy(right[n], n * STEP, K);
        end_of_group();
      }
      int now = 0;
      long long k = 0;
      do {
        await_groups<STAGES - 2>();
        // What all have copied is there, and what was there before this piece has been used by all.
        __syncthreads();
        const int next = (now + STAGES - 1) % STAGES;
        of_a.copy(left[next], k + (STAGES - 1) * STEP, K);
        of_b.copy(right[next], k + (STAGES - 1) * STEP, K);
        end_of_group();
        // Products of zeros beyond K would add nothing: but a sum of -0 would become 0, and an infinity NaN.
        const int depth = K - k < STEP ? (int)(K - k) : STEP;
        #pragma unroll
        for (int d = 0; d < STEP; ++d) {
          if (d >= depth) break;
          Pack<$T, RUN> x[EACH / RUN], y[EACH / RUN];
          #pragma unroll
          for (int r = 0; r < EACH / RUN; ++r) {
            x[r] = Pack<$T, RUN>::read(&left[now][d][place(row, r * RUN)]);
            y[r] = Pack<$T, RUN>::read(&right[now][d][place(column, r * RUN)]);
          }
          #pragma unroll
          for (int i = 0; i < EACH; ++i)
            #pragma unroll
            for (int j = 0; j < EACH; ++j) sums[i][j] = $FMA(x[i / RUN].at[i % RUN], y[j / RUN].at[j % RUN], sums[i][j]);
        }
        now = (now + 1) % STAGES;
        k += STEP;
        if (k % DEPTH != 0 && k < K) continue;
        const bool is_first = k <= DEPTH;
        #pragma unroll
        for (int i = 0; i < EACH; ++i) {
          if (place(row, i) >= rows) continue;
          $T *const line = c + place(row, i) * c_row;
          #pragma unroll
          for (int r = 0; r < EACH / RUN; ++r) {
            const int at = place(column, r * RUN);
            if (is_packed && at + RUN <= columns) {
              Pack<$T, RUN> total;
              if (!is_first) total = Pack<$T, RUN>::read(line + at);
              #pragma unroll
              for (int j = 0; j < RUN; ++j) total.at[j] = is_first ? sums[i][r * RUN + j] : total.at[j] + sums[i][r * RUN + j];
              total.write_global(line + at);
            } else {
              #pragma unroll
              for (int j = 0; j < RUN; ++j)
                if (at + j < columns) line[at + j] = is_first ? sums[i][r * RUN + j] : line[at + j] + sums[i][r * RUN + j];
            }
          }
          #pragma unroll
          for (int j = 0; j < EACH; ++j) sums[i][j] = 0;
        }
      } while (k < K);
      await_groups<0>();
      __syncthreads();
    }
    task -= segment.tasks;
  }
}
"""
