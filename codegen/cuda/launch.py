"""What every text begins with, and how a launch's arguments reach a kernel."""

from __future__ import annotations

from typing import Final

PRELUDE: Final = """\
#ifndef EMULATED
static __device__ __forceinline__ void store_global(short *to, short x) {
  asm volatile("st.global.b16 [%0], %1;" ::"l"(to), "h"(x) : "memory");
}
static __device__ __forceinline__ void store_global(int *to, int x) {
  asm volatile("st.global.b32 [%0], %1;" ::"l"(to), "r"(x) : "memory");
}
static __device__ __forceinline__ void store_global(int2 *to, int2 x) {
  asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(x.x), "r"(x.y) : "memory");
}
static __device__ __forceinline__ void store_global(int4 *to, int4 x) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
}
#endif

template <int BYTES> struct Word;
template <> struct Word<2> { typedef short type; };
template <> struct Word<4> { typedef int type; };
template <> struct Word<8> { typedef int2 type; };
template <> struct Word<16> { typedef int4 type; };

template <typename T, int N> struct __align__(sizeof(T) * N) Pack {
  typedef typename Word<sizeof(T) * N>::type word;
  T at[N];
  static __device__ __forceinline__ Pack read(const void *from) {
    union { word whole; Pack pack; } both;
    both.whole = *(const word *)from;
    return both.pack;
  }
  __device__ __forceinline__ word whole() const {
    union { word whole; Pack pack; } both;
    both.pack = *this;
    return both.whole;
  }
  __device__ __forceinline__ void write(void *to) const { *(word *)to = whole(); }
  __device__ __forceinline__ void write_global(void *to) const { store_global((word *)to, whole()); }
};
"""
"""Neighbours in memory, read or written by one access: a word, lest the compiler takes it apart.

A plain store may be taken apart nevertheless, into one for each element; PTX is not, but is for global memory alone.
"""

BOUNDS: Final = """\
static __device__ __forceinline__ int least(int a, int b) { return a < b ? a : b; }
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
