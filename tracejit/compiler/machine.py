"""What running steps costs on a kind of device, roughly, and how large slabs are there: it decides, and can change no result."""

from __future__ import annotations

from math import prod
from typing import Final, assert_never

from tracejit._records import dataclass
from tracejit.codegen.kernel.cost import profile
from tracejit.codegen.kernel.lines import ELEMENT_NS
from tracejit.compiler.finished import Finished
from tracejit.ir.cluster import Fused, Host, Owner, Product, Scan, Scatter, Step
from tracejit.passes.homes import nbytes


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of device. Times are in nanoseconds."""

    calls_kernels: bool
    """Whether a task can call kernels: a launch can be of several, and its tasks slabs."""
    byte: float
    """Of memory that is read or written in order."""
    byte_far: float
    """Of memory that no cache holds."""
    near_bytes: int
    """What the last cache still holds."""
    room_bytes: int
    """That a value may take for a while; each further byte is worth `room_byte`, for others need memory too."""
    room_byte: float
    launch: float
    """Of handing work out, and of waiting for the last of it."""
    multiply_add: float
    element: float
    """Of what a core takes a nanosecond for."""
    byte_outside: float
    """Of ops without code of ours."""

    least_bytes: int
    """Of what lies between steps, from where slabs are worth it: what a core's own cache does not hold."""
    least_bytes_in_turn: int
    """Where one slab after another is shared among all: what the last cache hardly holds."""
    slab_bytes: int
    """Of all that has slabs; the rest of the cache is for what every slab needs."""
    cache_bytes: int
    """Of a larger slab only so many stay in a cache: a thread's part of the last one."""
    last_cache_bytes: int
    """And of one that all share."""
    least_slabs: int
    """So that all threads have work."""
    least_rows: int
    """Of a product whose right operand every slab needs: on a CPU it is packed anew for each, a GPU has tiles of so many."""

    def reading(self, owner: Owner) -> float:
        """Of reading a value once."""
        size = nbytes(owner)
        return size * (self.byte if size <= self.near_bytes else self.byte_far)

    def room(self, owner: Owner) -> float:
        """What the memory is worth that it takes."""
        return self.room_byte * max(nbytes(owner) - self.room_bytes, 0)

    def writing(self, owner: Owner) -> float:
        """Of writing it once, where others read it later."""
        return self.reading(owner) + self.room(owner)

    def step(self, step: Step | Finished, moved: int) -> float:
        """Of a step that moves so many bytes."""
        match step:
            case Fused(space=space, members=members):
                each = sum(profile(member).nanoseconds for member in members)
                return prod(space) * each * self.element + moved * self.byte
            case Product(node=node):
                terms = node.aval.size * node.inputs[0].aval.sizes[-1]
                return terms * self.multiply_add + moved * self.byte
            case Finished(product=product, step=rows):
                return self.step(product, moved) + self.step(rows, 0)
            case Scan(node=node):
                return node.aval.size * ELEMENT_NS * self.element + moved * self.byte
            case Scatter() | Host():
                return moved * self.byte_outside
            case _:
                assert_never(step)


CORES: Final = Machine(
    calls_kernels=True,
    byte=0.05,
    byte_far=0.1,  # all cores share its bandwidth
    near_bytes=1 << 24,
    room_bytes=1 << 27,
    room_byte=1.0,
    launch=5_000.0,
    multiply_add=0.02,
    element=1.0,
    byte_outside=1.0,
    least_bytes=1 << 20,
    least_bytes_in_turn=1 << 24,
    slab_bytes=3 << 17,
    cache_bytes=1 << 22,
    last_cache_bytes=1 << 24,
    least_slabs=8,
    least_rows=192,
)
WARPS: Final = Machine(
    calls_kernels=False,
    byte=0.00015,
    byte_far=0.0003,
    near_bytes=1 << 25,
    room_bytes=1 << 27,
    room_byte=0.005,
    launch=2_500.0,  # of a graph, until the next one runs
    multiply_add=0.00006,
    element=0.002,
    byte_outside=1.0,
    least_bytes=1 << 25,
    least_bytes_in_turn=1 << 25,
    slab_bytes=1 << 26,
    cache_bytes=40 << 20,
    last_cache_bytes=40 << 20,
    least_slabs=1,
    least_rows=64,
)
"""By the data sheet of an H100, whose second cache holds 50 MB; not measured."""
