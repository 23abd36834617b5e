"""What launches of matrix products reach: their dims are known here, unlike those of kernels that were generated."""

from __future__ import annotations

from tracejit.artifact import LaunchSpec, Segment
from tracejit.runtime import gemm, gemv, slabs

ITEM_BYTES = {"float32": 4, "float64": 8}
_GEMM = {kernel: ITEM_BYTES[dtype] for dtype, kernel in gemm.KERNELS.items()}
_GEMV = {kernel: ITEM_BYTES[dtype] for dtype, kernel in gemv.KERNELS.items()}
Reach = tuple[int, int]
"""Bytes from an argument's address that are read or written: the first, and the one after the last."""
Steps = tuple[int, int]
"""How often one goes on, and how many elements each time."""


def scratch_of(kernel: str) -> int:
    """The scratch that a launch of this kernel needs at least; 0 for others."""
    if kernel in _GEMM:
        return gemm.SCRATCH_BYTES
    return gemv.SCRATCH_BYTES if kernel in _GEMV else 0


def reach_of(kernel: str, segment: Segment) -> list[Reach]:
    """What a product reaches by each argument; nothing is said of other kernels. Raises ValueError for dims of no product."""
    if kernel in _GEMM:
        return _of_matrices(dict(zip(gemm.DIMS, segment.dims, strict=True)), segment, _GEMM[kernel])
    if kernel in _GEMV:
        return _of_vector(dict(zip(gemv.DIMS, segment.dims, strict=True)), segment, _GEMV[kernel])
    return []


def flops_of(launch: LaunchSpec) -> int:
    """Floating-point operations of the products of a launch, a multiply-add counted as two; nothing is said of other kernels."""
    names = launch.kernels or (launch.kernel,) * len(launch.segments)
    return sum(map(_flops, names, launch.segments, [launch.calls] * len(names)))


def _flops(kernel: str, segment: Segment, calls: tuple[str, ...]) -> int:
    if kernel == slabs.KERNEL:
        _, every = slabs.rounds_of(segment.dims)
        return segment.tasks * sum(
            rounds.count * _flops(calls[each.kernel], Segment((), each.dims, each.tasks), ())
            for rounds in every
            for each in rounds.parts
        )
    if kernel in _GEMM:
        dims = dict(zip(gemm.DIMS, segment.dims, strict=True))
        m, n, k = dims["M"], dims["N"], dims["K"]
        blocks = _parts(m, dims["block_m"]) * _parts(n, dims["block_n"])
        return 2 * m * n * k * _batch(segment.tasks, blocks)
    if kernel in _GEMV:
        dims = dict(zip(gemv.DIMS, segment.dims, strict=True))
        blocks = _parts(dims["outputs"], dims["block"])
        return 2 * dims["outputs"] * dims["K"] * _batch(segment.tasks, blocks)
    return 0


def _of_matrices(dims: dict[str, int], segment: Segment, item: int) -> list[Reach]:
    m, n, k = dims["M"], dims["N"], dims["K"]
    _require(min(m, n, k) >= 0 < min(dims["block_m"], dims["block_n"], dims["depth"]))
    _require(dims["depth"] <= gemm.DEPTH and dims["block_m"] <= gemm.MOST_ROWS)
    _require(dims["adds"] in (0, 1))
    batch = _batch(segment.tasks, _parts(m, dims["block_m"]) * _parts(n, dims["block_n"]))
    return [
        _reach(item, (batch, dims["a_batch"]), (m, dims["a_row"]), (k, dims["a_column"])),
        _reach(item, (batch, dims["b_batch"]), (k, dims["b_row"]), (n, dims["b_column"])),
        _reach(item, (batch, dims["c_batch"]), (m, dims["c_row"]), (n, 1)),
    ]


def _of_vector(dims: dict[str, int], segment: Segment, item: int) -> list[Reach]:
    outputs, k = dims["outputs"], dims["K"]
    _require(min(outputs, k) >= 0 < dims["block"])
    batch = _batch(segment.tasks, _parts(outputs, dims["block"]))
    matrix = _reach(item, (batch, dims["matrix_batch"]), (outputs, dims["out"]), (k, dims["down"]))
    vector = _reach(item, (batch, dims["vector_batch"]), (k, dims["vector_down"]))
    operands = [vector, matrix] if dims["matrix_is_b"] else [matrix, vector]
    return [*operands, _reach(item, (batch, dims["c_batch"]), (outputs, 1))]


def _reach(item: int, *steps: Steps) -> Reach:
    if any(count == 0 for count, _ in steps):
        return 0, 0
    ways = [(count - 1) * stride for count, stride in steps]
    low = sum(way for way in ways if way < 0)
    high = sum(way for way in ways if way > 0)
    return low * item, (high + 1) * item


def _batch(tasks: int, blocks: int) -> int:
    """How many products there are, of so many tasks each."""
    _require(blocks > 0 or tasks == 0)
    _require(not blocks or tasks % blocks == 0)
    return tasks // blocks if blocks else 0


def _parts(size: int, part: int) -> int:
    return -(-size // part)


def _require(claim: bool) -> None:
    if not claim:
        raise ValueError("the dims are of no product")
