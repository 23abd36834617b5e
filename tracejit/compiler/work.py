"""What running a step costs, roughly: it decides which values are computed anew, and can change no result."""

from __future__ import annotations

from math import prod
from typing import assert_never

from tracejit.codegen.kernel.cost import profile
from tracejit.codegen.kernel.lines import ELEMENT_NS
from tracejit.ir.cluster import Fused, Host, Product, Scan, Scatter, Step

NS_PER_BYTE = 0.05
"""Of memory that is read or written in order."""
NS_PER_BYTE_FAR = 0.1
"""Of memory that no cache holds, whose bandwidth all cores share."""
NEAR_BYTES = 1 << 24
"""What the last cache still holds."""
NS_PER_MULTIPLY_ADD = 0.02
NS_PER_BYTE_OUTSIDE = 1.0
"""Of ops without vector code."""


def nanoseconds_of_bytes(nbytes: int) -> float:
    """Of a value that is read or written once."""
    return nbytes * (NS_PER_BYTE if nbytes <= NEAR_BYTES else NS_PER_BYTE_FAR)


def nanoseconds(step: Step, moved: int) -> float:
    """Of a step that moves so many bytes."""
    match step:
        case Fused(space=space, members=members):
            computed = prod(space) * sum(profile(member).nanoseconds for member in members)
            return computed + moved * NS_PER_BYTE
        case Product(node=node):
            terms = node.aval.size * node.inputs[0].aval.sizes[-1]
            return terms * NS_PER_MULTIPLY_ADD + moved * NS_PER_BYTE
        case Scan(node=node):
            return node.aval.size * ELEMENT_NS + moved * NS_PER_BYTE
        case Scatter() | Host():
            return moved * NS_PER_BYTE_OUTSIDE
        case _:
            assert_never(step)
