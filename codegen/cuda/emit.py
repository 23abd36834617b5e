"""A kernel as CUDA C."""

from __future__ import annotations

from tracejit.codegen.kernel.ir import Kernel


def emit(kernel: Kernel, name: str, segments: int = 1) -> str:
    """A module that defines `extern "C" __global__ void name(const __grid_constant__ Segments segments)`.

    struct Segment { void *buffers[B]; long long dims[D]; long long tasks; };   // an array of no elements is left out
    struct Segments { Segment segment[SEGMENTS]; char *scratch; long long scratch_bytes; };

    The last two words are there only for a kernel with scratch: null and 0 where scratch is the launch's dynamic shared memory,
    else the global memory, and the bytes of one team's part of it (team number blockIdx.x * blockDim.y + threadIdx.y).
    """
    raise NotImplementedError
