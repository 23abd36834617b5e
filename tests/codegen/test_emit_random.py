"""Random kernels: every nest, dtype, access and mask, emitted and interpreted to the same bits."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.codegen.harness import Machine
from tests.codegen.kernels import EMITTED, Array, assert_emitted_as_interpreted, samples
from tracejit.codegen.kernel import scalars
from tracejit.codegen.kernel.builder import Element, ScalarBuilder
from tracejit.codegen.kernel.fn import COMPARISONS, Fn
from tracejit.codegen.kernel.ir import Address, Buffer, Combine, Kernel, Kind, Size, Tree, Var
from tracejit.codegen.llvm.math import MATH
from tracejit.dtypes import DType, bool_, float16, float32, float64, int8, int32, int64, uint8

DTYPES = (float32, float64, int32, int64, uint8, int8, bool_, float16)
EXACT = [fn for fn in Fn if fn not in MATH and fn is not Fn.CAST]
COMBINES = (Combine.SUM, Combine.MAX, Combine.MIN, Combine.ARGMAX)
ROWS = 3


class Maker:
    """A random kernel over arrays of ROWS x n, and the arrays for it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.s = ScalarBuilder()
        self.columns, self.stride = Size("columns"), Size("stride")
        self.extent = random.choice((1, 5, 16, 37, 64, 100))
        self.buffers: list[Buffer] = []
        self.arrays: list[Array] = []
        self.scratch = Buffer(random.choice((float32, int8, bool_)), "kept", scratch=self.columns)
        self.values: list[Element] = []

    def array(self, dtype: DType, *, written: bool = False) -> Buffer:
        buffer = Buffer(dtype, "x", written)
        self.buffers.append(buffer)
        self.arrays.append(samples(dtype, 2 * ROWS * self.extent, self.random.randrange(99)))
        return buffer

    def kernel(self) -> Kernel:
        nest = self.random.choice((self.map, self.row, self.column))
        with self.s.block() as body, self.s.loop(ROWS, Kind.PARALLEL, "row") as row:
            nest(row)
        sizes = (self.columns, self.stride)
        return Kernel(tuple(self.buffers), sizes, (self.scratch,), tuple(body))  # type: ignore[arg-type]

    # nests

    def map(self, row: Var) -> None:
        kind = self.random.choice((Kind.VECTOR, Kind.VECTOR, Kind.SERIAL))
        with self.s.loop(self.columns, kind) as i:
            for _ in range(self.random.randint(1, 2)):
                self.store(row, i, self.expression(row, i))

    def row(self, row: Var) -> None:
        results: list[Element] = []
        for stage in range(self.random.randint(1, 2)):
            with self.s.fold(0, self.columns, Tree.LANES) as fold:
                value = self.computable(self.expression(row, fold.index, *results))
                if stage == 0:
                    kept = self.s.cast(value, self.scratch.dtype)
                    self.s.store(self.scratch, Address(((fold.index, 1),)), kept)
                results += [self.join(fold, value) for _ in range(self.random.randint(1, 2))]
        for result in results:
            self.s.store(self.array(result.dtype, written=True), Address(((row, 1),)), result)
        with self.s.loop(self.columns, Kind.VECTOR) as i:
            kept = self.s.load(self.scratch, Address(((i, 1),)))
            self.store(row, i, self.expression(row, i, kept, *results))

    def column(self, row: Var) -> None:
        tree = self.random.choice((Tree.ROWS, Tree.SERIAL))
        with self.s.loop(self.columns, Kind.VECTOR) as i:
            with self.s.fold(0, ROWS, tree) as fold:
                value = self.computable(self.expression(fold.index, i))
                result = self.join(fold, value)
            self.store(row, i, self.expression(row, i, result))

    def join(self, fold: object, value: Element) -> Element:
        combine = Combine.ANY if value.dtype is bool_ else self.random.choice(COMBINES)
        return fold.join(combine, value)  # type: ignore[attr-defined,no-any-return]

    # scalars

    def expression(self, row: Var, i: Var, *given: Element) -> Element:
        values = [*given, self.s.element(i), self.s.element(row), self.s.element(self.columns)]
        values += [self.load(row, i, values) for _ in range(self.random.randint(1, 3))]
        for _ in range(self.random.randint(1, 8)):
            values.append(self.apply(self.random.choice(values[-4:]), values))
        return values[-1]

    def apply(self, x: Element, values: list[Element]) -> Element:
        x = self.computable(x)
        if self.random.random() < 0.25:
            return self.s.cast(x, self.random.choice((float32, float64, int32, int64, bool_)))
        fn = self.random.choice([fn for fn in EXACT if scalars.takes(fn, x.dtype)])
        y, z = (self.s.cast(self.random.choice(values), x.dtype) for _ in range(2))
        if fn is Fn.SELECT:
            return self.s.select(self.s.cast(self.random.choice(values), bool_), x, y)
        dtype = bool_ if fn in COMPARISONS else x.dtype
        return self.s.let(fn, dtype, *(arg.operand for arg in (x, y, z)[: fn.arity]))

    def computable(self, x: Element) -> Element:
        """Half precision is widened before anything is done with it."""
        return self.s.cast(x, float32) if x.dtype is float16 else x

    # memory

    def load(self, row: Var, i: Var, values: list[Element]) -> Element:
        buffer = self.array(self.random.choice(DTYPES))
        where = self.mask(values)
        return self.s.load(buffer, self.place(row, i, values), where)

    def store(self, row: Var, i: Var, value: Element) -> None:
        address = Address(((row, self.columns), (i, 1)))
        if self.random.random() < 0.2:
            address = Address(((row, 1), (i, self.stride)))
        self.s.store(self.array(value.dtype, written=True), address, value, self.mask([value]))

    def mask(self, values: list[Element]) -> Element | None:
        if self.random.random() < 0.7:
            return None
        return self.s.cast(self.computable(self.random.choice(values)), bool_)

    def place(self, row: Var, i: Var, values: list[Element]) -> Address:
        kind = self.random.randrange(6)
        if kind == 0:
            return Address(((row, 1),), offset=self.columns)
        if kind == 1:
            return Address(((row, 1), (i, self.stride)))
        if kind == 2:
            integers = [value for value in values if value.dtype is int64]
            index = self.s.apply(
                Fn.FLOORMOD, self.random.choice(integers), self.s.element(self.columns)
            )
            return Address(((row, self.columns), (self.variable(index), 1)))
        return Address(((row, self.columns), (i, 1)))

    def variable(self, index: Element) -> Var:
        copy = index + 0
        assert isinstance(copy.operand, Var)
        return copy.operand


@pytest.mark.parametrize("machine", EMITTED, ids=lambda machine: machine.target.name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_random_kernels_give_the_interpreters_bits(machine: Machine, seed: int) -> None:
    maker = Maker(Random(seed))
    kernel = maker.kernel()
    arrays = [np.ascontiguousarray(array) for array in maker.arrays]
    sizes = [maker.extent, ROWS]
    assert_emitted_as_interpreted(kernel, machine, arrays, sizes, tasks=ROWS)
