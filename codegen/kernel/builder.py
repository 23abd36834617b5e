"""Builds kernel statements: `ScalarBuilder` is the `s` of an op's Pointwise recipe and appends to the block that is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import numpy as np

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.fn import COMPARISONS, Fn
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Carried,
    Combine,
    Const,
    Fold,
    For,
    Kind,
    Let,
    Load,
    Operand,
    Result,
    Stmt,
    Store,
    Tree,
    Var,
)
from tracejit.dtypes import DType, bool_, int64

Literal = bool | int | float

_BY_METHOD = {fn.method: fn for fn in Fn}


def constant(value: Literal, dtype: DType) -> Const:
    """`value` as a literal of `dtype`: floats rounded to it, integers wrapped, so that equal literals have one text."""
    if dtype is bool_:
        return Const(dtype, bool(value))
    if dtype.is_float:
        with np.errstate(over="ignore"):
            return Const(dtype, float(dtype.numpy.type(value)))
    modulus = 1 << 8 * dtype.itemsize
    wrapped = int(value) % modulus
    return Const(
        dtype, wrapped - modulus if dtype.kind == "i" and 2 * wrapped >= modulus else wrapped
    )


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """A scalar under construction: an operand with Python's operators.

    A Python literal beside an element takes its dtype. Comparisons build comparisons, so an element is neither hashable nor
    true or false.
    """

    operand: Operand
    builder: ScalarBuilder = field(repr=False)

    __hash__ = None  # type: ignore[assignment]  # `==` builds a comparison

    @property
    def dtype(self) -> DType:
        return self.operand.dtype

    def __bool__(self) -> NoReturn:
        raise TypeError("an element of a kernel has no truth value: use s.select(condition, x, y)")

    def __add__(self, other: Any) -> Element:
        return self.builder.apply(Fn.ADD, self, other)

    def __radd__(self, other: Any) -> Element:
        return self.builder.apply(Fn.ADD, other, self)

    def __sub__(self, other: Any) -> Element:
        return self.builder.apply(Fn.SUB, self, other)

    def __rsub__(self, other: Any) -> Element:
        return self.builder.apply(Fn.SUB, other, self)

    def __mul__(self, other: Any) -> Element:
        return self.builder.apply(Fn.MUL, self, other)

    def __rmul__(self, other: Any) -> Element:
        return self.builder.apply(Fn.MUL, other, self)

    def __truediv__(self, other: Any) -> Element:
        return self.builder.apply(Fn.DIV, self, other)

    def __rtruediv__(self, other: Any) -> Element:
        return self.builder.apply(Fn.DIV, other, self)

    def __floordiv__(self, other: Any) -> Element:
        return self.builder.apply(Fn.FLOORDIV, self, other)

    def __mod__(self, other: Any) -> Element:
        return self.builder.apply(Fn.FLOORMOD, self, other)

    def __and__(self, other: Any) -> Element:
        return self.builder.apply(Fn.AND, self, other)

    def __rand__(self, other: Any) -> Element:
        return self.builder.apply(Fn.AND, other, self)

    def __or__(self, other: Any) -> Element:
        return self.builder.apply(Fn.OR, self, other)

    def __ror__(self, other: Any) -> Element:
        return self.builder.apply(Fn.OR, other, self)

    def __xor__(self, other: Any) -> Element:
        return self.builder.apply(Fn.XOR, self, other)

    def __rxor__(self, other: Any) -> Element:
        return self.builder.apply(Fn.XOR, other, self)

    def __lshift__(self, other: Any) -> Element:
        return self.builder.apply(Fn.SHL, self, other)

    def __rshift__(self, other: Any) -> Element:
        return self.builder.apply(Fn.SHR, self, other)

    def __lt__(self, other: Any) -> Element:
        return self.builder.apply(Fn.LT, self, other)

    def __le__(self, other: Any) -> Element:
        return self.builder.apply(Fn.LE, self, other)

    def __gt__(self, other: Any) -> Element:
        return self.builder.apply(Fn.LT, other, self)

    def __ge__(self, other: Any) -> Element:
        return self.builder.apply(Fn.LE, other, self)

    def __eq__(self, other: Any) -> Element:  # type: ignore[override]
        return self.builder.apply(Fn.EQ, self, other)

    def __ne__(self, other: Any) -> Element:  # type: ignore[override]
        return self.builder.apply(Fn.NE, self, other)

    def __neg__(self) -> Element:
        return self.builder.apply(Fn.NEG, self)

    def __abs__(self) -> Element:
        return self.builder.apply(Fn.ABS, self)

    def __invert__(self) -> Element:
        return self.builder.apply(Fn.NOT, self)


@dataclass(slots=True)
class _Block:
    """Statements being collected, and what an equal expression in them, or in a block inside, may share."""

    stmts: list[Stmt] = field(default_factory=list)
    values: dict[tuple[Any, ...], Var] = field(default_factory=dict)
    loads: dict[tuple[Any, ...], Var] = field(default_factory=dict)


@dataclass(slots=True)
class FoldBody:
    """An open fold: its index, `join`, which adds a result, and `carry`, which adds a scalar that iterations `hand_on`."""

    index: Var
    builder: ScalarBuilder
    results: list[Result] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    firsts: dict[Var, Operand] = field(default_factory=dict)

    def join(self, combine: Combine, value: Element | Const) -> Element:
        """All of `value` joined; defined once the fold is closed."""
        operand = value.operand if isinstance(value, Element) else value
        index_of = combine in (Combine.ARGMAX, Combine.ARGMIN)
        var = Var(int64 if index_of else operand.dtype, "r")
        self.results.append(Result(var, combine, operand))
        return self.builder.element(var)

    def carry(self, first: Operand) -> Element:
        """What the iteration before has handed on; in the first one `first`."""
        var = Var(first.dtype, "c")
        self.firsts[var] = first
        return self.builder.element(var)

    def hand_on(self, carried: Element, value: Element) -> Element:
        """Makes `value` what is `carried` into the next iteration; what the last one leaves, defined once the fold is closed."""
        var, last = carried.operand, Var(value.dtype, "r")
        assert isinstance(var, Var)
        self.carried.append(Carried(var, self.firsts[var], value.operand, last))
        return self.builder.element(last)


class ScalarBuilder:
    """Appends statements to the open block; an expression that is already there is shared.

    One method per scalar function, named by `Fn.method`: `s.add(x, y)`, `s.exp(x)`, `s.select(c, x, y)`. Literals take the
    dtype of the elements beside them. `axis_index` answers `s.index(axis)`; lowering sets it before it calls a recipe.
    """

    def __init__(self, index: Callable[[int], Operand] | None = None) -> None:
        self.axis_index = index
        self._blocks: list[_Block] = []

    def __getattr__(self, method: str) -> Callable[..., Element]:
        fn = _BY_METHOD.get(method)
        if fn is None:
            raise AttributeError(f"there is no scalar function {method!r}")
        return partial(self.apply, fn)

    # what recipes use

    def const(self, value: Literal, dtype: DType | None = None) -> Element | Literal:
        """A literal; without a dtype it stays a Python number and takes the dtype of what it meets."""
        return value if dtype is None else self.element(constant(value, dtype))

    def cast(self, x: Element, dtype: DType) -> Element:
        """`x` as `dtype`, by NumPy's rule; `x` itself where it has that dtype."""
        if x.dtype is dtype:
            return x
        folded = _fold_cast(x.operand, dtype)
        return self.element(folded) if folded is not None else self.let(Fn.CAST, dtype, x.operand)

    def index(self, axis: int) -> Element:
        """The element's int64 coordinate in the output."""
        if self.axis_index is None:
            raise TypeError("this kernel gives its elements no coordinates")
        return self.element(self.axis_index(axis))

    def apply(self, fn: Fn, *args: Element | Literal) -> Element:
        """`fn(*args)`; literals take the dtype of the elements that they meet."""
        if len(args) != fn.arity:
            raise TypeError(f"{fn.method} takes {fn.arity} arguments, got {len(args)}")
        if fn is Fn.SELECT:
            condition, *args_of_one_dtype = args
            dtype = _common_dtype(fn, args_of_one_dtype)
            chosen = [_operand(arg, dtype) for arg in args_of_one_dtype]
            return self._select(_operand(condition, bool_), chosen[0], chosen[1])
        dtype = _common_dtype(fn, args)
        operands = tuple(_operand(arg, dtype) for arg in args)
        return self.let(fn, bool_ if fn in COMPARISONS else dtype, *operands)

    # what lowering uses besides

    def element(self, operand: Operand) -> Element:
        return Element(operand, self)

    def let(self, fn: Fn, dtype: DType, *operands: Operand) -> Element:
        """A let in the open block, or the variable of an equal one."""
        key = (fn, dtype, *map(operand_key, operands))
        for block in self._blocks:
            if key in block.values:
                return self.element(block.values[key])
        var = Var(dtype, "v")
        self._blocks[-1].values[key] = var
        self.append(Let(var, fn, operands))
        return self.element(var)

    def load(
        self,
        buffer: Buffer,
        address: Address,
        where: Element | None = None,
        other: Element | Literal | None = None,
    ) -> Element:
        """`buffer[address]`, or `other` (by default zero) where `where` is false; shared until `buffer` is stored to."""
        mask = None if where is None else where.operand
        rest = None if where is None else _operand(0 if other is None else other, buffer.dtype)
        key = (buffer, address, operand_key(mask), operand_key(rest))
        # A loop's body may store what it loads: only a buffer that is never written is shared across blocks.
        fixed = not buffer.written and buffer.scratch is None
        for block in self._blocks if fixed else self._blocks[-1:]:
            if key in block.loads:
                return self.element(block.loads[key])
        var = Var(buffer.dtype, "x")
        self._blocks[-1].loads[key] = var
        self.append(Load(var, buffer, address, mask, rest))
        return self.element(var)

    def store(
        self,
        buffer: Buffer,
        address: Address,
        value: Element | Const,
        where: Element | None = None,
        *,
        add: bool = False,
    ) -> None:
        """`buffer[address] = value`, or `+= value`; where `where` is true."""
        operand = value.operand if isinstance(value, Element) else value
        self.append(Store(buffer, address, operand, None if where is None else where.operand, add))
        for block in self._blocks:
            for key in [key for key in block.loads if key[0] is buffer]:
                del block.loads[key]

    def append(self, stmt: Stmt) -> None:
        self._blocks[-1].stmts.append(stmt)

    @contextmanager
    def block(self) -> Iterator[list[Stmt]]:
        """Opens a block; its statements are in the list once it is closed. Blocks nest."""
        block = _Block()
        self._blocks.append(block)
        try:
            yield block.stmts
        finally:
            self._blocks.pop()

    @contextmanager
    def loop(self, extent: Operand | int, kind: Kind, name: str = "i") -> Iterator[Var]:
        """A loop round the statements inside the `with`; yields its index."""
        index = Var(int64, name)
        with self.block() as body:
            yield index
        self.append(For(index, _int64(extent), kind, tuple(body)))

    @contextmanager
    def fold(
        self, start: Operand | int, stop: Operand | int, tree: Tree, name: str = "k"
    ) -> Iterator[FoldBody]:
        """A fold round the statements inside the `with`; ask for results with `.join` and `.carry` inside it."""
        fold = FoldBody(Var(int64, name), self)
        with self.block() as body:
            yield fold
        ends = _int64(start), _int64(stop)
        handed = tuple(fold.results), tuple(fold.carried)
        self.append(Fold(fold.index, *ends, tree, tuple(body), *handed))

    def _select(self, condition: Operand, x: Operand, y: Operand) -> Element:
        if isinstance(condition, Const):
            return self.element(x if condition.value else y)
        if operand_key(x) == operand_key(y):
            return self.element(x)
        return self.let(Fn.SELECT, x.dtype, condition, x, y)


