"""Matrix products: tiles of C in the registers of a block's threads, over tiles of A and B in shared memory.

C[b] = A[b] @ B[b], with A[b] of M x K, B[b] of K x N, both of any strides, and C[b] of M x N with rows of unit stride. Each
element of C is the same sum as the CPU's: over each 256 values of K by fused multiply-adds from zero in ascending order, and
these partial sums added in ascending order. So the tile changes no bit. K may be 0; C is then zero.

What becomes of the sums is an epilogue's: they are stored, or what follows is computed from them (`epilogue.py`).
"""

from __future__ import annotations

from functools import cache
from string import Template
from typing import Final

from tracejit.artifact import KernelSource, LaunchShape
from tracejit.codegen.cuda.epilogue import Epilogue, epilogue_text, stored
from tracejit.codegen.cuda.launch import PRELUDE, segment_text
from tracejit.codegen.cuda.product_tile import Tile
from tracejit.dtypes import DType, float32, float64

DIMS: Final = (
    "M", "N", "K", "a_row", "a_column", "b_row", "b_column", "a_batch", "b_batch", "inner", "a_outer", "b_outer",
)  # fmt: skip
"""The dims of a product; strides in elements. A batch has `inner` matrices; the outer strides lead to the next one. Those of the
epilogue come after them, as its buffers come after A and B."""
TYPES: Final = {"float32": "float", "float64": "double"}
"""The dtypes that have kernels."""
SEGMENTS: Final = 8
"""Of a launch of a kernel that stores the sums."""
DTYPES: Final[dict[str, DType]] = {each.name: each for each in (float32, float64)}

Strides = tuple[int, int, int]
Outer = tuple[int, int, int]
ONE: Final[Outer] = (1, 0, 0)


def product_dims(
    tile: Tile, batch: int, m: int, n: int, k: int, *, a: Strides, b: Strides, outer: Outer = ONE
) -> tuple[tuple[int, ...], int]:
    """The dims of a batched product and its number of tasks; `a` and `b` are strides in elements: (batch, row, column).

    `outer` is how many such batches there are, and the strides of A and B from one to the next.
    """
    dims = (m, n, k, a[1], a[2], b[1], b[2], a[0], b[0], batch, *outer[1:])
    return dims, outer[0] * batch * tile.count(m, n)


def product_segment(
    tile: Tile,
    batch: int,
    m: int,
    n: int,
    k: int,
    *,
    a: Strides,
    b: Strides,
    c: tuple[int, int] | None = None,
    outer: Outer = ONE,
) -> tuple[tuple[int, ...], int]:
    """The same of one whose sums are stored: `c` is (batch, row), but all matrices lie one after another.

    >>> from tracejit.codegen.cuda.product_tile import TILES
    >>> product_segment(TILES["float32"][0], 1, 128, 500, 784, a=(0, 784, 1), b=(0, 500, 1))[1]
    4
    """
    dims, tasks = product_dims(tile, batch, m, n, k, a=a, b=b, outer=outer)
    c_batch, c_row = c or (m * n, n)
    assert batch == 1 or c_batch == m * c_row
    return (*dims, outer[0] * batch * m, n, c_row), tasks


def product_shape(dtype: str, tile: Tile) -> LaunchShape:
    """Of a launch: shared memory holds the sums, while and after they are added up."""
    return LaunchShape(
        tile.threads, 1, shared_bytes=tile.rows * tile.columns * DTYPES[dtype].itemsize
    )


@cache
def product_source(dtype: str, tile: Tile) -> KernelSource:
    """The kernel that stores the sums, of launches of up to SEGMENTS segments."""
    name = f"tracejit_product_{dtype}_{tile.name}"
    return KernelSource(name, product_text(name, dtype, tile, stored(DTYPES[dtype]), SEGMENTS))


