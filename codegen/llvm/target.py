"""What the emitter must know of a processor: vector length and the few instructions it can count on."""

from __future__ import annotations

from typing import Final

from tracejit._records import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """An instruction set level. Results are promised to the bit per level."""

    name: str
    vector_bytes: int
    has_fma: bool
    has_scalef: bool = False  # AVX-512's x * 2^n

    def lanes(self, itemsize: int) -> int:
        """Lanes of every vector of a kernel whose largest float takes `itemsize` bytes.

        >>> AVX2.lanes(4), AVX2.lanes(8), AVX2.lanes(2)
        (8, 4, 8)
        """
        return self.vector_bytes // max(4, itemsize)

    @property
    def is_x86(self) -> bool:
        return self.name != "neon"

    @property
    def attributes(self) -> str:
        """Attributes of each function: without them LLVM splits 512-bit vectors on some processors."""
        if self.vector_bytes < 64:
            return "nounwind"
        return 'nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512"'


AVX512: Final = Target("avx512", 64, has_fma=True, has_scalef=True)
AVX2: Final = Target("avx2", 32, has_fma=True)
NEON: Final = Target("neon", 16, has_fma=True)
SSE: Final = Target(
    "sse", 16, has_fma=False
)  # llvm.fma is then a call of libm's fma: right, and slow

TARGETS: Final = {target.name: target for target in (AVX512, AVX2, NEON, SSE)}
