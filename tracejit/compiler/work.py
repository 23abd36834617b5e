"""What running a step costs, roughly: it decides which values are computed anew, and can change no result."""

from __future__ import annotations

from math import prod
from typing import assert_never

from tracejit.codegen.kernel.cost import profile
from tracejit.codegen.kernel.lines import ELEMENT_NS
from tracejit.compiler.epilogues import Finished
from tracejit.ir.cluster import Fused, Host, Owner, Product, Scan, Scatter, Step
from tracejit.passes.homes import nbytes

NS_PER_BYTE = 0.05
"""Of memory that is read or written in order."""
NS_PER_BYTE_FAR = 0.1
"""Of memory that no cache holds, whose bandwidth all cores share."""
NEAR_BYTES = 1 << 24
"""What the last cache still holds."""
ROOM_BYTES = 1 << 27
"""That a value may take for a while; each further byte is worth `ROOM_NS` nanoseconds, for others need memory too."""
ROOM_NS = 1.0
NS_PER_LAUNCH = 5_000.0
"""Of handing work to threads, and of waiting for the last of them."""
NS_PER_MULTIPLY_ADD = 0.02
NS_PER_BYTE_OUTSIDE = 1.0
"""Of ops without vector code."""


def reading(owner: Owner) -> float:
    """Nanoseconds of reading a value once."""
    size = nbytes(owner)
    return size * (NS_PER_BYTE if size <= NEAR_BYTES else NS_PER_BYTE_FAR)


def room(owner: Owner) -> float:
    """What the memory is worth that it takes, in nanoseconds."""
    return ROOM_NS * max(nbytes(owner) - ROOM_BYTES, 0)


def writing(owner: Owner) -> float:
    """Of writing it once, where others read it later."""
    return reading(owner) + room(owner)


def nanoseconds(step: Step | Finished, moved: int) -> float:
    """Of a step that moves so many bytes."""
    match step:
        case Fused(space=space, members=members):
            computed = prod(space) * sum(profile(member).nanoseconds for member in members)
            return computed + moved * NS_PER_BYTE
        case Product(node=node):
            terms = node.aval.size * node.inputs[0].aval.sizes[-1]
            return terms * NS_PER_MULTIPLY_ADD + moved * NS_PER_BYTE
        case Finished(product=product, step=rows):
            return nanoseconds(product, moved) + nanoseconds(rows, 0)
        case Scan(node=node):
            return node.aval.size * ELEMENT_NS + moved * NS_PER_BYTE
        case Scatter() | Host():
            return moved * NS_PER_BYTE_OUTSIDE
        case _:
            assert_never(step)
