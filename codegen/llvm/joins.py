"""The states of a fold's results: how one starts, takes a value and joins another, in scalars and in vectors of any width."""

from __future__ import annotations

from collections.abc import Sequence

from tracejit._records import dataclass
from tracejit.codegen.kernel.folds import JOINS, NO_INDEX, SEARCHES, identity
from tracejit.codegen.kernel.ir import Combine, Operand, Result
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.casts import register
from tracejit.codegen.llvm.flow import Values
from tracejit.codegen.llvm.functions import apply
from tracejit.dtypes import DType, int64


@dataclass(frozen=True, slots=True)
class Join:
    """One result's state: its value and, for ARGMAX and ARGMIN, the index of that."""

    b: Builder
    result: Result

    @property
    def dtype(self) -> DType:
        return self.result.value.dtype

    @property
    def is_search(self) -> bool:
        return self.result.combine in SEARCHES

    @property
    def dtypes(self) -> tuple[DType, ...]:
        return (self.dtype, int64) if self.is_search else (self.dtype,)

    def nothing(self, width: int) -> Values:
        """The identity in every lane."""
        value = identity(self.result.combine, self.dtype).value
        numbers = (value, NO_INDEX)
        return tuple(
            self.b.constant(register(dtype, width), number)
            for dtype, number in zip(self.dtypes, numbers)
        )

    def join(self, first: Values, second: Values) -> Values:
        if not self.is_search:
            fn = JOINS[self.result.combine]
            return (apply(self.b, fn, self.dtype, self.dtype, [*first, *second]),)
        wins = self.is_better(first, second)
        return tuple(self.b.select(wins, new, old) for old, new in zip(first, second))

    def is_better(self, first: Values, second: Values) -> Value:
        """Whether the second pair is the one searched for: a better value, or an equal one (a NaN is best) before it."""
        (old, old_index), (new, new_index) = first, second
        is_before = new_index < old_index
        sign = "u" if self.dtype.kind in "bu" else "s"
        direction = "gt" if self.result.combine is Combine.ARGMAX else "lt"
        if not self.dtype.is_float:
            better = self.b.compare(f"{sign}{direction}", new, old)
            return better | (new.eq(old) & is_before)
        new_is_nan, old_is_nan = self.b.compare("uno", new, new), self.b.compare("uno", old, old)
        better = self.b.compare(f"o{direction}", new, old) | (new_is_nan & ~old_is_nan)
        equal = new.eq(old) | (new_is_nan & old_is_nan)
        return better | (equal & is_before)


@dataclass(frozen=True, slots=True)
class Joins:
    """The states of several results, side by side in one tuple."""

    joins: tuple[Join, ...]

    @staticmethod
    def of(b: Builder, results: Sequence[Result]) -> Joins:
        return Joins(tuple(Join(b, result) for result in results))

    @property
    def dtypes(self) -> tuple[DType, ...]:
        return tuple(dtype for join in self.joins for dtype in join.dtypes)

    def nothing(self, width: int) -> Values:
        return tuple(value for join in self.joins for value in join.nothing(width))

    def join(self, first: Values, second: Values) -> Values:
        joined: list[Value] = []
        for join in self.joins:
            at, end = len(joined), len(joined) + len(join.dtypes)
            joined += join.join(first[at:end], second[at:end])
        return tuple(joined)

    def operands(self, index: Operand) -> tuple[Operand, ...]:
        """What an iteration contributes."""
        return tuple(
            operand
            for join in self.joins
            for operand in ((join.result.value, index) if join.is_search else (join.result.value,))
        )

    def outcomes(self, state: Values) -> tuple[Value, ...]:
        """Each result's value: of a search, the index."""
        outcomes, at = [], 0
        for join in self.joins:
            at += len(join.dtypes)
            outcomes.append(state[at - 1])
        return tuple(outcomes)
