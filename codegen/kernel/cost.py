"""What an op's scalar rule does, found by building it once: the functions it calls, and whether it reads coordinates."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tracejit._records import dataclass
from tracejit.codegen.kernel.builder import Element, ScalarBuilder
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import Let, Var
from tracejit.dtypes import DType, float32, int64
from tracejit.ops.op import Pointwise

if TYPE_CHECKING:
    from tracejit.ir.graph import Apply
    from tracejit.ops.op import Op

LIGHT = frozenset(
    {
        Fn.ADD, Fn.SUB, Fn.MUL, Fn.FMA, Fn.NEG, Fn.ABS, Fn.MIN, Fn.MAX, Fn.FLOOR, Fn.CEIL, Fn.TRUNC, Fn.ROUND,
        Fn.COPYSIGN, Fn.SIGNBIT, Fn.EQ, Fn.NE, Fn.LT, Fn.LE, Fn.AND, Fn.OR, Fn.XOR, Fn.NOT, Fn.SHL, Fn.SHR,
        Fn.SELECT, Fn.CAST,
    }
)  # fmt: skip
"""Functions of about one instruction; the rest cost ten or more."""

LIGHT_NS, COSTLY_NS = 0.05, 0.5
"""Rough time per element, for splitting work into tasks: it cannot change a result."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Of one scalar rule."""

    light: int
    costly: int
    indices: frozenset[int] = frozenset()
    """The dimensions of the result whose coordinates it reads."""

    @property
    def nanoseconds(self) -> float:
        return self.light * LIGHT_NS + self.costly * COSTLY_NS


def profile(node: Apply) -> Profile:
    """Of a pointwise node's rule; any other recipe is one light step."""
    if not isinstance(node.op.recipe, Pointwise):
        return Profile(1, 0)
    return _profile(node.op, node.params, tuple(source.aval.dtype for source in node.inputs))


def is_costly(node: Apply) -> bool:
    """An element takes more than a few instructions."""
    return profile(node).costly > 0


def widened(dtype: DType) -> DType:
    """The dtype in which a pointwise op computes: half precision in float32, rounded after the op."""
    return float32 if dtype.is_float and dtype.itemsize == 2 else dtype


@lru_cache(maxsize=4096)
def _profile(op: Op, params: tuple[tuple[str, Any], ...], dtypes: tuple[DType, ...]) -> Profile:
    reads: list[int] = []

    def index(axis: int) -> Var:
        reads.append(axis)
        return Var(int64, "i")

    builder = ScalarBuilder(index)
    assert isinstance(op.recipe, Pointwise)
    with builder.block() as stmts:
        elements = [Element(Var(widened(dtype), "x"), builder) for dtype in dtypes]
        op.recipe.scalar(builder, *elements, **dict(params))
        fns = [stmt.fn for stmt in stmts if isinstance(stmt, Let)]
    costly = sum(fn not in LIGHT for fn in fns)
    return Profile(len(fns) - costly, costly, frozenset(reads))