def operand_key(operand: Operand | None) -> object:
    """Equal for equal operands; unlike `==` it tells -0.0 from 0.0 and NaN is itself."""
    return (operand.dtype, repr(operand.value)) if isinstance(operand, Const) else operand


def _int64(extent: Operand | int) -> Operand:
    return constant(extent, int64) if isinstance(extent, int) else extent


def _operand(arg: Element | Literal, dtype: DType) -> Operand:
    return arg.operand if isinstance(arg, Element) else constant(arg, dtype)


def _common_dtype(fn: Fn, args: tuple[Element | Literal, ...] | list[Element | Literal]) -> DType:
    dtypes = {arg.dtype for arg in args if isinstance(arg, Element)}
    if len(dtypes) != 1:
        names = ", ".join(sorted(str(dtype) for dtype in dtypes)) or "literals only"
        raise TypeError(f"{fn.method}: the arguments must share one dtype, got {names}")
    return dtypes.pop()


def _fold_cast(operand: Operand, dtype: DType) -> Const | None:
    """The literal cast at once, where its value is representable."""
    if not isinstance(operand, Const):
        return None
    if dtype.is_integer and (operand.value != operand.value or abs(operand.value) >= 2**31):
        return None
    if dtype.is_integer:
        folded = constant(int(operand.value), dtype)
        return folded if folded.value == int(operand.value) else None
    return constant(operand.value, dtype)