def product_text(name: str, dtype: str, tile: Tile, epilogue: Epilogue, segments: int) -> str:
    """A module that defines `extern "C" __global__ void name(const __grid_constant__ Segments segments)`.

    A segment's buffers are A, B and the epilogue's, its dims those of the product and the epilogue's.
    """
    itemsize = DTYPES[dtype].itemsize
    run = min(tile.down, tile.across, 16 // itemsize)
    written = epilogue_text(epilogue, run, 2, len(DIMS))
    buffers, sizes = len(epilogue.buffers), len(epilogue.kernel.sizes)
    return Template(_KERNEL).substitute(
        NAME=name,
        T=TYPES[dtype],
        BYTES=itemsize,
        FMA={"float32": "fmaf", "float64": "fma"}[dtype],
        ROWS=tile.rows,
        COLUMNS=tile.columns,
        DOWN=tile.down,
        ACROSS=tile.across,
        WARPS=tile.warps_across,
        THREADS=tile.threads,
        BLOCKS=tile.blocks,
        STEP=tile.step,
        STAGES=tile.stages,
        RUN=run,
        ARGUMENTS=segment_text(buffers + 2, sizes + len(DIMS), segments),
        PRELUDE=PRELUDE + written.helpers,
        FUNCTIONS=written.functions,
        BIND=written.bind,
        EPILOGUE=written.body,
    )


_KERNEL: Final = """\
$PRELUDE
#ifndef EMULATED
// Copies to shared memory that go on while the thread does other things, and in which no register takes part.
static __device__ __forceinline__ void copy_ahead($T *to, const $T *from) {
  const unsigned place = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.ca.shared.global [%0], [%1], $BYTES;" ::"r"(place), "l"(from) : "memory");
}
static __device__ __forceinline__ void copy_ahead(int4 *to, const int4 *from) {
  const unsigned place = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(place), "l"(from) : "memory");
}
static __device__ __forceinline__ void end_of_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> static __device__ __forceinline__ void await_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}
#endif

$ARGUMENTS
$FUNCTIONS
// ROWS, COLUMNS  of a block's tile; each of its THREADS has DOWN x ACROSS elements of it, in runs of RUN
// STEP           values of K in shared memory at a time; STAGES such pieces are there or on their way
// DEPTH          values of K in one partial sum
// ACCESS         elements of the widest access
enum {
  ROWS = $ROWS, COLUMNS = $COLUMNS, DOWN = $DOWN, ACROSS = $ACROSS, THREADS = $THREADS, RUN = $RUN,
  STEP = $STEP, STAGES = $STAGES, DEPTH = 256, ACCESS = 16 / sizeof($T), PAD = ACCESS
};
typedef Pack<$T, RUN> Run;

// Where in a tile of `parts` threads' parts a thread's element number e lies.
static __device__ __forceinline__ int place(int parts, int thread, int e) {
  return e / RUN * (parts * RUN) + thread * RUN + e % RUN;
}

// A thread's part of a LINES x STEP piece of A, or of B turned over. Lines run along the tile, steps down K. Neighbouring threads
// copy what are neighbours in memory: ACCESS lines at once where these are (WIDE), eight steps where those are (STEPS), or lines.
template <int LINES> struct Piece {
  typedef $T Memory[STEP][LINES + PAD];
  enum Way { WIDE, STEPS, ALONG };

  const $T *from;   // its first element, which moves on with every piece
  long long next, jump;
  int line, step, lines;
  Way way;

  __device__ __forceinline__ Piece(const $T *base, long long line_stride, long long step_stride, long long left) {
    const int thread = threadIdx.x;
    lines = left < LINES ? (int)left : LINES;
    const bool is_packed = (unsigned long long)base % 16 == 0 && step_stride % ACCESS == 0 && lines % ACCESS == 0;
    way = line_stride == 1 && is_packed ? WIDE : step_stride == 1 ? STEPS : ALONG;
    line = way == WIDE ? thread % (LINES / ACCESS) * ACCESS : way == STEPS ? thread / 8 : thread % LINES;
    step = way == WIDE ? thread / (LINES / ACCESS) : way == STEPS ? thread % 8 : thread / LINES;
    from = base + line * line_stride + step * step_stride;
    next = STEP * step_stride;
    jump = way == STEPS ? THREADS / 8 * line_stride : (way == WIDE ? THREADS * ACCESS / LINES : THREADS / LINES) * step_stride;
  }

  // Begins to copy a piece of which there are so many steps. Lines outside are left as they are, and are not used.
  // Beyond K an element of A is 0 and one of B -0: their product is -0, which changes no sum.
  __device__ __forceinline__ void copy(Memory &memory, long long steps, $T beyond) {
    if (steps < STEP) {
      copy_end(memory, (int)steps, beyond);
    } else if (way == WIDE) {
      if (line < lines) {
        #pragma unroll
        for (int n = 0; n < LINES * STEP / ACCESS / THREADS; ++n)
          copy_ahead((int4 *)&memory[step + n * (THREADS * ACCESS / LINES)][line], (const int4 *)(from + n * jump));
      }
    } else if (way == STEPS) {
      #pragma unroll
      for (int n = 0; n < LINES * 8 / THREADS; ++n) {
        const $T *const first = from + n * jump;
        if (line + n * (THREADS / 8) >= lines) continue;
        #pragma unroll
        for (int s = 0; s < STEP; s += 8) copy_ahead(&memory[step + s][line + n * (THREADS / 8)], first + s);
      }
    } else if (line < lines) {
      #pragma unroll
      for (int n = 0; n < LINES * STEP / THREADS; ++n)
        copy_ahead(&memory[step + n * (THREADS / LINES)][line], from + n * jump);
    }
    from += next;
  }

  // Of the last piece, element by element.
  __device__ __forceinline__ void copy_end(Memory &memory, int steps, $T beyond) {
    const int width = way == WIDE ? ACCESS : 1, count = LINES * STEP / THREADS;
    #pragma unroll 1
    for (int n = 0; n < count; ++n) {
      const int part = n / width, along = way == STEPS ? n / (STEP / 8) : 0;
      const int at_line = way == STEPS ? line + along * (THREADS / 8) : line + n % width;
      const int at_step = step + (way == STEPS ? n % (STEP / 8) * 8 : part * (THREADS * width / LINES));
      const $T *const element = from + (way == STEPS ? along * jump + n % (STEP / 8) * 8 : part * jump + n % width);
      if (at_step >= steps) memory[at_step][at_line] = beyond;
      else if (at_line < lines) copy_ahead(&memory[at_step][at_line], element);
    }
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, $BLOCKS)
$NAME(const __grid_constant__ Segments segments) {
  extern __shared__ __align__(16) char shared[];
  __shared__ __align__(16) Piece<ROWS>::Memory lefts[STAGES];
  __shared__ __align__(16) Piece<COLUMNS>::Memory rights[STAGES];
  // 4 x 8 threads of a warp, pairs of which share what they read of A, and pairs what they read of B.
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = warp / $WARPS * 4 + lane % 2 + lane / 16 * 2, column = warp % $WARPS * 8 + lane / 2 % 8;
  Run *const totals = (Run *)shared + threadIdx.x;
  long long task = blockIdx.x;
  for (int s = 0; s < SEGMENTS; ++s) {
    const Segment &segment = segments.segment[s];
    const long long *const dims = segment.dims;
    const long long M = dims[0], N = dims[1], K = dims[2];
    const long long down = (M + ROWS - 1) / ROWS, across = (N + COLUMNS - 1) / COLUMNS;
$BIND
    for (; task < segment.tasks; task += gridDim.x) {
      const long long batch = task / (down * across), within = task % (down * across);
      const long long first_row = within / across * ROWS, first_column = within % across * COLUMNS;
      const long long outer = batch / dims[9], inner = batch % dims[9];
      const $T *const a = (const $T *)segment.buffers[0] + outer * dims[10] + inner * dims[7] + first_row * dims[3];
      const $T *const b = (const $T *)segment.buffers[1] + outer * dims[11] + inner * dims[8] + first_column * dims[6];
      Piece<ROWS> of_a(a, dims[3], dims[4], M - first_row);
      Piece<COLUMNS> of_b(b, dims[6], dims[5], N - first_column);
      long long ahead = K;  // values that are not yet on their way
      $T sums[DOWN][ACROSS];
      #pragma unroll
      for (int i = 0; i < DOWN; ++i)
        #pragma unroll
        for (int j = 0; j < ACROSS; ++j) sums[i][j] = 0;
      auto copy = [&](int stage) {
        if (ahead > 0 || K == 0) {
          of_a.copy(lefts[stage], ahead, ($T)0);
          of_b.copy(rights[stage], ahead, -($T)0);
          ahead -= STEP;
        }
        end_of_group();
      };
      #pragma unroll 1
      for (int n = 0; n < STAGES - 1; ++n) copy(n);
      await_groups<STAGES - 2>();
      __syncthreads();
      Run x[2][DOWN / RUN], y[2][ACROSS / RUN];
      #pragma unroll
      for (int r = 0; r < DOWN / RUN; ++r) x[0][r] = Run::read(&lefts[0][0][place(ROWS / DOWN, row, r * RUN)]);
      #pragma unroll
      for (int r = 0; r < ACROSS / RUN; ++r) y[0][r] = Run::read(&rights[0][0][place(COLUMNS / ACROSS, column, r * RUN)]);
      int now = 0;
      for (long long k = STEP;; k += STEP) {  // sums are then those of k values
        #pragma unroll
        for (int d = 0; d < STEP; ++d) {
          if (d == 0) copy((now + STAGES - 1) % STAGES);  // over a piece that all were done with when they met
          if (d == STEP - 1) {  // of this piece all have in registers what is left, and the next one is there
            await_groups<STAGES - 2>();
            __syncthreads();
            now = (now + 1) % STAGES;
          }
          // What comes next is read while this is multiplied; after the last piece it is nothing.
          #pragma unroll
          for (int r = 0; r < DOWN / RUN; ++r)
            x[(d + 1) % 2][r] = Run::read(&lefts[now][(d + 1) % STEP][place(ROWS / DOWN, row, r * RUN)]);
          #pragma unroll
          for (int r = 0; r < ACROSS / RUN; ++r)
            y[(d + 1) % 2][r] = Run::read(&rights[now][(d + 1) % STEP][place(COLUMNS / ACROSS, column, r * RUN)]);
          #pragma unroll
          for (int i = 0; i < DOWN; ++i)
            #pragma unroll
            for (int j = 0; j < ACROSS; ++j)
              sums[i][j] = $FMA(x[d % 2][i / RUN].at[i % RUN], y[d % 2][j / RUN].at[j % RUN], sums[i][j]);
        }
        if (k % DEPTH != 0 && k < K) continue;
        const bool is_first = k <= DEPTH;
        #pragma unroll
        for (int i = 0; i < DOWN; ++i)
          #pragma unroll
          for (int r = 0; r < ACROSS / RUN; ++r) {
            Run *const at = totals + (i * (ACROSS / RUN) + r) * THREADS;
            Run total;
            if (!is_first) total = Run::read(at);
            #pragma unroll
            for (int j = 0; j < RUN; ++j) {
              total.at[j] = is_first ? sums[i][r * RUN + j] : total.at[j] + sums[i][r * RUN + j];
              sums[i][r * RUN + j] = 0;
            }
            total.write(at);
          }
        if (k >= K) break;
      }
      #pragma unroll 1
      for (int e = 0; e < DOWN * ACROSS / RUN; ++e) {
        const long long in_matrix = first_row + place(ROWS / DOWN, row, e / (ACROSS / RUN));
        const long long at_column = first_column + place(COLUMNS / ACROSS, column, e % (ACROSS / RUN) * RUN);
        if (in_matrix >= M || at_column >= N) continue;
        const long long at_row = batch * M + in_matrix;
        const Run product = Run::read(totals + e * THREADS);
$EPILOGUE
      }
    }
    task -= segment.tasks;
  }
}
"""
