"""What every text begins with, and how a launch's arguments reach a kernel."""

from __future__ import annotations

from typing import Final

PRELUDE: Final = """\
template <typename T, int N> struct __align__(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack { T at[N]; };
"""
"""Neighbours in memory, read or written by one access."""

BOUNDS: Final = """\
static __device__ __forceinline__ long long least(long long a, long long b) { return a < b ? a : b; }
static __device__ __forceinline__ long long most(long long a, long long b) { return a > b ? a : b; }
"""

MEET: Final = """\
static __device__ __forceinline__ void meet() {
  if (blockDim.x > 32) __syncthreads();
  else __syncwarp();
}
"""
"""A team's threads wait for each other, and see what the others have written."""

HALVES: Final = """\
#ifndef EMULATED
static __device__ __forceinline__ float half_to_float(short x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
static __device__ __forceinline__ short float_to_half(float x) {
  short y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}
static __device__ __forceinline__ short float_to_bfloat(float x) {
  unsigned y;  // two of them: the one that sm_80 has no instruction for is the lower
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(0.0f), "f"(x));
  return (short)y;
}
#endif
"""


def segment_text(buffers: int, sizes: int, segments: int, *, has_scratch: bool = False) -> str:
    """The structs of a launch's arguments."""
    lines = [
        "struct Segment {",
        *([f"  void *buffers[{buffers}];"] if buffers else []),
        *([f"  long long dims[{sizes}];"] if sizes else []),
        "  long long tasks;",
        "};",
        "struct Segments {",
        f"  Segment segment[{segments}];",
        *(["  char *scratch;", "  long long scratch_bytes;"] if has_scratch else []),
        "};",
        f"enum {{ SEGMENTS = {segments} }};",
    ]
    return "\n".join(lines) + "\n"
