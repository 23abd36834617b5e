"""The states of a fold's results: how one starts, takes a value and joins another, in scalars and in vectors of any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracejit._records import dataclass
from tracejit.codegen.kernel.fn import Fn
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
        (old, old_index), (new, new_index) = first, second
        equal = new.eq(old)
        if self.dtype.is_float:
            new_is_nan, old_is_nan = (self.b.compare("uno", each, each) for each in (new, old))
            equal = equal | (new_is_nan & old_is_nan)
        wins = self.is_better(old, new) | (equal & (new_index < old_index))
        return tuple(self.b.select(wins, new, old) for old, new in zip(first, second))

    def follow(self, first: Values, second: Values) -> Values:
        """As `join`, of a second state that comes after the first; a search then may leave no index where nothing is better than
        nothing, which `outcomes` knows."""
        if not self.is_search:
            return self.join(first, second)
        wins = self.is_better(first[0], second[0])
        return tuple(self.b.select(wins, new, old) for old, new in zip(first, second))

    def better(self, first: Values, second: Values) -> Values:
        """Of a search, the better of two values; a NaN is best."""
        fn = Fn.MAX if self.result.combine is Combine.ARGMAX else Fn.MIN
        return (apply(self.b, fn, self.dtype, self.dtype, [*first, *second]),)

    def is_same(self, value: Value, best: Value) -> Value:
        """Whether a value is as good as the best one, which is NaN if there is any NaN."""
        same = value.eq(best)
        return same | self.b.compare("uno", value, value) if self.dtype.is_float else same

    def is_better(self, old: Value, new: Value) -> Value:
        """Whether a value is better than another, as a NaN is than a number."""
        sign = "u" if self.dtype.kind in "bu" else "s"
        direction = "gt" if self.result.combine is Combine.ARGMAX else "lt"
        if not self.dtype.is_float:
            return self.b.compare(f"{sign}{direction}", new, old)
        new_is_nan, old_is_nan = self.b.compare("uno", new, new), self.b.compare("uno", old, old)
        return self.b.compare(f"o{direction}", new, old) | (new_is_nan & ~old_is_nan)


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
        return self._each(Join.join, first, second)

    def follow(self, first: Values, second: Values) -> Values:
        """As `Join.follow`."""
        return self._each(Join.follow, first, second)

    def _each(
        self, join_of: Callable[[Join, Values, Values], Values], first: Values, second: Values
    ) -> Values:
        joined: list[Value] = []
        for join in self.joins:
            at, end = len(joined), len(joined) + len(join.dtypes)
            joined += join_of(join, first[at:end], second[at:end])
        return tuple(joined)

    def operands(self, index: Operand) -> tuple[Operand, ...]:
        """What an iteration contributes."""
        return tuple(
            operand
            for join in self.joins
            for operand in ((join.result.value, index) if join.is_search else (join.result.value,))
        )

    def outcomes(
        self, state: Values, first: Callable[[], Value] | None = None
    ) -> tuple[Value, ...]:
        """Each result's value: of a search, the index, and the first one where `follow` has found none."""
        outcomes, at = [], 0
        for join in self.joins:
            at += len(join.dtypes)
            found = state[at - 1]
            if join.is_search and first is not None:
                start = join.b.splat(first()) if found.type.width else first()
                found = join.b.select(found.eq(NO_INDEX), start, found)
            outcomes.append(found)
        return tuple(outcomes)
